//! What a batch means, given what stands in the books: a pure function from values to the rows to insert.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use ledger::{EventKey, EventType, MovementDigest, MovementKey, Outcome, Reason, TraceId, Transaction};
use ports::{BooksError, Decision, DeliveryRecord, EventRecord, Filing, Record, Recorded, Settlement};
use wire::{Fingerprint, InstanceId, Sequence};

/// What identifies a message.
pub(crate) type DeliveryKey = (InstanceId, Sequence);

/// What the books hold of all that a batch names.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) deliveries: HashMap<DeliveryKey, StandingDelivery>,
    pub(crate) events: HashMap<EventKey, StandingEvent>,
    pub(crate) transactions: HashMap<MovementKey, StandingTransaction>,
}

/// A message that was recorded before, with the answer it got.
#[derive(Debug, Clone)]
pub(crate) struct StandingDelivery {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<Reason>,
    pub(crate) movements: Vec<MovementKey>,
}

/// An event that is there.
#[derive(Debug, Clone)]
pub(crate) struct StandingEvent {
    pub(crate) row: i64,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<Reason>,
    pub(crate) movements: Vec<MovementKey>,
}

/// A transaction that is there. The digest is `None` when it is of a version that we cannot compare.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StandingTransaction {
    pub(crate) row: i64,
    pub(crate) digest: Option<MovementDigest>,
}

/// The rows to insert, each kind in the order of its keys: every writer takes its locks in the same order.
#[derive(Debug, Default)]
pub(crate) struct Plan<'a> {
    pub(crate) events: BTreeMap<&'a EventKey, NewEvent<'a>>,
    pub(crate) transactions: BTreeMap<&'a MovementKey, NewTransaction<'a>>,
    pub(crate) deliveries: BTreeMap<DeliveryKey, NewDelivery<'a>>,
    pub(crate) links: Vec<Link<'a>>,
}

/// A row of `event`.
#[derive(Debug)]
pub(crate) struct NewEvent<'a> {
    pub(crate) record: &'a EventRecord,
    pub(crate) trace_id: Option<&'a TraceId>,
    /// Why it is not booked; `None` when it is.
    pub(crate) reason: Option<Reason>,
    movements: Vec<&'a MovementKey>,
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

impl<'a> Plan<'a> {
    /// Decides on every record, as if they came one by one in the order of instance and sequence; one answer per record
    /// in the order of `batch`. `Refused` when the batch asks for what no books can hold.
    pub(crate) fn of(batch: &'a [Record], standing: &Standing) -> Result<(Self, Vec<Recorded>), BooksError> {
        let mut order: Vec<(usize, &Record)> = batch.iter().enumerate().collect();
        order.sort_by_key(|(_, record)| delivery_key(record));
        let mut plan = Self::default();
        let mut answers: Vec<(usize, Recorded)> = Vec::with_capacity(batch.len());
        let mut previous: Option<(DeliveryKey, Recorded)> = None;
        for (position, record) in order {
            let key = delivery_key(record);
            let answer = match (previous, standing.deliveries.get(&key)) {
                (Some((same, answer)), _) if same == key => {
                    Recorded { settlement: Settlement::Again, ..answer }
                }
                (_, Some(StandingDelivery { outcome, reason, movements })) => Recorded {
                    settlement: Settlement::Again,
                    outcome: *outcome,
                    reason: *reason,
                    movements: movements.clone(),
                },
                (_, None) => plan.file(record, standing)?,
            };
            previous = Some((key, answer.clone()));
            answers.push((position, answer));
        }
        answers.sort_by_key(|(position, _)| *position);
        Ok((plan, answers.into_iter().map(|(_, answer)| answer).collect()))
    }

    /// Whether there is nothing to insert.
    pub(crate) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// Files a message that was never recorded.
    fn file(&mut self, record: &'a Record, standing: &Standing) -> Result<Recorded, BooksError> {
        let (row, answer) = match &record.filing {
            Filing::Evidence { reason, .. } if reason.outcome() != Outcome::Parked => {
                return Err(BooksError::Refused("evidence is parked and nothing else".to_owned()));
            }
            Filing::Evidence { key, reason, body } => {
                let row = NewDelivery::evidence(&record.delivery, key.as_ref(), None, *reason, body);
                (row, parked(Settlement::Evidence, *reason))
            }
            Filing::Event(event, decision) => self.file_event(&record.delivery, event, decision, standing)?,
        };
        self.deliveries.insert(delivery_key(record), row);
        Ok(answer)
    }

