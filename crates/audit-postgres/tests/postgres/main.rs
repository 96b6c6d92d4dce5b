//! The auditor's reads on real databases.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed expectation is how a test reports"
)]

mod alerts;
mod books;
mod damage;
mod days;
mod exhaustive;
mod guards;
mod money;
mod refusals;
mod runs;
mod tamper;
mod traffic;
