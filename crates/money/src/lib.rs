#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod amount;
mod currency;
mod instant;

pub use amount::{Amount, AmountError, Decimal};
pub use currency::{Currency, CurrencyUnknown};
pub use instant::UnixMillis;
