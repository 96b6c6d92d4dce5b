#![doc = include_str!("../README.md")]

mod admission;
mod answer;
mod app;
mod caller;
mod config;
mod http;
mod metrics;
mod problem;
mod secrets;
mod strangers;
mod window;

pub use admission::{Arrival, Gate, Policy, ReplayPolicy, Seams, SourceGate};
pub use answer::Answer;
pub use app::App;
pub use caller::{Caller, Network, NetworkInvalid, Proxies};
pub use config::Config;
pub use http::{Limits, Shell};
pub use metrics::Metrics;
pub use problem::Problem;
pub use secrets::{Active, Reload, Secrets};
pub use strangers::Entry;
