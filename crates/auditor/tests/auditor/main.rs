//! The auditor as a whole: in this process on port 0, and as the binary.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed expectation is how a test reports"
)]

mod alerts;
mod app;
mod books;
mod on_demand;
mod process;
