//! Protections switched off, one at a time, at the seams: the checker must name what comes of it.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use audit::{Fault, Limits};
use ingress::SourceGate;
use ledger::{EventId, EventKey, Movement, MovementKey, ObjectId, Outcome, Transaction, UnixMillis};
use money::Amount;
use ports::{
    Acted, Ask, Assess, Books, BooksError, BoxFuture, Bus, BusUnavailable, Claim, Decision, Delivery,
    DeliveryTag, EventRecord, Filing, Handle, Held, Linger, NotConfirmed, Outgoing, Promotion, Queue, Record,
    Recorded, Replay, ReplayUnavailable, Settled, Settlement, Subscription,
};
use provider::telegram::CheckoutVerdict;
use provider::{Arrival, Assessment, Event, EventView, Provider, Telegram, Unreadable};
use signature::{Scheme, Verified};
use testkit::memory::books::MemoryBooks;
use testkit::memory::bus::MemoryBus;
use testkit::memory::replay::MemoryReplay;
use wire::{ControlTotal, InstanceId, Request, Sequence};

use crate::plan::{Kind, NOT_THE_SECRET, NOT_THE_TOKEN, Plan, Sender, Weather};
use crate::witness::Damage;
use crate::world::Servers;

/// A protection that is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// None is.
    Nothing,
    /// Publishing says Ok before the broker does.
    PublishWithoutConfirm,
    /// So it does for the evidence of refusals alone.
    EvidenceWithoutConfirm,
    /// Messages are acknowledged when they arrive.
    AckBeforeCommit,
    /// The books sometimes say yes and commit nothing.
    YesWithoutCommit,
    /// The cache says accepted before anything is published.
    MarkBeforeEffect,
    /// Whoever releases an event's claim releases it.
    ReleaseWithoutToken,
    /// Whoever promotes a claim promotes it, from any state.
    PromotionFromAnyState,
    /// Claims are not released.
    NeverReleased,
    /// Claims do not become accepted.
    NeverAccepted,
    /// A released claim forgets that its event came in time.
    AgeForgotten,
    /// Every other control total is taken for recorded.
    TotalsDropped,
    /// The books have no unique key on deliveries.
    NoDeliveryKey,
    /// Nor on events.
    NoEventKey,
    /// Nor on movements.
    NoMovementKey,
    /// As many messages are out from the start as can be.
    PrefetchFixed,
    /// Messages are not acknowledged at all.
    NeverAcknowledged,
    /// What is booked is told before it is.
    ToldBeforeCommit,
    /// A forger's secret is taken for ours.
    ForgerTrusted,
    /// A provider that retries in order is refused like any other.
    OrderIgnored,
    /// A question is not answered.
    QuestionsUnanswered,
    /// An entry of each transaction is lost on its way to the books, and they do not refuse what does not balance.
    EntryDropped,
    /// An entry of each is written twice, and so.
    EntryDoubled,
    /// An entry of each is lost; the books refuse what does not balance.
    EntryDroppedOnGuard,
    /// Debit and credit of a transaction are swapped after it was written.
    EntriesEdited,
    /// Auditors think overdue what is not.
    AuditorsImpatient,
    /// Messages are acknowledged when they arrive, and auditors never ask for them.
    AuditorsBlind,
}

