//! What stands in the books, and how one message changes it.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    ActionId, Entry, EventKey, MovementKey, Outcome, ProblemSlug, Reason, Source, Status, Transaction,
    UnixMillis,
};
use ports::{
    BooksError, Decision, DeliveryRecord, EventRecord, Filing, Gate, Known, Record, Recorded, Settlement,
    Subject,
};
use wire::{InstanceId, Sequence};

use super::kept::{ActionKept, DeliveryKept, EventKept, StatusKept, TotalKept, TransactionKept};

/// Which refusals were counted: the instance and the window that told, the source, the reason, the minute.
pub type RefusalKey = (InstanceId, u64, Source, ProblemSlug, UnixMillis);

/// All that is committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pages {
    /// Every event.
    pub events: BTreeMap<EventKey, EventKept>,
    /// Every message.
    pub deliveries: BTreeMap<(InstanceId, Sequence), DeliveryKept>,
    /// Every transaction.
    pub transactions: BTreeMap<MovementKey, TransactionKept>,
    /// Every control total, by instance and window.
    pub totals: BTreeMap<(InstanceId, u64), TotalKept>,
    /// Every count of refusals.
    pub refusals: BTreeMap<RefusalKey, u64>,
    /// Every action of an operator, with what came of it.
    pub actions: BTreeMap<ActionId, ActionKept>,
}

impl Pages {
    /// Records one message.
    pub(super) fn record(&mut self, record: &Record, rules: &Rules) -> Result<Recorded, BooksError> {
        let identity = (record.delivery.origin.instance, record.delivery.origin.sequence);
        if let Some(kept) = self.deliveries.get(&identity) {
            let event = kept.event().and_then(|key| Some((key, self.events.get(key)?)));
            let known = match event {
                Some((key, event)) => Known::Event(key, event.record.event.fingerprint),
                None => Known::Evidence(&kept.delivery.message),
            };
            return Ok(if record.may_be(known) { self.again(kept) } else { Recorded::name_taken() });
        }
        let gate = record.delivery.gate;
        let (key, asked, answer) = match &record.filing {
            Filing::Evidence { reason, .. } if reason.outcome() != Outcome::Parked => {
                return Err(refusal("evidence is parked and nothing else"));
            }
            Filing::Evidence { subject, reason, .. } => {
                let key = match subject {
                    Subject::Event(key) => Some(key.clone()),
                    Subject::Source(_) | Subject::Unknown => None,
                };
                (key, Some(*reason), parked(Settlement::Evidence, *reason))
            }
            Filing::Event(event) if rules.refused.contains(&event.event.key) => {
                return Err(refusal("refused on demand"));
            }
            Filing::Event(event) => {
                let asked = match event.decision {
                    Decision::Keep(reason) => Some(reason),
                    Decision::Book(_) => None,
                };
                if (gate == Gate::Refused) != asked.is_some_and(Reason::is_of_gate) {
                    return Err(refusal("the gate's reasons go with its refusals alone"));
                }
                (Some(event.event.key.clone()), asked, self.file(event, &record.delivery, rules)?)
            }
        };
        let (outcome, reason) = row_of(gate, asked, &answer);
        let delivery = record.delivery.clone();
        let kept = DeliveryKept { delivery, key, outcome, reason, answer: answer.clone() };
        self.deliveries.insert(identity, kept);
        Ok(answer)
    }

    /// The answer to a message that was recorded before: where its event stands now.
    fn again(&self, kept: &DeliveryKept) -> Recorded {
        match kept.event().and_then(|key| self.events.get(key)) {
            Some(event) => event.answer(Settlement::Again),
            None => Recorded { settlement: Settlement::Again, ..kept.answer.clone() },
        }
    }

    fn file(
        &mut self,
        record: &EventRecord,
        delivery: &DeliveryRecord,
        rules: &Rules,
    ) -> Result<Recorded, BooksError> {
        let key = &record.event.key;
        let Some(there) = self.events.get(key) else {
            let (reason, movements) = self.decide(record, rules)?;
            let kept = EventKept {
                record: storable(record)?,
                trace_id: delivery.trace_id.clone(),
                outcome: reason.map_or(Outcome::Booked, Reason::outcome),
                reason,
                statuses: Vec::new(),
                movements,
            };
            let answer = kept.answer(Settlement::New);
            self.events.insert(key.clone(), kept);
            return Ok(answer);
        };
        if there.record.event.fingerprint.contradicts(&record.event.fingerprint) {
            return Ok(parked(Settlement::Reused, Reason::EventIdReused));
        }
        let waits = matches!(there.standing(), (Status::Parked, Some(reason)) if reason.is_of_gate());
        if delivery.gate == Gate::Refused || !waits {
            return Ok(there.answer(Settlement::Hit));
        }
        let (reason, movements) = self.decide(record, rules)?;
        let status = StatusKept {
            status: reason.map_or(Outcome::Booked, Reason::outcome).into(),
            reason,
            action: None,
            trace_id: delivery.trace_id.clone(),
        };
        Ok(self.follow(key, status, movements).answer(Settlement::TookOver))
    }

