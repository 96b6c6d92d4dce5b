//! Rows of the books in memory.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    ActionId, ActionKind, Entry, EventKey, MovementKey, Outcome, Reason, Status, TraceId, Transaction,
    UnixMillis,
};
use ports::{DeliveryRecord, EventRecord, Recorded, Settlement};
use wire::{InstanceId, Listed, Sequence};

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
    /// What became of it afterwards.
    pub statuses: Vec<StatusKept>,
    /// The movements it asserts, if it is booked.
    pub movements: BTreeSet<MovementKey>,
}

/// What became of an event after its first processing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusKept {
    /// What.
    pub status: Status,
    /// Why, unless booked or dismissed.
    pub reason: Option<Reason>,
    /// By which action; by a delivery without one.
    pub action: Option<ActionId>,
    /// The trace of the delivery that took over.
    pub trace_id: Option<TraceId>,
}

/// A message in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryKept {
    /// How it came.
    pub delivery: DeliveryRecord,
    /// The event that it names, even where it is kept as evidence only.
    pub key: Option<EventKey>,
    /// What became of the message: `booked`, `hit`, `ignored`, `parked`, `refused`.
    pub outcome: &'static str,
    /// Why, where it was ignored, parked or refused.
    pub reason: Option<Reason>,
    /// The first answer.
    pub answer: Recorded,
}

/// A transaction in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionKept {
    /// As it was to be written.
    pub transaction: Transaction,
    /// Its entries as they were written.
    pub entries: Vec<Entry>,
    /// The event that made it.
    pub first: EventKey,
    /// The other booked events that assert it.
    pub describers: BTreeSet<EventKey>,
    /// The events that assert the movement with other money.
    pub conflicts: BTreeSet<EventKey>,
}

/// A control total in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotalKept {
    /// When the window was closed; of one that was told of again, when the next was.
    pub closed_at: UnixMillis,
    /// How many messages were confirmed since the instance began.
    pub confirmed: u64,
    /// Whether the instance ended with it.
    pub last: bool,
    /// What was confirmed in it.
    pub listed: Vec<Listed>,
    /// Whether the total itself was lost and only the next one told of it.
    pub restated: bool,
}

/// What an operator's action is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// An event.
    Event(EventKey),
    /// A message that is evidence only.
    Delivery(InstanceId, Sequence),
}

/// An operator's action in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionKept {
    /// What was asked for.
    pub kind: ActionKind,
    /// Of what.
    pub target: Target,
    /// What came of it.
    pub effect: Option<Effect>,
}

/// What came of an operator's action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Where its target stood then.
    pub status: Status,
    /// Why, unless booked or dismissed.
    pub reason: Option<Reason>,
    /// The event that it came to; `None` for evidence that is none.
    pub event: Option<EventKey>,
}

impl TransactionKept {
    /// Whether it has as many entries as it says, and they sum to zero in each currency.
    pub(super) fn is_whole(&self) -> bool {
        let mut sums = BTreeMap::<_, i128>::new();
        for Entry { amount, .. } in &self.entries {
            *sums.entry(amount.currency()).or_default() += i128::from(amount.minor());
        }
        self.entries.len() == self.transaction.entries().len() && sums.into_values().all(|sum| sum == 0)
    }
}

impl DeliveryKept {
    /// The event that it belongs to, unless it is evidence only.
    pub fn event(&self) -> Option<&EventKey> {
        match self.answer.settlement {
            Settlement::New | Settlement::Hit | Settlement::TookOver => self.key.as_ref(),
            Settlement::Again | Settlement::NameTaken | Settlement::Reused | Settlement::Evidence => None,
        }
    }
}

impl EventKept {
    /// Where it stands.
    pub fn standing(&self) -> (Status, Option<Reason>) {
        self.statuses.last().map_or((self.outcome.into(), self.reason), |last| (last.status, last.reason))
    }

    /// What a delivery of it is answered. Who asks about a dismissed one is told why it had been parked.
    pub(super) fn answer(&self, settlement: Settlement) -> Recorded {
        let parked = || self.statuses.iter().rev().find_map(|status| status.reason).or(self.reason);
        let (outcome, reason) = match self.standing() {
            (Status::Booked, _) => (Outcome::Booked, None),
            (Status::Ignored, reason) => (Outcome::Ignored, reason),
            (Status::Parked, reason) => (Outcome::Parked, reason),
            (Status::Dismissed, _) => (Outcome::Parked, parked()),
        };
        Recorded { settlement, outcome, reason, movements: self.movements.iter().cloned().collect() }
    }
}
