#![doc = include_str!("../README.md")]

mod alerts;
mod chain;
mod error;
mod facts;
mod findings;
mod head_file;
mod history;
mod money;
mod query;
mod read;
mod record;
mod requests;
mod run;
mod schema;
mod sealed;
mod store;
mod waiting;

pub use alerts::{AlertAction, AlertDue, AlertHanded, AlertSettled, AlertWanted, AlertsStanding};
pub use error::AuditStoreError;
pub use findings::{Acknowledged, StoredFinding};
pub use head_file::{HeadFile, HeadFileError};
pub use history::Progress;
pub use record::RunSummary;
pub use requests::AuditRequest;
pub use run::{Audited, Order, Standing};
pub use schema::SCHEMA_VERSION;
pub use store::{AuditStore, RunId, Settings};
pub use waiting::{Standstill, Undecided};