impl Sabotage {
    /// All that does harm, each with what the checker names it by, and what the auditors call it where they can see it.
    pub(crate) const ALL: [(Self, &'static [Damage], &'static [Fault]); 25] = [
        (Self::PublishWithoutConfirm, &[Damage::AnsweredTooSoon, Damage::Lost], LOST),
        (Self::EvidenceWithoutConfirm, &[Damage::AnsweredTooSoon, Damage::Lost], LOST),
        (Self::AckBeforeCommit, &[Damage::Lost, Damage::AnsweredTooSoon], LOST),
        (Self::YesWithoutCommit, &[Damage::Lost, Damage::AnsweredTooSoon, Damage::WrongFate], LOST),
        (Self::MarkBeforeEffect, &[Damage::AnsweredTooSoon], &[]),
        (Self::ReleaseWithoutToken, &[Damage::ClaimGrantedTwice, Damage::ClaimMovedByStranger], &[]),
        (Self::PromotionFromAnyState, &[Damage::ClaimMovedByStranger, Damage::ClaimGrantedTwice], &[]),
        (Self::NeverReleased, &[Damage::InFlightForNobody], &[]),
        (Self::NeverAccepted, &[Damage::PublishedTwice], &[]),
        (Self::AgeForgotten, &[Damage::AgedByUs], &[]),
        (Self::TotalsDropped, &[Damage::TotalWrong], &[]),
        (Self::NoDeliveryKey, &[Damage::Duplicated], &[]),
        (Self::NoEventKey, &[Damage::Duplicated, Damage::Unexpected], &[]),
        (Self::NoMovementKey, &[Damage::Duplicated], &[]),
        (Self::PrefetchFixed, &[Damage::Bystander], &[]),
        (Self::NeverAcknowledged, &[Damage::Stuck], &[]),
        (Self::ToldBeforeCommit, &[Damage::ToldTooSoon], &[]),
        (Self::ForgerTrusted, &[Damage::ForgeryTaken], &[]),
        (Self::OrderIgnored, &[Damage::Dammed], &[]),
        (Self::QuestionsUnanswered, &[Damage::Unreplied], &[]),
        (Self::EntryDropped, &[Damage::Unbalanced], &[Fault::TotalsDiffer, Fault::NotZero, Fault::FewerLegs]),
        (Self::EntryDoubled, &[Damage::Unbalanced], &[Fault::TotalsDiffer, Fault::NotZero, Fault::MoreLegs]),
        (Self::EntriesEdited, &[Damage::Rewritten], &[Fault::RangeChanged]),
        (Self::AuditorsImpatient, &[Damage::FalseFinding], &[]),
        (Self::AuditorsBlind, &[Damage::AnsweredTooSoon, Damage::Lost, Damage::Unnamed], &[]),
    ];

    /// Whether the last word of an ingress may be lost.
    pub(crate) fn loses_totals(self) -> bool {
        self == Self::TotalsDropped
    }

    /// Whether entries are changed on their way, and the books refuse that.
    pub(crate) fn has_entries_refused(self) -> bool {
        self == Self::EntryDroppedOnGuard
    }

    fn acknowledges_early(self) -> bool {
        matches!(self, Self::AckBeforeCommit | Self::AuditorsBlind)
    }

    /// A secret that a source takes besides its own.
    pub(crate) fn secret_more(self, sender: Sender) -> Option<&'static str> {
        let secret = match sender {
            Sender::Stripe => NOT_THE_SECRET,
            Sender::Telegram => NOT_THE_TOKEN,
        };
        (self == Self::ForgerTrusted).then_some(secret)
    }

    /// A source as an ingress is configured with it.
    pub(crate) fn source(self, mut gate: SourceGate) -> SourceGate {
        if self == Self::OrderIgnored && gate.provider.retries_in_order() {
            gate.provider = &Unordered(Telegram);
        }
        if self == Self::QuestionsUnanswered {
            gate.checkout = CheckoutVerdict::LeaveToBot;
        }
        gate
    }

    /// What auditors go by.
    pub(crate) fn limits(self, limits: Limits) -> Limits {
        let due_s = if self == Self::AuditorsImpatient { 0 } else { i64::MAX };
        if matches!(self, Self::AuditorsImpatient | Self::AuditorsBlind) {
            Limits { delivery_due_s: due_s, instance_silent_s: due_s, ..limits }
        } else {
            limits
        }
    }

    /// A history in which it matters, where hardly any other is one.
    pub(crate) fn plan(self, mut plan: Plan) -> Plan {
        if self == Self::PrefetchFixed {
            plan.poison = plan.contents.iter().position(|content| content.kind == Kind::Charge);
            plan.weather.bus = 0;
            plan.troubles.clear();
        }
        if self == Self::AgeForgotten {
            plan.poison = None;
            plan.weather = Weather { bus: 600, ..Weather::default() };
            plan.troubles.clear();
            for courier in &mut plan.couriers {
                courier.pause = Duration::from_mins(1);
            }
        }
        plan
    }
}