    /// Books what an event asserts, or finds why not.
    pub(super) fn decide(
        &mut self,
        record: &EventRecord,
        rules: &Rules,
    ) -> Result<(Option<Reason>, BTreeSet<MovementKey>), BooksError> {
        let key = &record.event.key;
        Ok(match &record.decision {
            Decision::Keep(reason) => (Some(*reason), BTreeSet::new()),
            Decision::Book(asserted) if asserted.is_empty() => {
                return Err(refusal("an event is to be booked and asserts no movement"));
            }
            Decision::Book(asserted) if self.contradict(key, asserted) => {
                (Some(Reason::MovementConflict), BTreeSet::new())
            }
            Decision::Book(asserted) => (None, self.book(key, asserted, rules)?),
        })
    }

    /// One more status of an event that is there.
    pub(super) fn follow(
        &mut self,
        key: &EventKey,
        status: StatusKept,
        movements: BTreeSet<MovementKey>,
    ) -> &EventKept {
        let kept = self.events.get_mut(key).expect("whoever adds a status has seen the event");
        kept.statuses.push(status);
        kept.movements = movements;
        kept
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

    /// Books all of them, or refuses and books none.
    fn book(
        &mut self,
        event: &EventKey,
        asserted: &[Transaction],
        rules: &Rules,
    ) -> Result<BTreeSet<MovementKey>, BooksError> {
        let new = asserted.iter().filter(|one| !self.transactions.contains_key(one.key()));
        let new: Vec<_> =
            new.map(|transaction| rules.written(transaction, event)).collect::<Result<_, _>>()?;
        for kept in new {
            self.transactions.entry(kept.transaction.key().clone()).or_insert(kept);
        }
        for transaction in asserted {
            if let Some(kept) = self.transactions.get_mut(transaction.key())
                && kept.first != *event
            {
                kept.describers.insert(event.clone());
            }
        }
        Ok(asserted.iter().map(|transaction| transaction.key().clone()).collect())
    }
}

/// What the books refuse, and what befalls what is written to them.
#[derive(Default)]
pub(super) struct Rules {
    /// Events that they refuse on demand.
    pub(super) refused: BTreeSet<EventKey>,
    /// What is done to entries on their way.
    pub(super) tampering: Option<Tampering>,
    /// Whether they write down what does not balance or is not complete.
    pub(super) unguarded: bool,
}

/// Changes the entries of a movement.
pub(super) type Tampering = Box<dyn Fn(&MovementKey, &mut Vec<Entry>) + Send>;

impl Rules {
    fn written(&self, transaction: &Transaction, first: &EventKey) -> Result<TransactionKept, BooksError> {
        let mut entries = transaction.entries().to_vec();
        if let Some(tamper) = &self.tampering {
            tamper(transaction.key(), &mut entries);
        }
        let kept = TransactionKept {
            transaction: transaction.clone(),
            entries,
            first: first.clone(),
            describers: BTreeSet::new(),
            conflicts: BTreeSet::new(),
        };
        if kept.is_whole() || self.unguarded {
            Ok(kept)
        } else {
            Err(refusal("a transaction does not balance, or is not complete"))
        }
    }
}

/// What can be kept as text.
pub(super) fn storable(record: &EventRecord) -> Result<EventRecord, BooksError> {
    let payload = &record.event.payload;
    if core::str::from_utf8(payload).is_err() || payload.contains(&0) {
        return Err(refusal("a payload is no text"));
    }
    Ok(record.clone())
}

/// What the message's own row says.
fn row_of(gate: Gate, asked: Option<Reason>, answer: &Recorded) -> (&'static str, Option<Reason>) {
    let found = match answer.settlement {
        Settlement::Reused => answer.reason,
        Settlement::New
        | Settlement::Hit
        | Settlement::Again
        | Settlement::NameTaken
        | Settlement::TookOver
        | Settlement::Evidence => asked,
    };
    let refusable = matches!(
        found,
        Some(Reason::EventTooOld | Reason::EventWrongMode | Reason::EventIdReused | Reason::PayloadInvalid)
    );
    match (gate, answer.settlement) {
        (Gate::Refused, _) if refusable => ("refused", found),
        (_, Settlement::Hit) => ("hit", None),
        (_, _) => (answer.outcome.as_str(), answer.reason),
    }
}

fn parked(settlement: Settlement, reason: Reason) -> Recorded {
    Recorded { settlement, outcome: Outcome::Parked, reason: Some(reason), movements: Vec::new() }
}

fn refusal(text: &str) -> BooksError {
    BooksError::Refused(text.to_owned())
}
