//! The database of the books, as the processor sees it.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use ledger::{
    EventKey, EventType, MovementKey, ObjectId, Outcome, Provider, Reason, TraceId, Transaction, UnixMillis,
};
use wire::{Fingerprint, InstanceId, ReplayCheck, Sequence};

/// The books.
pub trait Books: Send + Sync {
    /// Records a batch in one database transaction, all or nothing; one answer per record, in order.
    ///
    /// Recording the same delivery again, in whatever company, changes nothing and gives the same answer.
    fn record<'a>(&'a self, batch: &'a [Record]) -> BoxFuture<'a, Result<Vec<Recorded>, BooksError>>;

    /// Commits a write that means nothing: whether the books can be written again after an outage.
    fn probe(&self) -> BoxFuture<'_, Result<(), BooksError>>;
}

/// Why a batch was not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BooksError {
    /// The database is away, busy or lost the connection; COMMIT may or may not have happened. Try the same batch again.
    #[error("the books are unavailable: {0}")]
    Unavailable(String),
    /// The database refuses something in the batch (SQLSTATE class 22 or 23, or a guard). Try smaller batches.
    #[error("the books refuse the batch: {0}")]
    Refused(String),
    /// The database is not the one that this version needs. A person has to look.
    #[error("the books are of another version: {0}")]
    Incompatible(String),
}

/// One message, decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// How it came.
    pub delivery: DeliveryRecord,
    /// What it is.
    pub filing: Filing,
}

/// How a message came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// Who sent it.
    pub instance: InstanceId,
    /// Its number there; unique with `instance`.
    pub sequence: Sequence,
    /// When the ingress received it.
    pub received_at: UnixMillis,
    /// Whether the cache was asked.
    pub replay_check: ReplayCheck,
    /// The trace it belongs to.
    pub trace_id: Option<TraceId>,
}

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filing {
    /// An event with the decision on it.
    Event(EventRecord, Decision),
    /// Evidence without an event: a message that does not decode, or that was delivered too often. It makes a delivery
    /// row only, parked.
    Evidence {
        /// What the headers say it is, as far as they say.
        key: Option<EventKey>,
        /// Why it is no event.
        reason: Reason,
        /// The bytes, as they were.
        body: Bytes,
        /// What the broker says of its way (`x-death`), if it was dead-lettered.
        broker_history: Option<String>,
    },
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// Its identity.
    pub key: EventKey,
    /// The provider whose scheme its source speaks.
    pub provider: Provider,
    /// What happened.
    pub event_type: EventType,
    /// The object it shows.
    pub object_id: Option<ObjectId>,
    /// Its own creation.
    pub occurred_at: UnixMillis,
    /// Its content.
    pub fingerprint: Fingerprint,
    /// The version of the keep-list.
    pub keep_list_version: u32,
    /// The minimised event: JSON text.
    pub payload: Bytes,
}

/// What the event alone decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Book these movements, each once; at least one.
    Book(Vec<Transaction>),
    /// Keep it as ignored or parked, by the reason's outcome.
    Keep(Reason),
}

/// What recording a message did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Whether this message brought the event.
    pub settlement: Settlement,
    /// Where the event stands (for evidence: `Parked`).
    pub outcome: Outcome,
    /// Why, unless booked.
    pub reason: Option<Reason>,
    /// Every movement that the event asserts and the books hold, in the order of their keys.
    pub movements: Vec<MovementKey>,
}

/// What a message was to the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// It brought a new event.
    New,
    /// The event was there: another delivery had brought it.
    Hit,
    /// This very message was recorded before.
    Again,
    /// The event's id belongs to another content; the message is kept as evidence.
    Reused,
    /// Evidence without an event.
    Evidence,
}
