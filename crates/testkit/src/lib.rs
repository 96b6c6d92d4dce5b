#![doc = include_str!("../README.md")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed expectation is how a test kit reports"
)]

pub mod contract;
pub mod fault_proxy;
pub mod memory;
pub mod servers;
pub mod simulation;
pub mod stripe;
pub mod telegram;
