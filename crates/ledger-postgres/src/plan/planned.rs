//! Rows that a plan will insert.

use bytes::Bytes;
use ledger::{EventKey, EventType, MovementKey, Outcome, Reason, TraceId, Transaction};
use ports::{DeliveryRecord, EventRecord, Recorded, Settlement};

use super::parked;

/// A row of `event`.
#[derive(Debug)]
pub(crate) struct NewEvent<'a> {
    pub(crate) record: &'a EventRecord,
    pub(crate) trace_id: Option<&'a TraceId>,
    /// Why it is not booked; `None` when it is.
    pub(crate) reason: Option<Reason>,
    pub(super) movements: Vec<&'a MovementKey>,
}

/// A row of `transaction` and its entries.
#[derive(Debug)]
pub(crate) struct NewTransaction<'a> {
    pub(crate) transaction: &'a Transaction,
    pub(crate) event: &'a EventKey,
    pub(crate) trace_id: Option<&'a TraceId>,
}

/// A row of `delivery`.
#[derive(Debug)]
pub(crate) struct NewDelivery<'a> {
    pub(crate) delivery: &'a DeliveryRecord,
    pub(crate) key: Option<&'a EventKey>,
    pub(crate) event_type: Option<&'a EventType>,
    pub(crate) event: Option<EventRow<'a>>,
    pub(crate) outcome: DeliveryOutcome,
    pub(crate) reason: Option<Reason>,
    pub(crate) evidence: Option<&'a Bytes>,
    pub(crate) broker_history: Option<&'a str>,
}

/// What became of a message; in Postgres a CHECK lists the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryOutcome {
    /// It brought an event, which became this.
    Brought(Outcome),
    /// Its event was there.
    Hit,
}

impl DeliveryOutcome {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Brought(outcome) => outcome.as_str(),
            Self::Hit => "hit",
        }
    }
}

/// A row of `event_transaction`; its event is always a new one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link<'a> {
    pub(crate) event: &'a EventKey,
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

    pub(super) fn answer(&self, settlement: Settlement) -> Recorded {
        let movements = self.movements.iter().map(|&key| key.clone()).collect();
        Recorded { settlement, outcome: self.outcome(), reason: self.reason, movements }
    }
}

impl<'a> NewDelivery<'a> {
    pub(super) fn of_event(
        delivery: &'a DeliveryRecord,
        event: &'a EventRecord,
        row: EventRow<'a>,
        outcome: DeliveryOutcome,
        reason: Option<Reason>,
    ) -> Self {
        Self {
            delivery,
            key: Some(&event.key),
            event_type: Some(&event.event_type),
            event: Some(row),
            outcome,
            reason,
            evidence: None,
            broker_history: None,
        }
    }

    pub(super) fn evidence(
        delivery: &'a DeliveryRecord,
        key: Option<&'a EventKey>,
        event_type: Option<&'a EventType>,
        reason: Reason,
        body: &'a Bytes,
    ) -> Self {
        Self {
            delivery,
            key,
            event_type,
            event: None,
            outcome: DeliveryOutcome::Brought(Outcome::Parked),
            reason: Some(reason),
            evidence: Some(body),
            broker_history: None,
        }
    }

    /// The id is that of another event: a delivery row with the content, never an event row.
    pub(super) fn reused(delivery: &'a DeliveryRecord, event: &'a EventRecord) -> (Self, Recorded) {
        let reason = Reason::EventIdReused;
        let row = Self::evidence(delivery, Some(&event.key), Some(&event.event_type), reason, &event.payload);
        (row, parked(Settlement::Reused, reason))
    }
}
