#![doc = include_str!("../README.md")]

mod breaker;
mod commands;
mod key;
mod record;
mod replay;
mod seal;
mod settings;

pub use replay::RedisReplay;
pub use settings::{Settings, SettingsInvalid};
