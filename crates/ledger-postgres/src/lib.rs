#![doc = include_str!("../README.md")]

mod books;
mod error;
mod plan;
mod reads;
mod rows;
mod schema;
mod settings;
mod standing;
mod story;
mod write;

pub use books::PostgresBooks;
pub use reads::{Balance, EventSummary, LastAudit, PostgresReader};
pub use schema::{Applied, SCHEMA_VERSION, check_schema, migrate, migrate_as, migration_texts};
pub use settings::Settings;
pub use story::{DeliveryRow, EntryRow, EventStory, Story, TransactionStory};
