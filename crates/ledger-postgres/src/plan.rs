//! What a batch means, given what stands in the books: a pure function from values to the rows to insert.

mod planned;

use std::collections::{BTreeMap, HashMap};

use ledger::{EventKey, MovementDigest, MovementKey, Outcome, Reason, Status, TraceId, Transaction};
use ports::{
    BooksError, Decision, DeliveryRecord, EventRecord, Filing, Gate, Known, Record, Recorded, Settlement,
};
use wire::{Fingerprint, InstanceId, Sequence};

pub(crate) use planned::{
    Cause, DeliveryOutcome, EventRow, Link, NewDelivery, NewEvent, NewStatus, NewTransaction, Role,
    TransactionRow,
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

/// A message that was recorded before.
#[derive(Debug, Clone)]
pub(crate) enum StandingDelivery {
    /// Of this event, whose standing is its answer.
    OfEvent(EventKey),
    /// Evidence.
    Evidence {
        /// Why it is no event.
        reason: Option<Reason>,
        /// The message.
        message: Vec<u8>,
    },
}

/// An event that is there.
#[derive(Debug, Clone)]
pub(crate) struct StandingEvent {
    pub(crate) row: i64,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) status: Status,
    /// Why, unless booked. Why it had been parked, if it is dismissed.
    pub(crate) reason: Option<Reason>,
    /// Of its last status; 0 for what its first processing found.
    pub(crate) rank: i32,
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
    pub(crate) statuses: BTreeMap<&'a EventKey, NewStatus<'a>>,
    pub(crate) transactions: BTreeMap<&'a MovementKey, NewTransaction<'a>>,
    pub(crate) deliveries: BTreeMap<DeliveryKey, NewDelivery<'a>>,
    pub(crate) links: Vec<Link<'a>>,
    now: HashMap<EventKey, Now<'a>>,
}

/// Where an event stands while the plan grows.
#[derive(Debug, Clone)]
pub(crate) struct Now<'a> {
    pub(crate) row: EventRow<'a>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) status: Status,
    pub(crate) reason: Option<Reason>,
    pub(crate) rank: i32,
    pub(crate) movements: Vec<MovementKey>,
}

/// What an event comes to.
#[derive(Debug)]
pub(crate) struct Decided {
    status: Status,
    /// Why, unless it is booked or dismissed.
    reason: Option<Reason>,
    movements: Vec<MovementKey>,
}

impl<'a> Plan<'a> {
    /// Decides on every record, as if they came one by one in the order of instance and sequence; one answer per record
    /// in the order of `batch`. `Refused` when the batch asks for what no books can hold.
    pub(crate) fn of(batch: &'a [Record], standing: &Standing) -> Result<(Self, Vec<Recorded>), BooksError> {
        let mut order: Vec<(usize, &Record)> = batch.iter().enumerate().collect();
        order.sort_by_key(|(_, record)| delivery_key(record));
        let mut plan = Self::default();
        let mut answers: Vec<(usize, Recorded)> = Vec::with_capacity(batch.len());
        let mut previous: Option<(&Record, Recorded)> = None;
        for (position, record) in order {
            let key = delivery_key(record);
            let answer = match (previous, standing.deliveries.get(&key)) {
                (_, Some(there)) if !is_known(record, there, standing) => Recorded::name_taken(),
                (_, Some(there)) => plan.again(there, standing)?,
                (Some((named, answer)), None) if delivery_key(named) == key => {
                    if named.delivery.message == record.delivery.message {
                        Recorded { settlement: Settlement::Again, ..answer }
                    } else {
                        answers.push((position, Recorded::name_taken()));
                        previous = Some((named, answer));
                        continue;
                    }
                }
                (_, None) => plan.file(record, standing)?,
            };
            previous = Some((record, answer.clone()));
            answers.push((position, answer));
        }
        answers.sort_by_key(|(position, _)| *position);
        Ok((plan, answers.into_iter().map(|(_, answer)| answer).collect()))
    }

