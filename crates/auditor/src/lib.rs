#![doc = include_str!("../README.md")]

pub mod alert;
mod app;
mod auditor;
mod config;
mod metrics;
mod on_demand;
mod schedule;
mod standing;

pub use app::App;
pub use auditor::Auditor;
pub use config::Config;
pub use metrics::Metrics;
pub use schedule::{NoSchedule, Schedule};
