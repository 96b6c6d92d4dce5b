//! Sees everything at the seams, at the instant at which it happens, and objects at once to what must never be.

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ingress::{Answer, Problem, Response};
use ledger::{EventKey, Status, content_digest};
use ports::{ClaimState, Handle, Outgoing, OwnerToken};
use testkit::memory::books::{EventKept, MemoryBooks, Pages};
use testkit::memory::bus::MemoryBus;
use testkit::memory::replay::ReplaySeen;
use wire::{BusMessage, Event, Evidence, InstanceId, Origin, ReplayCheck, Sequence};

use crate::cache::Cache;
use crate::clients::is_for_good;
use crate::plan::{Content, Kind, Plan, Sender, question_id};

/// What the checker names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Damage {
    /// Answered 2xx and not in the books; or kept by the broker and not in the books.
    Lost,
    /// In the books, and nobody genuine sent it.
    Unexpected,
    /// In the books twice.
    Duplicated,
    /// Debits and credits differ at some instant.
    Unbalanced,
    /// A row changed, or went.
    Rewritten,
    /// It stands otherwise than what was sent says.
    WrongFate,
    /// Answered as durable, and nothing was durable at that instant.
    AnsweredTooSoon,
    /// Granted while another delivery held it.
    ClaimGrantedTwice,
    /// A claim moved on for somebody who did not hold it.
    ClaimMovedByStranger,
    /// Answered as in flight, and nobody was at it.
    InFlightForNobody,
    /// Published again though it had been confirmed and nothing had gone wrong.
    PublishedTwice,
    /// Refused as too old though it came in time and was turned away.
    AgedByUs,
    /// A control total lists what is not there, or misses what is.
    TotalWrong,
    /// Dead, and not delivered too often by its own fault.
    Bystander,
    /// A forgery was taken.
    ForgeryTaken,
    /// It does not end.
    Stuck,
    /// Announced, or cached as booked, before it was.
    ToldTooSoon,
    /// Refused, though its provider holds everything back that comes after it.
    Dammed,
    /// A question was answered with success and without its answer, or something else with one.
    Unreplied,
    /// An auditor found what is not so.
    FalseFinding,
    /// Something is lost, and no auditor says so.
    Unnamed,
}

impl Damage {
    /// All of them.
    pub(crate) const ALL: [Self; 21] = [
        Self::Lost,
        Self::Unexpected,
        Self::Duplicated,
        Self::Unbalanced,
        Self::Rewritten,
        Self::WrongFate,
        Self::AnsweredTooSoon,
        Self::ClaimGrantedTwice,
        Self::ClaimMovedByStranger,
        Self::InFlightForNobody,
        Self::PublishedTwice,
        Self::AgedByUs,
        Self::TotalWrong,
        Self::Bystander,
        Self::ForgeryTaken,
        Self::Stuck,
        Self::ToldTooSoon,
        Self::Dammed,
        Self::Unreplied,
        Self::FalseFinding,
        Self::Unnamed,
    ];
}

/// An objection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) damage: Damage,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.damage, self.what)
    }
}

/// A message that an ingress sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) message_id: String,
    pub(crate) content: Option<usize>,
    pub(crate) accepted: bool,
    pub(crate) confirmed: Option<Duration>,
    /// Whether the broker has it, whoever knows.
    pub(crate) kept: bool,
}

#[derive(Default)]
struct Seen {
    violations: Vec<Violation>,
    sent: BTreeMap<(InstanceId, Sequence), Sent>,
    cache: Cache,
    /// How many requests about an event id are being handled.
    open: BTreeMap<String, usize>,
    ended: BTreeSet<InstanceId>,
}

/// The witness of one history.
pub(crate) struct Witness {
    plan: Arc<Plan>,
    handle: Handle,
    bodies: Vec<[u8; 32]>,
    bus: Arc<MemoryBus>,
    books: Arc<MemoryBooks>,
    seen: Mutex<Seen>,
}

