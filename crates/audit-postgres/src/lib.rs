#![doc = include_str!("../README.md")]

mod error;
mod read;
mod record;
mod schema;
mod store;

pub use error::AuditStoreError;
pub use schema::SCHEMA_VERSION;
pub use store::{AuditStore, Audited, RunId, Settings};
