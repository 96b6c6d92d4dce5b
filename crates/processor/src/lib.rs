#![doc = include_str!("../README.md")]

mod app;
mod booker;
mod config;
mod consume;
mod decide;
mod metrics;

pub use app::App;
pub use booker::{Booker, Outage, Patience, Seams};
pub use config::Config;
pub use consume::{Consumption, Pace, consume};
pub use decide::decide;
pub use metrics::Metrics;
