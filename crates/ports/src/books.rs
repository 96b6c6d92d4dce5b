//! The database of the books, as the processor sees it.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use ledger::{EventKey, MovementKey, Outcome, Reason, Source, Status, TraceId, Transaction};
use money::Amount;
use wire::{ControlTotal, Event, Fingerprint, Origin, Request};

/// The books.
pub trait Books: Send + Sync {
    /// Records a batch of deliveries in one database transaction, all or nothing; one answer per record, in order.
    ///
    /// Recording the same delivery again, in whatever company, changes nothing; its answer is where its event stands now.
    /// Another one under the same name (instance and sequence) is not recorded, and has to come under another name.
    fn record<'a>(&'a self, batch: &'a [Record]) -> BoxFuture<'a, Result<Vec<Recorded>, BooksError>>;

    /// Records a control total; once, however often it comes.
    fn count<'a>(&'a self, total: &'a ControlTotal) -> BoxFuture<'a, Result<(), BooksError>>;

    /// Carries out what an operator has put down in the books, in one database transaction with its effect; once, however
    /// often it is asked for. `None`: there is no such action, and nothing is done.
    fn act<'a>(
        &'a self,
        request: Request,
        assess: &'a Assess,
    ) -> BoxFuture<'a, Result<Option<Acted>, BooksError>>;

    /// Commits a write that means nothing: whether the books can be written again after an outage.
    fn probe(&self) -> BoxFuture<'_, Result<(), BooksError>>;
}

/// What an event asserts, decided anew: what a release is booked by.
pub type Assess = dyn Fn(Event) -> EventRecord + Send + Sync;

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

/// A delivery, decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// How it came.
    pub delivery: DeliveryRecord,
    /// What it is.
    pub filing: Filing,
}

/// How a delivery came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// Who sent it, as which message, and when it arrived there.
    pub origin: Origin,
    /// What the ingress made of it.
    pub gate: Gate,
    /// The trace it belongs to.
    pub trace_id: Option<TraceId>,
    /// The encoded message: the evidence of what becomes no event.
    pub message: Bytes,
}

/// What is known of a delivery that was recorded before.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// It belongs to this event, which has this content.
    Event(&'a EventKey, Fingerprint),
    /// It is evidence: this message.
    Evidence(&'a [u8]),
}

impl Record {
    /// Whether it can be the delivery that was recorded under its name: of the same event, or the same bytes.
    pub fn may_be(&self, known: Known<'_>) -> bool {
        match (known, &self.filing) {
            (Known::Evidence(message), _) => self.delivery.message == message,
            (Known::Event(key, fingerprint), Filing::Event(EventRecord { event, .. })) => {
                let is_event = event.key == *key || event.key_of_content() == *key;
                is_event && !fingerprint.contradicts(&event.fingerprint)
            }
            (Known::Event(key, _), Filing::Evidence { subject, .. }) => {
                *subject == Subject::Event(key.clone())
            }
        }
    }
}

/// What the ingress made of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It accepted it.
    Accepted,
    /// It refused it; this is the evidence.
    Refused,
}

/// What a delivery is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filing {
    /// An event with the decision on it. One that the gate accepted takes over an event that stands parked for a reason
    /// of the gate; one that the gate refused is kept if it is new, and changes nothing if it is not.
    Event(EventRecord),
    /// Evidence that makes no event: a message that does not decode or was delivered too often, another content under the
    /// id of an event, a body that is none. It makes a delivery row only.
    Evidence {
        /// What is known of whose it is.
        subject: Subject,
        /// Why it is no event.
        reason: Reason,
        /// What the broker says of its way (`x-death`), if it was dead-lettered.
        broker_history: Option<String>,
    },
}

/// Whose evidence it is, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An event's.
    Event(EventKey),
    /// A source's.
    Source(Source),
    /// Nobody can tell.
    Unknown,
}

/// An event, decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// The event.
    pub event: Event,
    /// The amount that its object shows, whether or not it is booked: what is at stake while it is parked.
    pub money: Option<Amount>,
    /// What it alone decides.
    pub decision: Decision,
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
    /// Another message was recorded under its instance and sequence, and nothing of this one.
    NameTaken,
    /// The event stood parked for a reason of the gate, and this delivery of it took over.
    TookOver,
    /// The event's id belongs to another content; the message is kept as evidence.
    Reused,
    /// Evidence without an event.
    Evidence,
}

impl Recorded {
    /// The answer to a delivery whose name another one has.
    pub const fn name_taken() -> Self {
        Self {
            settlement: Settlement::NameTaken,
            outcome: Outcome::Parked,
            reason: None,
            movements: Vec::new(),
        }
    }
}

/// What carrying out an action did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acted {
    /// The event that it was about; `None` for evidence that is none.
    pub event: Option<Event>,
    /// Where that stands now, by this action or before it.
    pub status: Status,
    /// Why, unless booked or dismissed.
    pub reason: Option<Reason>,
    /// Every movement that the event asserts and the books hold, in the order of their keys.
    pub movements: Vec<MovementKey>,
    /// The trace of the delivery that brought the event.
    pub trace_id: Option<TraceId>,
}
