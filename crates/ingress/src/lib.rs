#![doc = include_str!("../README.md")]

mod answer;
mod app;
mod caller;
mod config;
mod event;
mod gate;
mod http;
mod message;
mod metrics;
mod notices;
mod objection;
mod problem;
mod remembered;
mod secrets;
mod source;
mod span;
mod strangers;
mod tally;
mod totals;
mod window;

pub use answer::{Answer, Response};
pub use app::App;
pub use caller::{Caller, Network, NetworkInvalid, Proxies};
pub use config::Config;
pub use gate::{Arrival, Gate, Policy, ReplayPolicy, Seams};
pub use http::{Limits, Shell};
pub use metrics::Metrics;
pub use problem::Problem;
pub use secrets::{Active, Reload, Secrets};
pub use source::{Pins, SourceGate, TooOld};
pub use strangers::Entry;
pub use totals::Totals;
