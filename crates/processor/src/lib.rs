#![doc = include_str!("../README.md")]

mod app;
mod booker;
mod commit;
mod config;
mod consume;
mod decide;
mod depths;
mod evidence;
mod log;
mod metrics;
mod news;
mod policy;
mod sources;
mod span;
mod teller;

pub use app::App;
pub use booker::{Booker, Failing, Outage, Patience, Refusal};
pub use config::Config;
pub use consume::{Consumption, Pace, consume};
pub use decide::{Work, decide};
pub use metrics::Metrics;
pub use news::News;
pub use policy::Policy;
pub use sources::{Connected, Disagreement, SourceTerms, Sources, Unsettled};
pub use teller::Teller;
