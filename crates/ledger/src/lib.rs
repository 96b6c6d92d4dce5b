#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod account;
mod id;
mod kind;
mod movement;
mod posting;
mod reason;
mod status;
mod transaction;
mod word;

pub use account::{Account, AccountInvalid};
pub use id::{
    EventId, EventKey, EventType, IdInvalid, Livemode, ObjectId, ProblemSlug, Provider, ProviderAccount,
    Source, TraceId,
};
pub use kind::{MovementKind, Part};
pub use money::UnixMillis;
pub use movement::{Movement, MovementDigest, MovementKey, content_digest};
pub use posting::{PostError, PostingTable, TableInvalid};
pub use reason::{Outcome, Reason};
pub use status::{ActionId, ActionKind, Status};
pub use transaction::{Entry, Imbalance, Transaction};
