//! After a history: the clients' log against the books, in the vocabulary of Jepsen's RabbitMQ tests.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use audit::Fault;
use ingress::{Answer, Problem};
use ledger::{Reason, Status};
use testkit::memory::books::{EventKept, Pages};
use testkit::simulation::STARTED_AT;
use wire::{InstanceId, Sequence};

use crate::auditors::unnamed;
use crate::clients::{Attempt, Outcome};
use crate::plan::{Content, Kind, Plan, Sender};
use crate::witness::{Damage, Sent, Violation, Witness, base_of};
use crate::world::World;

/// What a history was, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) tally: Tally,
    pub(crate) violations: Vec<Violation>,
    /// What happened, for comparison with another run of the same seed.
    pub(crate) log: Vec<Attempt>,
    /// What answers there were, and what became of messages and events.
    pub(crate) reached: BTreeSet<String>,
    /// What auditors ever found.
    pub(crate) found: BTreeSet<Fault>,
}

/// Counts over contents, but for `requests`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) histories: u64,
    pub(crate) requests: u64,
    /// Sent by who may.
    pub(crate) attempted: u64,
    /// Answered 2xx at least once.
    pub(crate) acknowledged: u64,
    /// Never answered 2xx, and in the books all the same.
    pub(crate) recovered: u64,
    pub(crate) lost: u64,
    pub(crate) unexpected: u64,
    pub(crate) duplicated: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.requests += other.requests;
        self.attempted += other.attempted;
        self.acknowledged += other.acknowledged;
        self.recovered += other.recovered;
        self.lost += other.lost;
        self.unexpected += other.unexpected;
        self.duplicated += other.duplicated;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { histories, requests, attempted, acknowledged, recovered, lost, unexpected, duplicated } =
            self;
        write!(
            f,
            "{histories} histories, {requests} requests: attempted {attempted}, acknowledged {acknowledged}, \
             recovered {recovered}, lost {lost}, unexpected {unexpected}, duplicated {duplicated}"
        )
    }
}

struct Checker<'a> {
    plan: &'a Plan,
    witness: &'a Witness,
    pages: &'a Pages,
    log: &'a [Attempt],
    sent: BTreeMap<(InstanceId, Sequence), Sent>,
    /// Whether some message may be dead for no fault of its own.
    worn: bool,
    tally: Tally,
    violations: Vec<Violation>,
}

/// Judges a history that has ended.
pub(crate) fn check(world: &World, log: &[Attempt]) -> Verdict {
    let (plan, witness) = (&world.plan, &world.witness);
    world.books_seen(|pages| {
        let mut checker = Checker {
            plan,
            witness,
            pages,
            log,
            sent: witness.sent(),
            worn: world.is_worn(),
            tally: Tally { histories: 1, requests: u64::try_from(log.len()).unwrap(), ..Tally::default() },
            violations: witness.violations(),
        };
        checker.deliveries();
        checker.events();
        checker.transactions();
        checker.contents();
        checker.totals();
        checker.ages();
        if let Some(what) = unnamed(world, pages) {
            checker.object(Damage::Unnamed, what);
        }
        let mut reached = checker.reached();
        let found = world.audits.faults();
        reached.extend(found.iter().map(|fault| format!("auditors found: {fault}")));
        reached.insert(format!("auditors sealed {}", world.audits.height()));
        Verdict { tally: checker.tally, violations: checker.violations, log: log.to_vec(), reached, found }
    })
}