/// What auditors call what is lost.
const LOST: &[Fault] = &[Fault::DeliveryMissing];

/// A provider of which nobody knows that it retries in order.
struct Unordered<P>(P);

impl<P: Provider> Provider for Unordered<P> {
    fn name(&self) -> ledger::Provider {
        self.0.name()
    }

    fn scheme(&self) -> Scheme {
        self.0.scheme()
    }

    fn retry_horizon_ms(&self) -> i64 {
        self.0.retry_horizon_ms()
    }

    fn retries_in_order(&self) -> bool {
        false
    }

    fn names_livemode(&self) -> bool {
        self.0.names_livemode()
    }

    fn events(&self, delivery: &Verified<'_>, arrival: &Arrival<'_>) -> Result<Vec<Event>, Unreadable> {
        self.0.events(delivery, arrival)
    }

    fn money(&self, payload: &[u8]) -> Option<Amount> {
        self.0.money(payload)
    }

    fn assess(&self, event: &EventView<'_>) -> Assessment {
        self.0.assess(event)
    }
}

/// The seams as the services get them.
pub(crate) fn sabotaged(how: Sabotage, servers: &Servers) -> (Arc<dyn Replay>, Arc<dyn Bus>, Arc<dyn Books>) {
    let Servers { handle, replay, bus, books } = servers.clone();
    if how == Sabotage::Nothing {
        return (replay, bus, books);
    }
    if matches!(how, Sabotage::EntryDropped | Sabotage::EntryDroppedOnGuard) {
        books.tamper(|_, entries| entries.truncate(entries.len() - 1));
    }
    if how == Sabotage::EntryDoubled {
        books.tamper(|_, entries| entries.extend(entries.first().cloned()));
    }
    if matches!(how, Sabotage::EntryDropped | Sabotage::EntryDoubled) {
        books.unguard();
    }
    (
        Arc::new(Cache { how, inner: replay }),
        Arc::new(Broker { how, handle: handle.clone(), inner: bus }),
        Arc::new(Ledger { how, handle, inner: books, known: Mutex::default() }),
    )
}

struct Cache {
    how: Sabotage,
    inner: Arc<MemoryReplay>,
}

impl Replay for Cache {
    fn claim<'a>(&'a self, key: &'a EventKey, ask: Ask) -> BoxFuture<'a, Result<Claim, ReplayUnavailable>> {
        Box::pin(async move {
            let claim = self.inner.claim(key, ask).await?;
            if let (Sabotage::MarkBeforeEffect, Claim::Taken(held)) = (self.how, &claim) {
                self.inner.promote(key, held.clone(), Promotion::Accepted, ask.now).await?;
            }
            Ok(claim)
        })
    }

    fn promote<'a>(
        &'a self,
        key: &'a EventKey,
        mut held: Held,
        to: Promotion,
        now: UnixMillis,
    ) -> BoxFuture<'a, Result<bool, ReplayUnavailable>> {
        Box::pin(async move {
            match (self.how, to) {
                (Sabotage::NeverReleased, Promotion::Released)
                | (Sabotage::NeverAccepted, Promotion::Accepted) => return Ok(true),
                (Sabotage::AgeForgotten, Promotion::Released) => held.record.seen_fresh = false,
                (Sabotage::ReleaseWithoutToken, Promotion::Released)
                | (Sabotage::PromotionFromAnyState, _) => {
                    held.exact = self.inner.exact(key).unwrap_or(held.exact);
                }
                _ => {}
            }
            self.inner.promote(key, held, to, now).await
        })
    }

    fn settle<'a>(
        &'a self,
        key: &'a EventKey,
        settled: Settled,
    ) -> BoxFuture<'a, Result<(), ReplayUnavailable>> {
        self.inner.settle(key, settled)
    }
}