    /// Whether there is nothing to insert.
    pub(crate) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
            && self.events.is_empty()
            && self.statuses.is_empty()
            && self.links.is_empty()
    }

    /// Where an event stands, this plan included; `None` when it is neither there nor planned.
    pub(crate) fn now(&self, key: &EventKey, standing: &Standing) -> Option<Now<'a>> {
        self.now.get(key).cloned().or_else(|| standing.events.get(key).map(Now::of))
    }

    fn again(&self, there: &StandingDelivery, standing: &Standing) -> Result<Recorded, BooksError> {
        match there {
            StandingDelivery::Evidence { reason, .. } => Ok(Recorded {
                settlement: Settlement::Again,
                outcome: Outcome::Parked,
                reason: *reason,
                movements: Vec::new(),
            }),
            StandingDelivery::OfEvent(key) => {
                let now = self.now(key, standing);
                now.map(|now| now.answer(Settlement::Again)).ok_or_else(|| {
                    BooksError::Incompatible("a delivery's event is not among the events".to_owned())
                })
            }
        }
    }

    /// Files a message that was never recorded.
    fn file(&mut self, record: &'a Record, standing: &Standing) -> Result<Recorded, BooksError> {
        let (row, answer) = match &record.filing {
            Filing::Evidence { reason, .. } if reason.outcome() != Outcome::Parked => {
                return Err(BooksError::Refused("evidence is parked and nothing else".to_owned()));
            }
            Filing::Evidence { subject, reason, broker_history } => {
                let mut row = NewDelivery::evidence(&record.delivery, subject.into(), *reason);
                row.broker_history = broker_history.as_deref();
                (row, parked(Settlement::Evidence, *reason))
            }
            Filing::Event(event) => self.file_event(&record.delivery, event, standing)?,
        };
        self.deliveries.insert(delivery_key(record), row);
        Ok(answer)
    }

    fn file_event(
        &mut self,
        delivery: &'a DeliveryRecord,
        record: &'a EventRecord,
        standing: &Standing,
    ) -> Result<(NewDelivery<'a>, Recorded), BooksError> {
        let refused_for = match record.decision {
            Decision::Keep(reason) if reason.is_of_gate() => Some(reason),
            Decision::Keep(_) | Decision::Book(_) => None,
        };
        if refused_for.is_some() != (delivery.gate == Gate::Refused) {
            return Err(BooksError::Refused("the gate's reasons go with its refusals alone".to_owned()));
        }
        let refused = refused_for.map(DeliveryOutcome::Refused);
        let key = &record.event.key;
        let Some(there) = self.now(key, standing) else {
            let now = self.bring(record, delivery.trace_id.as_ref(), standing)?;
            let outcome = refused.unwrap_or(DeliveryOutcome::of(now.reason));
            let row = NewDelivery::of_event(delivery, &record.event, now.row, outcome);
            return Ok((row, now.answer(Settlement::New)));
        };
        if there.fingerprint.contradicts(&record.event.fingerprint) {
            return Ok(NewDelivery::reused(delivery, &record.event));
        }
        if delivery.gate == Gate::Refused || !there.waits_for_the_gate() {
            let outcome = refused.unwrap_or(DeliveryOutcome::Hit);
            let row = NewDelivery::of_event(delivery, &record.event, there.row, outcome);
            return Ok((row, there.answer(Settlement::Hit)));
        }
        let decided = self.decide(record, there.row, delivery.trace_id.as_ref(), standing)?;
        let outcome = DeliveryOutcome::of(decided.reason);
        let now = self.follow(key, &there, decided, Cause::Delivery(delivery.trace_id.as_ref()))?;
        let row = NewDelivery::of_event(delivery, &record.event, now.row, outcome);
        Ok((row, now.answer(Settlement::TookOver)))
    }

    /// A new event, with what its first processing finds.
    fn bring(
        &mut self,
        record: &'a EventRecord,
        trace_id: Option<&'a TraceId>,
        standing: &Standing,
    ) -> Result<Now<'a>, BooksError> {
        let row = EventRow::New(&record.event.key);
        let decided = self.decide(record, row, trace_id, standing)?;
        Ok(self.insert(record, trace_id, decided))
    }

    /// A new event that is parked at first, whatever becomes of it then.
    pub(crate) fn bring_parked(
        &mut self,
        record: &'a EventRecord,
        trace_id: Option<&'a TraceId>,
        reason: Reason,
    ) -> Now<'a> {
        self.insert(record, trace_id, Decided::kept(reason))
    }

    fn insert(
        &mut self,
        record: &'a EventRecord,
        trace_id: Option<&'a TraceId>,
        decided: Decided,
    ) -> Now<'a> {
        let key = &record.event.key;
        self.events.insert(key, NewEvent { record, trace_id, reason: decided.reason });
        let now = Now {
            row: EventRow::New(key),
            fingerprint: record.event.fingerprint,
            status: decided.status,
            reason: decided.reason,
            rank: 0,
            movements: decided.movements,
        };
        self.now.insert(key.clone(), now.clone());
        now
    }

    /// One more status of an event that stands parked.
    pub(crate) fn follow(
        &mut self,
        key: &'a EventKey,
        there: &Now<'a>,
        decided: Decided,
        cause: Cause<'a>,
    ) -> Result<Now<'a>, BooksError> {
        let beyond = || BooksError::Refused("an event has too many statuses".to_owned());
        let now = Now {
            row: there.row,
            fingerprint: there.fingerprint,
            status: decided.status,
            reason: decided.reason,
            rank: there.rank.checked_add(1).ok_or_else(beyond)?,
            movements: decided.movements,
        };
        let Now { row, rank, status, reason, .. } = now;
        self.statuses.insert(key, NewStatus { event: row, rank, status, reason, cause });
        self.now.insert(key.clone(), now.clone());
        Ok(now)
    }

    /// What an event comes to: all of its movements, or, when one of them contradicts the books, none.
    pub(crate) fn decide(
        &mut self,
        record: &'a EventRecord,
        event: EventRow<'a>,
        trace_id: Option<&'a TraceId>,
        standing: &Standing,
    ) -> Result<Decided, BooksError> {
        let asserted = match &record.decision {
            Decision::Keep(reason) => return Ok(Decided::kept(*reason)),
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
            let link = |transaction| Link { event, transaction, role: Role::Conflict };
            self.links.extend(conflicts.into_iter().map(link));
            return Ok(Decided::kept(Reason::MovementConflict));
        }
        let source = &record.event.key.source;
        for (&key, &transaction) in &movements {
            let (transaction_row, role) = match self.held(key, standing) {
                Some((row, _)) => (row, Role::Describer),
                None => {
                    self.transactions.insert(key, NewTransaction { transaction, event, source, trace_id });
                    (TransactionRow::New(key), Role::First)
                }
            };
            self.links.push(Link { event, transaction: transaction_row, role });
        }
        let movements = movements.into_keys().cloned().collect();
        Ok(Decided { status: Status::Booked, reason: None, movements })
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

impl Decided {
    fn kept(reason: Reason) -> Self {
        Self { status: reason.outcome().into(), reason: Some(reason), movements: Vec::new() }
    }

    /// By an operator.
    pub(crate) const fn dismissed() -> Self {
        Self { status: Status::Dismissed, reason: None, movements: Vec::new() }
    }

    /// Whether that is what it stands parked for: nothing has become of it.
    pub(crate) fn is_parked_for(&self, reason: Option<Reason>) -> bool {
        self.status == Status::Parked && self.reason == reason
    }
}

impl Now<'_> {
    fn of(there: &StandingEvent) -> Self {
        let StandingEvent { row, fingerprint, status, reason, rank, movements } = there;
        Self {
            row: EventRow::Standing(*row),
            fingerprint: *fingerprint,
            status: *status,
            reason: *reason,
            rank: *rank,
            movements: movements.clone(),
        }
    }

    /// Whether a delivery that the gate accepts takes over.
    fn waits_for_the_gate(&self) -> bool {
        self.status == Status::Parked && self.reason.is_some_and(Reason::is_of_gate)
    }

    /// Who asks about a dismissed event is told why it had been parked: nothing else can be said of it to a provider.
    fn answer(&self, settlement: Settlement) -> Recorded {
        let outcome = match self.status {
            Status::Booked => Outcome::Booked,
            Status::Ignored => Outcome::Ignored,
            Status::Parked | Status::Dismissed => Outcome::Parked,
        };
        Recorded { settlement, outcome, reason: self.reason, movements: self.movements.clone() }
    }
}

/// Whether the message that was recorded under a record's name can be the record's.
fn is_known(record: &Record, there: &StandingDelivery, standing: &Standing) -> bool {
    match there {
        StandingDelivery::Evidence { message, .. } => record.may_be(Known::Evidence(message)),
        StandingDelivery::OfEvent(key) => {
            standing.events.get(key).is_none_or(|event| record.may_be(Known::Event(key, event.fingerprint)))
        }
    }
}

pub(crate) fn delivery_key(record: &Record) -> DeliveryKey {
    (record.delivery.origin.instance, record.delivery.origin.sequence)
}

fn parked(settlement: Settlement, reason: Reason) -> Recorded {
    Recorded { settlement, outcome: Outcome::Parked, reason: Some(reason), movements: Vec::new() }
}

#[cfg(test)]
mod tests;
