//! The books in memory: one message after the other, no server, and failures on demand.

use core::future::poll_fn;
use core::task::Poll;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::{
    Account, EventKey, Livemode, MovementKey, Outcome, ProviderAccount, Reason, TraceId, Transaction,
};
use ports::{
    Books, BooksError, BoxFuture, Decision, DeliveryRecord, EventRecord, Filing, Record, Recorded, Settlement,
};
use wire::{InstanceId, Sequence};

/// What befalls one call of `record` or `probe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BooksFault {
    /// Nothing.
    None,
    /// It is not done, and the caller learns that the books are away.
    Away,
    /// It is committed, and the caller learns only that the books are away.
    AnswerLost,
}

/// The books, in memory. Deterministic: no clock and no randomness; everything is kept in the order of its keys.
#[derive(Debug, Default)]
pub struct MemoryBooks {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pages: Pages,
    down: bool,
    faults: VecDeque<BooksFault>,
    refused: BTreeSet<EventKey>,
}

/// All that is committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Pages {
    events: BTreeMap<EventKey, EventKept>,
    deliveries: BTreeMap<(InstanceId, Sequence), DeliveryKept>,
    transactions: BTreeMap<MovementKey, TransactionKept>,
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

/// One balance: the book it is in, the account, the currency's code.
pub type BalanceKey = (ProviderAccount, Livemode, Account, &'static str);

impl MemoryBooks {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Is away for every call, or no longer.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    /// What befalls the next calls, in order; afterwards nothing does.
    pub fn inject(&self, faults: impl IntoIterator<Item = BooksFault>) {
        self.state().faults.extend(faults);
    }

    /// Refuses from now on every batch that would file this event as an event. As evidence it is taken.
    pub fn refuse(&self, key: EventKey) {
        self.state().refused.insert(key);
    }

    /// Every event.
    pub fn events(&self) -> BTreeMap<EventKey, EventKept> {
        self.state().pages.events.clone()
    }

    /// Every message.
    pub fn deliveries(&self) -> BTreeMap<(InstanceId, Sequence), DeliveryKept> {
        self.state().pages.deliveries.clone()
    }

    /// Every transaction.
    pub fn transactions(&self) -> BTreeMap<MovementKey, TransactionKept> {
        self.state().pages.transactions.clone()
    }

    /// Debits minus credits of every account, in minor units.
    pub fn trial_balance(&self) -> BTreeMap<BalanceKey, i128> {
        let mut balances = BTreeMap::new();
        for (key, kept) in &self.state().pages.transactions {
            for entry in kept.transaction.entries() {
                let account = (
                    key.account.clone(),
                    key.livemode,
                    entry.account.clone(),
                    entry.amount.currency().code(),
                );
                *balances.entry(account).or_default() += i128::from(entry.amount.minor());
            }
        }
        balances
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One database transaction, atomic in itself, between two instants at which others may run.
    async fn commit<T>(
        &self,
        work: impl FnOnce(&mut Pages, &BTreeSet<EventKey>) -> Result<T, BooksError>,
    ) -> Result<T, BooksError> {
        yielding().await;
        let (value, fault) = {
            let mut state = self.state();
            let fault = state.faults.pop_front().unwrap_or(BooksFault::None);
            if state.down || fault == BooksFault::Away {
                return Err(BooksError::Unavailable("away on demand".to_owned()));
            }
            let mut pages = state.pages.clone();
            let value = work(&mut pages, &state.refused)?;
            state.pages = pages;
            (value, fault)
        };
        yielding().await;
        match fault {
            BooksFault::AnswerLost => Err(BooksError::Unavailable("answer lost on demand".to_owned())),
            BooksFault::None | BooksFault::Away => Ok(value),
        }
    }
}

impl Books for MemoryBooks {
    fn record<'a>(&'a self, batch: &'a [Record]) -> BoxFuture<'a, Result<Vec<Recorded>, BooksError>> {
        Box::pin(self.commit(move |pages, refused| {
            let mut order: Vec<(usize, &Record)> = batch.iter().enumerate().collect();
            order.sort_by_key(|(_, record)| (record.delivery.instance, record.delivery.sequence));
            let mut answers = BTreeMap::new();
            for (position, record) in order {
                answers.insert(position, pages.record(record, refused)?);
            }
            Ok(answers.into_values().collect())
        }))
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), BooksError>> {
        Box::pin(self.commit(|_, _| Ok(())))
    }
}

impl Pages {
    fn record(&mut self, record: &Record, refused: &BTreeSet<EventKey>) -> Result<Recorded, BooksError> {
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

/// Gives every other task of the executor a turn.
async fn yielding() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
