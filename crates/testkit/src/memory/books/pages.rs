//! What stands in the books, and how one message changes it.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{EventKey, MovementKey, Outcome, Reason, TraceId, Transaction};
use ports::{BooksError, Decision, DeliveryRecord, EventRecord, Filing, Record, Recorded, Settlement};
use wire::{InstanceId, Sequence};

/// All that is committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) events: BTreeMap<EventKey, EventKept>,
    pub(super) deliveries: BTreeMap<(InstanceId, Sequence), DeliveryKept>,
    pub(super) transactions: BTreeMap<MovementKey, TransactionKept>,
}

/// An event in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventKept {
    /// As it came first.
    pub record: EventRecord,
    /// The trace of the delivery that brought it.
    pub trace_id: Option<TraceId>,
    /// What its first processing found.
    pub outcome: Outcome,
    /// Why, unless booked.
    pub reason: Option<Reason>,
    /// The movements it asserts, if it is booked.
    pub movements: BTreeSet<MovementKey>,
}

/// A message in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryKept {
    /// How it came.
    pub delivery: DeliveryRecord,
    /// The event that it names, even where it is kept as evidence only.
    pub key: Option<EventKey>,
    /// The first answer.
    pub answer: Recorded,
}

/// A transaction in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionKept {
    /// With its entries.
    pub transaction: Transaction,
    /// The event that made it.
    pub first: EventKey,
    /// The other booked events that assert it.
    pub describers: BTreeSet<EventKey>,
    /// The events that assert the movement with other money.
    pub conflicts: BTreeSet<EventKey>,
}

impl Pages {
    /// Records one message.
    pub(super) fn record(
        &mut self,
        record: &Record,
        refused: &BTreeSet<EventKey>,
    ) -> Result<Recorded, BooksError> {
        let identity = (record.delivery.instance, record.delivery.sequence);
        if let Some(kept) = self.deliveries.get(&identity) {
            return Ok(Recorded { settlement: Settlement::Again, ..kept.answer.clone() });
        }
        let (key, answer) = match &record.filing {
            Filing::Evidence { reason, .. } if reason.outcome() != Outcome::Parked => {
                return Err(BooksError::Refused("evidence is parked and nothing else".to_owned()));
            }
            Filing::Evidence { key, reason, .. } => (key.clone(), parked(Settlement::Evidence, *reason)),
            Filing::Event(event, _) if refused.contains(&event.key) => {
                return Err(BooksError::Refused("refused on demand".to_owned()));
            }
            Filing::Event(event, decision) => {
                (Some(event.key.clone()), self.file(event, decision, &record.delivery)?)
            }
        };
        let kept = DeliveryKept { delivery: record.delivery.clone(), key, answer: answer.clone() };
        self.deliveries.insert(identity, kept);
        Ok(answer)
    }

    fn file(
        &mut self,
        event: &EventRecord,
        decision: &Decision,
        delivery: &DeliveryRecord,
    ) -> Result<Recorded, BooksError> {
        if let Some(kept) = self.events.get(&event.key) {
            if kept.record.fingerprint.contradicts(&event.fingerprint) {
                return Ok(parked(Settlement::Reused, Reason::EventIdReused));
            }
            return Ok(kept.answer(Settlement::Hit));
        }
        if core::str::from_utf8(&event.payload).is_err() || event.payload.contains(&0) {
            return Err(BooksError::Refused("a payload is no text".to_owned()));
        }
        let (reason, movements) = match decision {
            Decision::Keep(reason) => (Some(*reason), BTreeSet::new()),
            Decision::Book(asserted) if asserted.is_empty() => {
                return Err(BooksError::Refused(
                    "an event is to be booked and asserts no movement".to_owned(),
                ));
            }
            Decision::Book(asserted) if self.contradict(&event.key, asserted) => {
                (Some(Reason::MovementConflict), BTreeSet::new())
            }
            Decision::Book(asserted) => (None, self.book(&event.key, asserted)),
        };
        let kept = EventKept {
            record: event.clone(),
            trace_id: delivery.trace_id.clone(),
            outcome: reason.map_or(Outcome::Booked, Reason::outcome),
            reason,
            movements,
        };
        let answer = kept.answer(Settlement::New);
        self.events.insert(event.key.clone(), kept);
        Ok(answer)
    }

    /// Whether one of the movements has other money than the books, or than another of them.
    fn contradict(&mut self, event: &EventKey, asserted: &[Transaction]) -> bool {
        let mut contradiction = false;
        for one in asserted {
            contradiction |=
                asserted.iter().any(|other| other.key() == one.key() && other.digest() != one.digest());
            if let Some(kept) = self.transactions.get_mut(one.key())
                && kept.transaction.digest() != one.digest()
            {
                kept.conflicts.insert(event.clone());
                contradiction = true;
            }
        }
        contradiction
    }

    fn book(&mut self, event: &EventKey, asserted: &[Transaction]) -> BTreeSet<MovementKey> {
        for transaction in asserted {
            match self.transactions.get_mut(transaction.key()) {
                Some(kept) if kept.first == *event => {}
                Some(kept) => {
                    kept.describers.insert(event.clone());
                }
                None => {
                    let kept = TransactionKept {
                        transaction: transaction.clone(),
                        first: event.clone(),
                        describers: BTreeSet::new(),
                        conflicts: BTreeSet::new(),
                    };
                    self.transactions.insert(transaction.key().clone(), kept);
                }
            }
        }
        asserted.iter().map(|transaction| transaction.key().clone()).collect()
    }
}

impl EventKept {
    fn answer(&self, settlement: Settlement) -> Recorded {
        let Self { outcome, reason, movements, .. } = self;
        Recorded {
            settlement,
            outcome: *outcome,
            reason: *reason,
            movements: movements.iter().cloned().collect(),
        }
    }
}

fn parked(settlement: Settlement, reason: Reason) -> Recorded {
    Recorded { settlement, outcome: Outcome::Parked, reason: Some(reason), movements: Vec::new() }
}