    fn file_event(
        &mut self,
        delivery: &'a DeliveryRecord,
        event: &'a EventRecord,
        decision: &'a Decision,
        standing: &Standing,
    ) -> Result<(NewDelivery<'a>, Recorded), BooksError> {
        let there = standing
            .events
            .get(&event.key)
            .map(|there| (there.fingerprint, EventRow::Standing(there.row), there.answer()));
        let planned = self.events.get(&event.key).map(|planned| {
            let row = EventRow::New(&planned.record.key);
            (planned.record.fingerprint, row, planned.answer(Settlement::Hit))
        });
        if let Some((fingerprint, row, answer)) = there.or(planned) {
            if fingerprint.contradicts(&event.fingerprint) {
                return Ok(NewDelivery::reused(delivery, event));
            }
            return Ok((NewDelivery::of_event(delivery, event, row, DeliveryOutcome::Hit, None), answer));
        }
        let new = self.decide(event, decision, delivery.trace_id.as_ref(), standing)?;
        let outcome = DeliveryOutcome::Brought(new.outcome());
        let row = NewDelivery::of_event(delivery, event, EventRow::New(&event.key), outcome, new.reason);
        let answer = new.answer(Settlement::New);
        self.events.insert(&event.key, new);
        Ok((row, answer))
    }

    /// A new event: all of its movements, or, when one of them contradicts the books, none.
    fn decide(
        &mut self,
        event: &'a EventRecord,
        decision: &'a Decision,
        trace_id: Option<&'a TraceId>,
        standing: &Standing,
    ) -> Result<NewEvent<'a>, BooksError> {
        let kept = |reason| NewEvent { record: event, trace_id, reason: Some(reason), movements: Vec::new() };
        let asserted = match decision {
            Decision::Keep(reason) => return Ok(kept(*reason)),
            Decision::Book(asserted) if asserted.is_empty() => {
                return Err(BooksError::Refused(
                    "an event is to be booked and asserts no movement".to_owned(),
                ));
            }
            Decision::Book(asserted) => asserted,
        };
        let mut movements: BTreeMap<&'a MovementKey, &'a Transaction> = BTreeMap::new();
        let mut conflicts: Vec<TransactionRow<'a>> = Vec::new();
        let mut contradicts_itself = false;
        for transaction in asserted {
            let first = *movements.entry(transaction.key()).or_insert(transaction);
            contradicts_itself |= first.digest() != transaction.digest();
            if let Some((row, held)) = self.held(transaction.key(), standing)
                && held.is_some_and(|held| held != transaction.digest())
                && !conflicts.contains(&row)
            {
                conflicts.push(row);
            }
        }
        if contradicts_itself || !conflicts.is_empty() {
            let link = |transaction| Link { event: &event.key, transaction, role: Role::Conflict };
            self.links.extend(conflicts.into_iter().map(link));
            return Ok(kept(Reason::MovementConflict));
        }
        for (&key, &transaction) in &movements {
            let (transaction_row, role) = match self.held(key, standing) {
                Some((row, _)) => (row, Role::Describer),
                None => {
                    self.transactions
                        .insert(key, NewTransaction { transaction, event: &event.key, trace_id });
                    (TransactionRow::New(key), Role::First)
                }
            };
            self.links.push(Link { event: &event.key, transaction: transaction_row, role });
        }
        let movements = movements.into_keys().collect();
        Ok(NewEvent { record: event, trace_id, reason: None, movements })
    }

    /// The transaction of this key, standing or planned, with its digest where that can be compared.
    fn held(
        &self,
        key: &'a MovementKey,
        standing: &Standing,
    ) -> Option<(TransactionRow<'a>, Option<MovementDigest>)> {
        let there =
            standing.transactions.get(key).map(|there| (TransactionRow::Standing(there.row), there.digest));
        there.or_else(|| {
            let planned = self.transactions.get(key)?;
            Some((TransactionRow::New(planned.transaction.key()), Some(planned.transaction.digest())))
        })
    }
}

pub(crate) fn delivery_key(record: &Record) -> DeliveryKey {
    (record.delivery.instance, record.delivery.sequence)
}

impl NewEvent<'_> {
    pub(crate) fn outcome(&self) -> Outcome {
        self.reason.map_or(Outcome::Booked, Reason::outcome)
    }

    fn answer(&self, settlement: Settlement) -> Recorded {
        let movements = self.movements.iter().map(|&key| key.clone()).collect();
        Recorded { settlement, outcome: self.outcome(), reason: self.reason, movements }
    }
}

impl StandingEvent {
    fn answer(&self) -> Recorded {
        let Self { outcome, reason, movements, .. } = self;
        Recorded {
            settlement: Settlement::Hit,
            outcome: *outcome,
            reason: *reason,
            movements: movements.clone(),
        }
    }
}

impl<'a> NewDelivery<'a> {
    fn of_event(
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
        }
    }

    fn evidence(
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
        }
    }

    /// The id is that of another event: a delivery row with the content, never an event row.
    fn reused(delivery: &'a DeliveryRecord, event: &'a EventRecord) -> (Self, Recorded) {
        let reason = Reason::EventIdReused;
        let row = Self::evidence(delivery, Some(&event.key), Some(&event.event_type), reason, &event.payload);
        (row, parked(Settlement::Reused, reason))
    }
}

fn parked(settlement: Settlement, reason: Reason) -> Recorded {
    Recorded { settlement, outcome: Outcome::Parked, reason: Some(reason), movements: Vec::new() }
}