struct Broker {
    how: Sabotage,
    handle: Handle,
    inner: Arc<MemoryBus>,
}

impl Bus for Broker {
    fn publish(&self, message: Outgoing) -> BoxFuture<'_, Result<(), NotConfirmed>> {
        let evidence = message.routing_key.starts_with("refused.");
        let unconfirmed = self.how == Sabotage::PublishWithoutConfirm
            || (self.how == Sabotage::EvidenceWithoutConfirm && evidence);
        if !unconfirmed {
            return self.inner.publish(message);
        }
        let inner = Arc::clone(&self.inner);
        drop(self.handle.spawn("publish", async move { inner.publish(message).await }));
        Box::pin(async { Ok(()) })
    }

    fn subscribe(
        &self,
        queue: Queue,
        prefetch: u16,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, BusUnavailable>> {
        Box::pin(async move {
            let fixed = self.how == Sabotage::PrefetchFixed && queue == Queue::Ledger;
            let inner = self.inner.subscribe(queue, if fixed { 500 } else { prefetch }).await?;
            let subscription: Box<dyn Subscription> = Box::new(Stream { how: self.how, inner });
            Ok(subscription)
        })
    }

    fn ready(&self) -> bool {
        self.inner.ready()
    }
}

struct Stream {
    how: Sabotage,
    inner: Box<dyn Subscription>,
}

impl Subscription for Stream {
    fn receive(&mut self, linger: Linger) -> BoxFuture<'_, Result<Vec<Delivery>, BusUnavailable>> {
        Box::pin(async move {
            let deliveries = self.inner.receive(linger).await?;
            if let (true, Some(last)) = (self.how.acknowledges_early(), deliveries.last()) {
                self.inner.ack_through(last.tag).await?;
            }
            Ok(deliveries)
        })
    }

    fn ack_through(&mut self, tag: DeliveryTag) -> BoxFuture<'_, Result<(), BusUnavailable>> {
        if self.how.acknowledges_early() || self.how == Sabotage::NeverAcknowledged {
            return Box::pin(async { Ok(()) });
        }
        self.inner.ack_through(tag)
    }

    fn widen(&mut self, prefetch: u16) -> BoxFuture<'_, Result<(), BusUnavailable>> {
        if self.how == Sabotage::PrefetchFixed {
            return Box::pin(async { Ok(()) });
        }
        self.inner.widen(prefetch)
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.inner.close()
    }
}

struct Ledger {
    how: Sabotage,
    handle: Handle,
    inner: Arc<MemoryBooks>,
    known: Mutex<Known>,
}

/// What was recorded before, and how often something was renamed since.
#[derive(Default)]
struct Known {
    deliveries: BTreeSet<(InstanceId, Sequence)>,
    events: BTreeSet<EventKey>,
    movements: BTreeSet<MovementKey>,
    renamed: u64,
    edited: bool,
}

impl Known {
    /// The record as books without that key would keep it: beside the one that is there. `~` marks a name as made here.
    fn beside(&mut self, how: Sabotage, mut record: Record) -> Record {
        self.renamed += 1;
        let id = (record.delivery.origin.instance, record.delivery.origin.sequence);
        let again = !self.deliveries.insert(id);
        if again && how == Sabotage::NoDeliveryKey {
            record.delivery.origin.sequence = Sequence(id.1.0 + 1_000_000 * self.renamed);
        }
        let Filing::Event(event) = &mut record.filing else { return record };
        let known = !self.events.insert(event.event.key.clone());
        if known && !again && how == Sabotage::NoEventKey {
            let name = format!("{}~{}", event.event.key.event_id, self.renamed);
            event.event.key.event_id = EventId::parse(&name).unwrap();
        }
        if let Decision::Book(transactions) = &mut event.decision {
            for transaction in transactions {
                let known_movement = !self.movements.insert(transaction.key().clone());
                if known_movement && !known && how == Sabotage::NoMovementKey {
                    *transaction = renamed(transaction, self.renamed);
                }
            }
        }
        record
    }
}