impl Checker<'_> {
    fn object(&mut self, damage: Damage, what: String) {
        self.tally.lost += u64::from(damage == Damage::Lost);
        self.tally.unexpected += u64::from(damage == Damage::Unexpected);
        self.tally.duplicated += u64::from(damage == Damage::Duplicated);
        self.violations.push(Violation { damage, what });
    }

    /// Every row is a message that an ingress sent, and every message that the broker had is a row.
    fn deliveries(&mut self) {
        let mut known = BTreeSet::new();
        for ((instance, sequence), row) in &self.pages.deliveries {
            let id = (*instance, Sequence(sequence.0 % 1_000_000));
            let name = format!("{instance}:{sequence}");
            if !known.insert(id) {
                self.object(Damage::Duplicated, format!("message {name} has two rows"));
            }
            if row.reason == Some(Reason::DeadLettered) && !self.sent.contains_key(&id) {
                // A control total has no sequence.
                if !self.worn {
                    self.object(Damage::Bystander, format!("a control total is dead: {name}"));
                }
                continue;
            }
            let content = self.sent.get(&id).and_then(|sent| sent.content);
            let Some(content) = content.filter(|content| self.plan.contents[*content].kind != Kind::Forgery)
            else {
                self.object(Damage::Unexpected, format!("message {name}: {:?}", row.key));
                continue;
            };
            if row.reason == Some(Reason::DeadLettered) && !self.worn && self.plan.poison != Some(content) {
                self.object(Damage::Bystander, format!("message {name} is dead"));
            }
        }
        let lost = |(id, sent): &(&(InstanceId, Sequence), &Sent)| sent.kept && !known.contains(*id);
        let lost: Vec<_> = self.sent.iter().filter(lost).map(|(_, sent)| sent.message_id.clone()).collect();
        for message_id in lost {
            self.object(Damage::Lost, format!("the broker had {message_id}, the books have not"));
        }
    }

    /// Every event is one that was sent, stands once, and as its content says.
    fn events(&mut self) {
        let mut known = BTreeSet::new();
        for (key, event) in &self.pages.events {
            let name = key.event_id.as_str();
            if !known.insert((key.livemode, name.split('~').next().unwrap_or_default().to_owned())) {
                self.object(Damage::Duplicated, format!("event {name} stands twice"));
            }
            let content = self.witness.content_of(&event.record.event);
            let genuine = content.filter(|content| {
                !matches!(self.plan.contents[*content].kind, Kind::Forgery | Kind::Garbage)
            });
            match genuine {
                None => self.object(Damage::Unexpected, format!("event {name}")),
                Some(content) => {
                    if let Some(why) = self.objection(content, event) {
                        self.object(Damage::WrongFate, format!("{name} {:?}: {why}", event.standing()));
                    }
                }
            }
        }
    }

    /// What speaks against the standing of an event.
    fn objection(&self, content: usize, event: &EventKept) -> Option<&'static str> {
        let of = &self.plan.contents[content];
        let released = self.plan.released;
        match event.standing() {
            (Status::Booked, None) => match of.kind {
                Kind::Charge | Kind::Intent | Kind::Payment => None,
                Kind::WrongMode if released => None,
                Kind::Uncaptured | Kind::Question | Kind::WrongMode | Kind::Garbage | Kind::Forgery => {
                    Some("it moves no money of ours")
                }
            },
            (Status::Parked, Some(Reason::MovementConflict)) => {
                let conflict = self.plan.contents.iter().any(|other| of.contradicts(other));
                (!conflict).then_some("nobody says otherwise")
            }
            (Status::Parked, Some(Reason::EventWrongMode)) => {
                (of.kind != Kind::WrongMode || released).then_some("nothing is wrong with its mode")
            }
            (Status::Parked, Some(Reason::EventTooOld)) if of.sender == Sender::Telegram => {
                Some("its source takes events of any age")
            }
            (Status::Parked, Some(Reason::EventTooOld)) => {
                let accepted = self.sent.iter().any(|(id, sent)| {
                    let row = self.pages.deliveries.get(id);
                    sent.kept
                        && sent.accepted
                        && sent.content == Some(content)
                        && row.is_some_and(|row| row.reason != Some(Reason::DeadLettered))
                });
                (accepted || released).then_some("it was accepted, or released, since")
            }
            (Status::Ignored, Some(Reason::NothingMovedYet)) => {
                (of.kind != Kind::Uncaptured).then_some("money moved")
            }
            (Status::Ignored, Some(Reason::MovesNoMoney)) => {
                (of.kind != Kind::Question).then_some("money moved")
            }
            _ => Some("nothing asked for that"),
        }
    }

    /// Every transaction says what its content says, once.
    fn transactions(&mut self) {
        let mut known = BTreeSet::new();
        for (key, kept) in &self.pages.transactions {
            let object = base_of(key.object_id.as_str());
            if !known.insert((key.livemode, object.to_owned(), key.kind)) {
                self.object(Damage::Duplicated, format!("movement {key} stands twice"));
            }
            let says = |content: &Content| {
                let entries = &kept.entries;
                content.charge_id == object
                    && entries.iter().any(|entry| entry.amount.minor() == content.amount)
                    && !matches!(
                        content.kind,
                        Kind::Forgery | Kind::Garbage | Kind::Uncaptured | Kind::Question
                    )
            };
            if !self.plan.contents.iter().any(says) {
                self.object(Damage::Unexpected, format!("movement {key}: {:?}", kept.entries));
            }
        }
    }

    /// What was acknowledged is there.
    fn contents(&mut self) {
        for (number, content) in self.plan.contents.iter().enumerate() {
            if content.kind == Kind::Forgery {
                continue;
            }
            let of_it = || self.sent.iter().filter(|(_, sent)| sent.content == Some(number));
            let rows: Vec<_> = of_it().filter_map(|(id, _)| self.pages.deliveries.get(id)).collect();
            let acknowledged = self.log.iter().any(|attempt| {
                attempt.content == number
                    && matches!(&attempt.outcome, Outcome::Answered(answer) if answer.status() == 200)
            });
            self.tally.attempted += 1;
            self.tally.acknowledged += u64::from(acknowledged);
            self.tally.recovered += u64::from(!acknowledged && !rows.is_empty());
            let name = format!("{} ({})", content.event_id, content.amount);
            if acknowledged && rows.is_empty() {
                self.object(Damage::Lost, format!("{name} was acknowledged"));
                continue;
            }
            if rows.is_empty() || content.kind == Kind::Garbage {
                continue;
            }
            // It is an event, or evidence with a reason why it is none.
            let reused = self
                .plan
                .contents
                .iter()
                .enumerate()
                .any(|(other, of)| other != number && of.event_id == content.event_id);
            let is_event = self
                .pages
                .events
                .values()
                .any(|event| self.witness.content_of(&event.record.event) == Some(number));
            let evident = rows.iter().all(|row| match row.reason {
                Some(Reason::EventIdReused) => reused,
                Some(Reason::DeadLettered) => self.worn || self.plan.poison == Some(number),
                _ => false,
            });
            if !is_event && (!evident || self.plan.released) {
                let reasons: Vec<_> = rows.iter().map(|row| (row.outcome, row.reason)).collect();
                self.object(Damage::WrongFate, format!("{name} is no event: {reasons:?}"));
            }
        }
    }

    /// Control totals list what is there, without a gap; of an instance that ended well, all of it.
    fn totals(&mut self) {
        let mut instances: BTreeMap<InstanceId, Vec<_>> = BTreeMap::new();
        for ((instance, window), total) in &self.pages.totals {
            instances.entry(*instance).or_default().push((*window, total));
        }
        let ended = self.witness.ended();
        let silent: Vec<_> = ended.iter().filter(|instance| !instances.contains_key(instance)).collect();
        if !silent.is_empty() {
            self.object(Damage::TotalWrong, format!("{silent:?} ended well and said nothing"));
        }
        for (instance, totals) in instances {
            let (mut listed, mut wrong) = (BTreeSet::new(), Vec::new());
            for (number, (window, total)) in (1..).zip(&totals) {
                listed.extend(total.listed.iter().map(|one| one.sequence));
                if *window != number {
                    wrong.push(format!("window {number} is missing"));
                }
                if usize::try_from(total.confirmed).unwrap() != listed.len() {
                    wrong.push(format!("window {number} counts {} of {}", total.confirmed, listed.len()));
                }
            }
            let missing = listed.iter().find(|sequence| {
                let base = (instance, **sequence);
                !self.pages.deliveries.contains_key(&base)
            });
            wrong.extend(missing.map(|sequence| format!("{sequence} has no row")));
            if ended.contains(&instance) {
                let confirmed =
                    self.sent.iter().filter(|((of, _), sent)| *of == instance && sent.confirmed.is_some());
                let confirmed: BTreeSet<_> = confirmed.map(|((_, sequence), _)| *sequence).collect();
                if confirmed != listed || totals.last().is_none_or(|(_, total)| !total.last) {
                    wrong.push(format!("ended well with {listed:?} of {confirmed:?}"));
                }
            }
            if let Some(what) = wrong.into_iter().next() {
                self.object(Damage::TotalWrong, format!("{instance}: {what}"));
            }
        }
    }

    /// What came in time and was turned away by a claim's holder is not too old later.
    fn ages(&mut self) {
        if !self.plan.is_steady_for_replay() {
            return;
        }
        let mut in_time = BTreeSet::new();
        let mut aged = Vec::new();
        for Attempt { content, began, outcome } in self.log {
            let of = &self.plan.contents[*content];
            let age = STARTED_AT.seconds() - of.created_s + i64::try_from(began.as_secs()).unwrap();
            match outcome {
                Outcome::Answered(Answer::Refused(Problem::NotDurable)) if age < 300 => {
                    in_time.insert(*content);
                }
                Outcome::Answered(Answer::Refused(Problem::EventTooOld)) if in_time.contains(content) => {
                    aged.push(of.event_id.clone());
                }
                Outcome::Answered(_) | Outcome::Unknown => {}
            }
        }
        if let Some(event_id) = aged.pop() {
            self.object(Damage::AgedByUs, format!("{event_id} came in time, and was refused as too old"));
        }
    }

    fn reached(&self) -> BTreeSet<String> {
        let answers = self.log.iter().map(|attempt| match &attempt.outcome {
            Outcome::Answered(answer) => format!("answer {}", answer.word()),
            Outcome::Unknown => "answer unknown".to_owned(),
        });
        let reason = |reason: Option<Reason>| reason.map_or("", Reason::as_str);
        let deliveries = self.pages.deliveries.values();
        let deliveries = deliveries.map(|row| format!("delivery {} {}", row.outcome, reason(row.reason)));
        let events = self.pages.events.values().map(|event| {
            let (status, why) = event.standing();
            let by = match event.statuses.last() {
                None => "",
                Some(last) if last.action.is_some() => " by an operator",
                Some(_) => " by a later delivery",
            };
            format!("event {}{by}", format!("{status} {}", reason(why)).trim_end())
        });
        let describers = self.pages.transactions.values().any(|kept| !kept.describers.is_empty());
        let describers = describers.then(|| "describers".to_owned());
        answers
            .chain(deliveries)
            .chain(events)
            .chain(describers)
            .map(|text| text.trim_end().to_owned())
            .collect()
    }
}
