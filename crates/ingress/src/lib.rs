#![doc = include_str!("../README.md")]

mod admission;
mod answer;
mod app;
mod config;
mod http;
mod metrics;
mod problem;
mod window;

pub use admission::{Arrival, Gate, Policy, ReplayPolicy, Seams, SourceGate};
pub use answer::Answer;
pub use app::App;
pub use config::Config;
pub use metrics::Metrics;
pub use problem::Problem;
