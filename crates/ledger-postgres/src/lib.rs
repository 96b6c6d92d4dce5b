#![doc = include_str!("../README.md")]

mod books;
mod error;
mod plan;
mod reads;
mod rows;
mod schema;
mod standing;
mod story;
mod write;

pub use books::{PostgresBooks, Settings};
pub use reads::{Balance, EventSummary, PostgresReader};
pub use schema::{Applied, SCHEMA_VERSION, check_schema, migrate, migration_texts};
pub use story::{DeliveryRow, EntryRow, EventStory, Story, TransactionStory};
