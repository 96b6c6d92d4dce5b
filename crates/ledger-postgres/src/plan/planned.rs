//! Rows that a plan will insert.

use bytes::Bytes;
use ledger::{
    ActionId, EventKey, EventType, MovementKey, Outcome, Reason, Source, Status, TraceId, Transaction,
};
use ports::{DeliveryRecord, EventRecord, Gate, Recorded, Settlement, Subject};
use wire::Event;

use super::parked;

/// A row of `event`.
#[derive(Debug)]
pub(crate) struct NewEvent<'a> {
    pub(crate) record: &'a EventRecord,
    pub(crate) trace_id: Option<&'a TraceId>,
    /// Why it is not booked; `None` when it is.
    pub(crate) reason: Option<Reason>,
}

/// A row of `event_status`.
#[derive(Debug)]
pub(crate) struct NewStatus<'a> {
    pub(crate) event: EventRow<'a>,
    pub(crate) rank: i32,
    pub(crate) status: Status,
    pub(crate) reason: Option<Reason>,
    pub(crate) cause: Cause<'a>,
}

/// What a status came by; in Postgres a CHECK lists the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause<'a> {
    /// A delivery took over, in this trace.
    Delivery(Option<&'a TraceId>),
    /// An operator's action.
    Action(ActionId),
}

impl Cause<'_> {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Delivery(_) => "delivery",
            Self::Action(_) => "action",
        }
    }
}

/// A row of `transaction` and its entries.
#[derive(Debug)]
pub(crate) struct NewTransaction<'a> {
    pub(crate) transaction: &'a Transaction,
    pub(crate) event: EventRow<'a>,
    pub(crate) source: &'a Source,
    pub(crate) trace_id: Option<&'a TraceId>,
}

/// A row of `delivery`.
#[derive(Debug)]
pub(crate) struct NewDelivery<'a> {
    pub(crate) delivery: &'a DeliveryRecord,
    pub(crate) named: Named<'a>,
    pub(crate) event: Option<EventRow<'a>>,
    pub(crate) outcome: DeliveryOutcome,
    pub(crate) evidence: Option<&'a Bytes>,
    pub(crate) broker_history: Option<&'a str>,
}

/// What a message names, as far as that is known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Named<'a> {
    pub(crate) source: Option<&'a Source>,
    pub(crate) key: Option<&'a EventKey>,
    pub(crate) event_type: Option<&'a EventType>,
}

impl<'a> Named<'a> {
    fn event(event: &'a Event) -> Self {
        let key = &event.key;
        Self { source: Some(&key.source), key: Some(key), event_type: Some(&event.event_type) }
    }
}

impl<'a> From<&'a Subject> for Named<'a> {
    fn from(subject: &'a Subject) -> Self {
        match subject {
            Subject::Event(key) => Self { source: Some(&key.source), key: Some(key), event_type: None },
            Subject::Source(source) => Self { source: Some(source), ..Self::default() },
            Subject::Unknown => Self::default(),
        }
    }
}

/// What became of a message; in Postgres a CHECK lists the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryOutcome {
    /// It brought an event, or took it over, and that was booked.
    Booked,
    /// It brought what is ignored or parked for this reason, or is parked itself.
    Kept(Reason),
    /// Its event was there.
    Hit,
    /// The gate had refused it.
    Refused(Reason),
}

impl DeliveryOutcome {
    pub(super) fn of(reason: Option<Reason>) -> Self {
        reason.map_or(Self::Booked, Self::Kept)
    }

    /// Of evidence: what the gate itself refuses a delivery for, it has refused it for; anything else was found here.
    fn of_evidence(gate: Gate, reason: Reason) -> Self {
        let refusable =
            reason.is_of_gate() || matches!(reason, Reason::EventIdReused | Reason::PayloadInvalid);
        match gate {
            Gate::Refused if refusable => Self::Refused(reason),
            Gate::Refused | Gate::Accepted => Self::Kept(reason),
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Booked => Outcome::Booked.as_str(),
            Self::Kept(reason) => reason.outcome().as_str(),
            Self::Hit => "hit",
            Self::Refused(_) => "refused",
        }
    }

    pub(crate) const fn reason(self) -> Option<Reason> {
        match self {
            Self::Booked | Self::Hit => None,
            Self::Kept(reason) | Self::Refused(reason) => Some(reason),
        }
    }
}

/// A row of `event_transaction`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link<'a> {
    pub(crate) event: EventRow<'a>,
    pub(crate) transaction: TransactionRow<'a>,
    pub(crate) role: Role,
}

/// What an event is to a transaction; in Postgres a CHECK lists the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    First,
    Describer,
    Conflict,
}

impl Role {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Describer => "describer",
            Self::Conflict => "conflict",
        }
    }
}

/// An event's row: there, or about to be inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventRow<'a> {
    Standing(i64),
    New(&'a EventKey),
}

/// A transaction's row: there, or about to be inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionRow<'a> {
    Standing(i64),
    New(&'a MovementKey),
}

impl NewEvent<'_> {
    pub(crate) fn outcome(&self) -> Outcome {
        self.reason.map_or(Outcome::Booked, Reason::outcome)
    }
}

impl<'a> NewDelivery<'a> {
    pub(super) fn of_event(
        delivery: &'a DeliveryRecord,
        event: &'a Event,
        row: EventRow<'a>,
        outcome: DeliveryOutcome,
    ) -> Self {
        let named = Named::event(event);
        Self { delivery, named, event: Some(row), outcome, evidence: None, broker_history: None }
    }

    pub(super) fn evidence(delivery: &'a DeliveryRecord, named: Named<'a>, reason: Reason) -> Self {
        let outcome = DeliveryOutcome::of_evidence(delivery.gate, reason);
        let evidence = Some(&delivery.message);
        Self { delivery, named, event: None, outcome, evidence, broker_history: None }
    }

    /// The id is that of another event: a delivery row with the content, never an event row.
    pub(super) fn reused(delivery: &'a DeliveryRecord, event: &'a Event) -> (Self, Recorded) {
        let reason = Reason::EventIdReused;
        let row = Self::evidence(delivery, Named::event(event), reason);
        (row, parked(Settlement::Reused, reason))
    }
}