impl Witness {
    pub(crate) fn new(
        plan: Arc<Plan>,
        handle: Handle,
        bus: Arc<MemoryBus>,
        books: Arc<MemoryBooks>,
    ) -> Arc<Self> {
        let garbage = |content: &Content| {
            if content.kind == Kind::Garbage { content_digest(content.body.as_bytes()) } else { [0; 32] }
        };
        let bodies = plan.contents.iter().map(garbage).collect();
        Arc::new(Self { plan, handle, bodies, bus, books, seen: Mutex::default() })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn object(&self, damage: Damage, what: String) {
        self.seen().object(damage, what);
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.seen().violations.clone()
    }

    pub(crate) fn sent(&self) -> BTreeMap<(InstanceId, Sequence), Sent> {
        self.seen().sent.clone()
    }

    pub(crate) fn ended(&self) -> BTreeSet<InstanceId> {
        self.seen().ended.clone()
    }

    /// Which content a message or a row is about.
    pub(crate) fn content_of(&self, event: &Event) -> Option<usize> {
        let amount = amount_in(&event.payload)?;
        self.plan.contents.iter().position(|content| {
            content.amount == amount && content.event_id == base_of(event.key.event_id.as_str())
        })
    }

    fn content_of_body(&self, sha256: &[u8; 32]) -> Option<usize> {
        self.bodies.iter().position(|body| body == sha256 && *body != [0; 32])
    }

    /// An ingress begins to publish.
    pub(crate) fn publishes(&self, message: &Outgoing) -> Option<(InstanceId, Sequence)> {
        let (origin, content, accepted) = match BusMessage::decode(message.body.clone()).ok()? {
            BusMessage::Accepted(accepted) => (accepted.origin, self.content_of(&accepted.event), true),
            BusMessage::Refused(refused) => {
                let content = match &refused.evidence {
                    Evidence::Event(event) => self.content_of(event),
                    Evidence::Body { sha256, .. } => self.content_of_body(sha256),
                };
                (refused.origin, content, false)
            }
            BusMessage::Control(_) | BusMessage::Request(_) => return None,
        };
        let Origin { instance, sequence, replay_check, .. } = origin;
        let began = self.handle.monotonic();
        let mut seen = self.seen();
        let checked = replay_check == ReplayCheck::Claimed;
        if accepted && checked && self.plan.is_steady_for_replay() {
            let again = seen.sent.values().find(|before| {
                let since = before.confirmed.map(|confirmed| began.saturating_sub(confirmed));
                before.accepted
                    && before.content == content
                    && since.is_some_and(|since| since < Duration::from_mins(10))
            });
            if let Some(before) = again {
                let what = format!("{} after {}", message.message_id, before.message_id);
                seen.object(Damage::PublishedTwice, what);
            }
        }
        let sent =
            Sent { message_id: message.message_id.clone(), content, accepted, confirmed: None, kept: false };
        seen.sent.insert((instance, sequence), sent);
        Some((instance, sequence))
    }

    /// The broker has taken it.
    pub(crate) fn kept(&self, id: (InstanceId, Sequence)) {
        if let Some(sent) = self.seen().sent.get_mut(&id) {
            sent.kept = true;
        }
    }

    /// Its sender was told so.
    pub(crate) fn confirmed(&self, id: (InstanceId, Sequence)) {
        let now = self.handle.monotonic();
        if let Some(sent) = self.seen().sent.get_mut(&id) {
            sent.confirmed = Some(now);
        }
    }

    /// Its holder was told that the claim is released.
    pub(crate) fn released(&self, owner: OwnerToken) {
        self.seen().cache.released(owner);
    }

    /// An instance has ended as it should: everything it confirmed is told.
    pub(crate) fn ended_well(&self, instance: InstanceId) {
        self.seen().ended.insert(instance);
    }

    /// A genuine or other request begins to be handled.
    pub(crate) fn begins(&self, content: usize) {
        let event_id = self.plan.contents[content].event_id.clone();
        *self.seen().open.entry(event_id).or_default() += 1;
    }

    /// It is answered, in its process, at this very instant.
    pub(crate) fn answers(&self, content: usize, response: &Response) {
        let (of, answer) = (&self.plan.contents[content], &response.answer);
        let alone = {
            let mut seen = self.seen();
            let open = seen.open.entry(of.event_id.clone()).or_default();
            *open -= 1;
            *open == 0
        };
        if of.kind == Kind::Forgery {
            if answer.status() != 401 && answer.status() < 429 {
                self.object(Damage::ForgeryTaken, format!("{} answered {answer:?}", of.event_id));
            }
            return;
        }
        self.suits(of, response);
        let promised = match answer {
            Answer::Accepted(_) | Answer::Replayed(..) | Answer::Parked(_) => true,
            Answer::Refused(problem) => matches!(
                problem,
                Problem::EventTooOld
                    | Problem::EventWrongMode
                    | Problem::EventIdReused
                    | Problem::PayloadInvalid
            ),
        };
        if let Answer::Replayed(_, Some(result)) = answer
            && result.0.contains("\"outcome\":\"booked\"")
            && !self.books.look(|pages| is_booked(pages, &of.key()))
        {
            self.object(Damage::WrongFate, format!("{} is not booked as {} says", of.event_id, result.0));
        }
        if promised && !self.is_durable(content) {
            let what = format!("{} ({}) answered {answer:?}", of.event_id, of.amount);
            self.object(Damage::AnsweredTooSoon, what);
        }
        if *answer == Answer::Refused(Problem::NotDurable) && alone && self.plan.is_steady_for_replay() {
            // A failure was told, and nobody is at the event any more: its claim must be free.
            let mut seen = self.seen();
            if seen.cache.is_claimed(&of.key(), self.handle.now()) {
                seen.object(Damage::InFlightForNobody, format!("{} was not released", of.event_id));
            }
        }
    }

    /// Whether the answer suits whoever sent it.
    fn suits(&self, of: &Content, Response { answer, reply }: &Response) {
        if let (Sender::Telegram, Answer::Refused(problem)) = (of.sender, answer)
            && is_for_good(*problem)
        {
            self.object(Damage::Dammed, format!("{} answered {answer:?}", of.event_id));
        }
        let reply = reply.as_ref().map(|reply| String::from_utf8_lossy(reply));
        let suits = match (&reply, of.kind) {
            _ if answer.status() != 200 => true,
            (Some(reply), Kind::Question) => {
                reply.contains(&question_id(&of.event_id)) && reply.contains("\"ok\":true")
            }
            (reply, kind) => reply.is_none() && kind != Kind::Question,
        };
        if !suits {
            self.object(Damage::Unreplied, format!("{} answered {answer:?} with {reply:?}", of.event_id));
        }
    }

    /// Somebody is told that an event is booked.
    pub(crate) fn announces(&self, event_id: &str) {
        let booked = |(key, event): (&EventKey, &EventKept)| {
            key.event_id.as_str() == event_id && event.standing().0 == Status::Booked
        };
        if !self.books.look(|pages| pages.events.iter().any(booked)) {
            self.object(Damage::ToldTooSoon, format!("{event_id} is announced and not booked"));
        }
    }

    /// Whether the content is in some queue or in the books at this instant.
    fn is_durable(&self, content: usize) -> bool {
        let seen = self.seen();
        let of_it = || seen.sent.iter().filter(|(_, sent)| sent.content == Some(content));
        self.books.look(|pages| of_it().any(|(id, _)| pages.deliveries.contains_key(id)))
            || self.bus.holds(|message| of_it().any(|(_, sent)| sent.message_id == message.message_id))
    }

    /// The cache forgot.
    pub(crate) fn cache_forgot(&self) {
        self.seen().cache.forget();
    }

    /// The cache fell back.
    pub(crate) fn cache_fell_back(&self) {
        self.seen().cache.fall_back();
    }

    /// The cache did something.
    pub(crate) fn cache(&self, key: &EventKey, what: ReplaySeen<'_>) {
        if let ReplaySeen::Settled(settled) = &what
            && settled.state == ClaimState::Booked
            && !self.books.look(|pages| pages.events.contains_key(key))
        {
            self.object(Damage::ToldTooSoon, format!("{key} is cached as settled and in no book"));
        }
        let mut seen = self.seen();
        if let Some((damage, lease)) = seen.cache.see(key, what) {
            seen.object(damage, format!("{}: {lease:?}", key.event_id));
        }
    }

    /// What a commit did to the books: every instant of theirs is one between two commits.
    pub(crate) fn commit(&self, before: &Pages, after: &Pages) {
        for (key, kept) in &after.transactions {
            let sum: i128 = kept.entries.iter().map(|entry| i128::from(entry.amount.minor())).sum();
            if sum != 0 || kept.entries.len() != kept.transaction.entries().len() {
                self.object(Damage::Unbalanced, format!("{key} sums to {sum}"));
            }
            let first = after.events.get(&kept.first);
            if first.is_none_or(|event| event.standing().0 != Status::Booked) {
                self.object(
                    Damage::WrongFate,
                    format!("{key} stands for {}, which is not booked", kept.first),
                );
            }
        }
        for (key, event) in &after.events {
            let booked = event.standing().0 == Status::Booked;
            let complete = event.movements.iter().all(|movement| after.transactions.contains_key(movement));
            if booked != (complete && !event.movements.is_empty()) {
                self.object(Damage::WrongFate, format!("{key} is not booked as a whole"));
            }
        }
        if let Some(what) = rewritten(before, after) {
            self.object(Damage::Rewritten, what);
        }
    }
}

impl Seen {
    fn object(&mut self, damage: Damage, what: String) {
        // The first of each kind says it all.
        if self.violations.iter().all(|known| known.damage != damage) {
            self.violations.push(Violation { damage, what });
        }
    }
}

/// Whether an event stands booked.
pub(crate) fn is_booked(pages: &Pages, key: &EventKey) -> bool {
    pages.events.get(key).is_some_and(|event| event.standing().0 == Status::Booked)
}

/// A row that is not what it was.
fn rewritten(before: &Pages, after: &Pages) -> Option<String> {
    let delivery = before.deliveries.iter().find(|(id, row)| after.deliveries.get(*id) != Some(*row));
    let event = before.events.iter().find(|(key, row)| {
        !after.events.get(*key).is_some_and(|now| {
            now.record == row.record && now.outcome == row.outcome && now.statuses.starts_with(&row.statuses)
        })
    });
    let transaction = before.transactions.iter().find(|(key, row)| {
        !after.transactions.get(*key).is_some_and(|now| {
            now.transaction == row.transaction
                && now.entries == row.entries
                && now.first == row.first
                && now.describers.is_superset(&row.describers)
        })
    });
    let delivery = delivery.map(|((instance, sequence), _)| format!("delivery {instance}:{sequence}"));
    let event = event.map(|(key, _)| format!("event {key}"));
    delivery.or(event).or_else(|| transaction.map(|(key, _)| format!("transaction {key}")))
}

/// The id without what sabotage or a release has put behind it.
pub(crate) fn base_of(event_id: &str) -> &str {
    event_id.split(['~', '#']).next().unwrap_or_default()
}

/// The first amount that a kept payload shows.
fn amount_in(payload: &[u8]) -> Option<i64> {
    // Telegram's is `total_amount`.
    const NAME: &[u8] = b"amount\":";
    let at = payload.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let digits = payload[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    core::str::from_utf8(&payload[at..at + digits]).ok()?.parse().ok()
}
