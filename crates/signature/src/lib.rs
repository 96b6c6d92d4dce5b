#![doc = include_str!("../README.md")]

mod constant_time;
mod header;
mod refused;
mod scheme;
mod secret;
mod stripe;
mod telegram;
mod verify;

#[cfg(test)]
mod tests;

pub use refused::Refused;
pub use scheme::{Scheme, SchemeUnknown};
pub use secret::{Secret, SecretInvalid};
pub use stripe::sign_stripe;
pub use verify::{Freshness, Request, Verified, verify};