fn renamed(transaction: &Transaction, number: u64) -> Transaction {
    let object_id = ObjectId::parse(&format!("{}~{number}", transaction.key().object_id)).unwrap();
    let movement = Movement {
        key: MovementKey { object_id, ..transaction.key().clone() },
        occurred_at: transaction.occurred_at(),
        settles: transaction.settles().cloned(),
        parts: Vec::<(_, Amount)>::new(),
    };
    Transaction::balanced(&movement, transaction.posting_version(), transaction.entries().to_vec()).unwrap()
}

impl Ledger {
    /// Swaps debit and credit of the first transaction, when it has stood for a while.
    fn edit(&self) {
        let mut known = self.known.lock().unwrap();
        if known.renamed < 5 || core::mem::replace(&mut known.edited, true) {
            return;
        }
        self.inner.edit(|pages| {
            for entry in pages.transactions.values_mut().take(1).flat_map(|kept| &mut kept.entries) {
                let minor = -entry.amount.minor();
                entry.amount = Amount::new(minor, entry.amount.currency());
            }
        });
    }
}

/// The answer to a record that is new.
fn yes(record: &Record) -> Recorded {
    let (outcome, reason, movements) = match &record.filing {
        Filing::Event(EventRecord { decision: Decision::Book(transactions), .. }) => {
            (Outcome::Booked, None, transactions.iter().map(|one| one.key().clone()).collect())
        }
        Filing::Event(EventRecord { decision: Decision::Keep(reason), .. })
        | Filing::Evidence { reason, .. } => (reason.outcome(), Some(*reason), Vec::new()),
    };
    Recorded { settlement: Settlement::New, outcome, reason, movements }
}

impl Books for Ledger {
    fn record<'a>(&'a self, batch: &'a [Record]) -> BoxFuture<'a, Result<Vec<Recorded>, BooksError>> {
        Box::pin(async move {
            let (batch, empty) = {
                let mut known = self.known.lock().unwrap();
                let batch: Vec<_> =
                    batch.iter().map(|record| known.beside(self.how, record.clone())).collect();
                (batch, self.how == Sabotage::YesWithoutCommit && known.renamed.is_multiple_of(3))
            };
            if empty {
                return Ok(batch.iter().map(yes).collect());
            }
            if self.how == Sabotage::ToldBeforeCommit {
                let answers = batch.iter().map(yes).collect();
                let (inner, handle) = (Arc::clone(&self.inner), self.handle.clone());
                drop(self.handle.spawn("commit", async move {
                    handle.sleep(Duration::from_millis(1)).await;
                    inner.record(&batch).await
                }));
                return Ok(answers);
            }
            let recorded = self.inner.record(&batch).await;
            if self.how == Sabotage::EntriesEdited {
                self.edit();
            }
            recorded
        })
    }

    fn count<'a>(&'a self, total: &'a ControlTotal) -> BoxFuture<'a, Result<(), BooksError>> {
        if self.how == Sabotage::TotalsDropped && total.window.is_multiple_of(2) {
            return Box::pin(async { Ok(()) });
        }
        self.inner.count(total)
    }

    fn act<'a>(
        &'a self,
        request: Request,
        assess: &'a Assess,
    ) -> BoxFuture<'a, Result<Option<Acted>, BooksError>> {
        self.inner.act(request, assess)
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), BooksError>> {
        self.inner.probe()
    }
}
