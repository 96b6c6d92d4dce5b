#![doc = include_str!("../README.md")]

mod act;
mod books;
mod error;
mod life;
mod operator;
mod plan;
mod reads;
mod rows;
mod schema;
mod session;
mod settings;
mod standing;
mod story;
mod totals;
mod write;

pub use books::PostgresBooks;
pub use life::{AuditSeen, Batch, Life, Sealed};
pub use operator::{Asked, BalanceAsserted, BalanceStated, Effect, PostgresOperator, Target, TargetRow};
pub use reads::{Balance, EventSummary, Head, LastAudit, Parked, ParkedSum, PostgresReader, UndecidedRow};
pub use schema::{Applied, SCHEMA_VERSION, check_schema, migrate, migrate_as, migration_texts};
pub use settings::Settings;
pub use story::{
    ActionRow, DeliveryRow, EffectRow, EntryRow, EventStory, StatusRow, Story, TransactionStory,
};
