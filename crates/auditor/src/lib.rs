#![doc = include_str!("../README.md")]

mod app;
mod auditor;
mod config;
mod metrics;

pub use app::App;
pub use auditor::Auditor;
pub use config::Config;
pub use metrics::Metrics;
