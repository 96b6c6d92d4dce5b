//! What a batch means, given what stands in the books: a pure function from values to the rows to insert.

mod planned;

use std::collections::{BTreeMap, HashMap};

use ledger::{EventKey, MovementDigest, MovementKey, Outcome, Reason, TraceId, Transaction};
use ports::{BooksError, Decision, DeliveryRecord, EventRecord, Filing, Record, Recorded, Settlement};
use wire::{Fingerprint, InstanceId, Sequence};

pub(crate) use planned::{
    DeliveryOutcome, EventRow, Link, NewDelivery, NewEvent, NewTransaction, Role, TransactionRow,
};

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
            Filing::Evidence { key, reason, body, broker_history } => {
                let mut row = NewDelivery::evidence(&record.delivery, key.as_ref(), None, *reason, body);
                row.broker_history = broker_history.as_deref();
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

fn parked(settlement: Settlement, reason: Reason) -> Recorded {
    Recorded { settlement, outcome: Outcome::Parked, reason: Some(reason), movements: Vec::new() }
}

#[cfg(test)]
mod tests {
    use testkit::contract::books::samples::{booking, capture_key, delivery, event_key};

    use super::*;

    #[test]
    fn every_writer_takes_its_keys_in_the_same_order_whatever_the_order_of_its_batch() {
        let one = booking(delivery(1, 1), "evt_b", &[("ch_z", 1), ("ch_a", 1)]);
        let other = booking(delivery(1, 2), "evt_a", &[("ch_m", 1)]);
        for batch in [[one.clone(), other.clone()], [other, one]] {
            let (plan, _) = Plan::of(&batch, &Standing::default()).unwrap();
            let events: Vec<String> = plan.events.keys().map(|key| key.event_id.to_string()).collect();
            let objects: Vec<String> =
                plan.transactions.keys().map(|key| key.object_id.to_string()).collect();
            let deliveries: Vec<u64> = plan.deliveries.keys().map(|(_, sequence)| sequence.0).collect();
            assert_eq!(
                (events, objects, deliveries),
                (
                    vec!["evt_a".to_owned(), "evt_b".to_owned()],
                    vec!["ch_a".to_owned(), "ch_m".to_owned(), "ch_z".to_owned()],
                    vec![1, 2],
                )
            );
        }
    }

    #[test]
    fn a_digest_of_another_version_contradicts_nobody() {
        let batch = [booking(delivery(1, 1), "evt_1", &[("ch_1", 100)])];
        let held = StandingTransaction { row: 7, digest: None };
        let standing =
            Standing { transactions: HashMap::from([(capture_key("ch_1"), held)]), ..Standing::default() };
        let (plan, answers) = Plan::of(&batch, &standing).unwrap();
        let described = Link {
            event: &event_key("evt_1"),
            transaction: TransactionRow::Standing(7),
            role: Role::Describer,
        };
        assert_eq!(plan.links, [described]);
        assert!(plan.transactions.is_empty());
        assert_eq!(answers.first().map(|answer| answer.outcome), Some(Outcome::Booked));
    }

    #[test]
    fn a_batch_of_what_was_recorded_before_writes_nothing() {
        let batch = [booking(delivery(1, 1), "evt_1", &[("ch_1", 100)])];
        let before =
            StandingDelivery { outcome: Outcome::Booked, reason: None, movements: vec![capture_key("ch_1")] };
        let key = (batch[0].delivery.instance, batch[0].delivery.sequence);
        let standing = Standing { deliveries: HashMap::from([(key, before)]), ..Standing::default() };
        let (plan, answers) = Plan::of(&batch, &standing).unwrap();
        assert!(plan.is_empty() && plan.events.is_empty() && plan.links.is_empty());
        assert_eq!(answers[0].settlement, Settlement::Again);
    }
}
