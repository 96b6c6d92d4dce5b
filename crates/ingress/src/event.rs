//! The way of one event: claim → publish it, or the evidence of why not, and await the confirm → promote.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::{MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use ledger::{EventId, EventKey, UnixMillis, content_digest};
use ports::{Age, Ask, Claim, CrashPoint, Held, NotConfirmed, OwnerToken, Promotion, ReplayUnavailable};
use provider::{Provider, Unreadable};
use tracing::Instrument as _;
use wire::{AcceptedEvent, Event, Evidence, Listed, Origin, RefusedDelivery, ReplayCheck, Sequence};

use crate::answer::Outcome;
use crate::notices::{Notice, Subject, Turn};
use crate::objection::Objection;
use crate::remembered::Remembered;
use crate::source::age_s;
use crate::{Answer, Gate, Problem, ReplayPolicy, SourceGate, message, span};

/// An event of a delivery, and whose.
struct InHand<'a> {
    source: &'a SourceGate,
    event: Event,
    received_at: UnixMillis,
}

/// Whether the cache let the event pass, and what it holds for us.
enum Passage {
    Claimed(Held),
    Unchecked,
}

impl Passage {
    const fn check(&self) -> ReplayCheck {
        match self {
            Self::Claimed(_) => ReplayCheck::Claimed,
            Self::Unchecked => ReplayCheck::Bypassed,
        }
    }

    /// Whether a delivery of the event came in time, so that its age is not its provider's fault.
    const fn seen_fresh(&self) -> bool {
        match self {
            Self::Claimed(held) => held.record.seen_fresh,
            Self::Unchecked => false,
        }
    }
}

/// When the books were told of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Just now: the first time for this process.
    Now,
    /// Before.
    Before,
}

impl Gate {
    /// What becomes of one event.
    pub(crate) async fn admit(&self, source: &SourceGate, event: Event, received_at: UnixMillis) -> Outcome {
        let (event_id, event_type) = (event.key.event_id.clone(), event.event_type.clone());
        let answer = self.claim(InHand { source, event, received_at }).await;
        self.metrics.event(&source.source, event_type.as_str(), &answer);
        Outcome { event_id, answer }
    }

    async fn claim(&self, in_hand: InHand<'_>) -> Answer {
        let InHand { source, event, received_at } = &in_hand;
        let event_id = event.key.event_id.clone();
        let ask = Ask {
            now: self.handle.now(),
            age: self.age(source, event, *received_at),
            fingerprint: event.fingerprint,
            owner: OwnerToken(self.handle.random()),
            trace: span::claiming(),
            retention_ms: source.provider.retry_horizon_ms(),
        };
        let passage = match self.seams.replay.claim(&event.key, ask).await {
            Ok(Claim::Taken(held)) => Passage::Claimed(held),
            Ok(Claim::Replayed(result, trace)) => {
                span::seen_in(trace);
                self.metrics.replayed(result.as_ref());
                return again(event, Answer::Replayed(event_id, result));
            }
            Ok(Claim::Parked) => return again(event, Answer::Parked(event_id)),
            Ok(Claim::InFlight { retry_after_ms }) => {
                return again(event, Answer::Refused(Problem::in_flight(retry_after_ms)));
            }
            Ok(Claim::Reused) => return self.other_content(in_hand, ask).await,
            Err(unavailable) => match self.policy.replay {
                ReplayPolicy::Closed => {
                    self.turn_away(source, event, *received_at);
                    tracing::warn!(source = %source.source, %event_id, error = %unavailable, "Not without the replay check");
                    return Answer::Refused(Problem::ReplayStateUnavailable);
                }
                ReplayPolicy::Open if self.confirmed().holds(&identity(event), self.handle.monotonic()) => {
                    self.metrics.replayed(None);
                    return again(event, Answer::Replayed(event_id, None));
                }
                ReplayPolicy::Open => self.without_cache(source, &unavailable),
            },
        };
        CrashPoint::IngressClaimed.pass();
        let age = if passage.seen_fresh() { Age::Fresh } else { ask.age };
        match source.objection(event, age) {
            None => self.accept(in_hand, passage).await,
            Some(objection) => {
                let key = event.key.clone();
                self.refuse(in_hand, objection, &key, passage).await
            }
        }
    }

    /// The age of an event: what this process turned away when it came in time does not grow old by that.
    fn age(&self, source: &SourceGate, event: &Event, received_at: UnixMillis) -> Age {
        let age = source.age(event, received_at);
        let now = self.handle.monotonic();
        if age == Age::Stale && self.came_in_time().holds(&event.key_of_content(), now) {
            Age::Fresh
        } else {
            age
        }
    }

    /// Remembers an event that is turned away, if it came in time.
    pub(crate) fn turn_away(&self, source: &SourceGate, event: &Event, received_at: UnixMillis) {
        if source.age(event, received_at) == Age::Fresh {
            self.came_in_time().note(event.key_of_content(), self.handle.monotonic());
        }
    }

    fn came_in_time(&self) -> MutexGuard<'_, Remembered<EventKey>> {
        self.came_in_time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this very process has had confirmed.
    fn confirmed(&self) -> MutexGuard<'_, Remembered<[u8; 32]>> {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id belongs to another content. This content has a claim of its own, under a key of its own.
    async fn other_content(&self, in_hand: InHand<'_>, ask: Ask) -> Answer {
        let key = in_hand.event.key_of_content();
        let passage = match self.seams.replay.claim(&key, ask).await {
            Ok(Claim::Taken(held)) => Passage::Claimed(held),
            Ok(Claim::Parked | Claim::Replayed(..)) => {
                return again(&in_hand.event, Answer::Parked(in_hand.event.key.event_id.clone()));
            }
            Ok(Claim::InFlight { retry_after_ms }) => {
                return again(&in_hand.event, Answer::Refused(Problem::in_flight(retry_after_ms)));
            }
            // The beginnings of two fingerprints are the same by chance: no claim to have, and the books are told all the same.
            Ok(Claim::Reused) => Passage::Unchecked,
            Err(unavailable) => self.without_cache(in_hand.source, &unavailable),
        };
        self.refuse(in_hand, Objection::IdReused, &key, passage).await
    }

    fn without_cache(&self, source: &SourceGate, unavailable: &ReplayUnavailable) -> Passage {
        self.metrics.bypassed(&source.source);
        tracing::warn!(source = %source.source, error = %unavailable, "Publishing without the replay check");
        Passage::Unchecked
    }

    async fn accept(&self, in_hand: InHand<'_>, passage: Passage) -> Answer {
        let InHand { source, event, received_at } = in_hand;
        tracing::info!(
            source = %source.source,
            event_id = %event.key.event_id,
            event_type = %event.event_type,
            livemode = %event.key.livemode,
            "Processing {} webhook event", title(source.provider)
        );
        let origin = self.origin(received_at, passage.check());
        let key = event.key.clone();
        let listed = listed(source, &origin, key.event_id.clone());
        let sent = AcceptedEvent { origin, event: event.clone() };
        let published = self.publish(message::accepted(sent, self.handle.now()), listed).await;
        CrashPoint::IngressConfirmed.pass();
        if published.is_ok() {
            self.confirmed().note(identity(&event), self.handle.monotonic());
        } else {
            // The claim would remember it too, if the cache lives that long.
            self.turn_away(source, &event, received_at);
        }
        if let Passage::Claimed(held) = passage {
            let to = if published.is_ok() { Promotion::Accepted } else { Promotion::Released };
            self.promote(&key, held, to).await;
        }
        match published {
            Ok(()) => Answer::Accepted(key.event_id),
            Err(_) => Answer::Refused(Problem::NotDurable),
        }
    }

    /// Refuses an event once its evidence is durable; `key` is what it is claimed under.
    async fn refuse(
        &self,
        in_hand: InHand<'_>,
        objection: Objection,
        key: &EventKey,
        passage: Passage,
    ) -> Answer {
        let InHand { source, event, received_at } = in_hand;
        let event_id = event.key.event_id.clone();
        let origin = (received_at, passage.check());
        let told = self.tell(source, objection, Evidence::Event(event), origin).await;
        CrashPoint::IngressEvidenceConfirmed.pass();
        if let Passage::Claimed(held) = passage {
            let to = if told.is_ok() { Promotion::Parked } else { Promotion::Released };
            self.promote(key, held, to).await;
        }
        told.map_or_else(Answer::Refused, |_| source.refusal(objection, event_id))
    }

    /// Refuses a body that is no event, once what may be kept of it is durable.
    pub(crate) async fn no_event(
        &self,
        source: &SourceGate,
        body: &[u8],
        unreadable: Unreadable,
        received_at: UnixMillis,
    ) -> Answer {
        let sha256 = content_digest(body);
        let evidence = Evidence::Body { sha256, length: u64::try_from(body.len()).unwrap_or(u64::MAX) };
        // There is no id to ask the cache for; what it would have said is not missing.
        let origin = (received_at, ReplayCheck::Claimed);
        let told = self.tell(source, Objection::NoEvent, evidence, origin).await;
        if told == Ok(Told::Now) {
            let (source, bytes) = (&source.source, body.len());
            tracing::warn!(%source, bytes, error = %unreadable, "An authentic delivery is no event");
        }
        told.map_or_else(Answer::Refused, |_| source.refusal(Objection::NoEvent, id_of_body(&sha256)))
    }

    /// Tells the books what is refused, unless this process has done so: `Ok` when they have it for certain.
    async fn tell(
        &self,
        source: &SourceGate,
        objection: Objection,
        evidence: Evidence,
        (received_at, check): (UnixMillis, ReplayCheck),
    ) -> Result<Told, Problem> {
        let (subject, event_id) = match &evidence {
            Evidence::Event(event) => (Subject::Event(event.key_of_content()), event.key.event_id.clone()),
            Evidence::Body { sha256, .. } => {
                (Subject::Body(source.source.clone(), *sha256), id_of_body(sha256))
            }
        };
        let notice = Notice { subject, reason: objection.reason() };
        let telling = match self.notices.turn(notice, self.handle.monotonic()) {
            Turn::First(telling) => telling,
            Turn::Told => {
                self.totals.refused(&source.source, objection.problem());
                return Ok(Told::Before);
            }
            Turn::Another => return Err(Problem::NotDurable),
        };
        let origin = self.origin(received_at, check);
        let listed = listed(source, &origin, event_id);
        let (said, reason) = (evidence.clone(), objection.reason());
        let refused = RefusedDelivery { origin, source: source.source.clone(), reason, evidence };
        let message = message::refused(refused, self.handle.now());
        self.publish(message, listed).await.map_err(|_| Problem::NotDurable)?;
        let horizon = Duration::from_millis(u64::try_from(source.provider.retry_horizon_ms()).unwrap_or(0));
        telling.confirmed(self.handle.monotonic().saturating_add(horizon));
        self.metrics.rejected(&source.source, objection.problem());
        warn(objection, &said, received_at);
        Ok(Told::Now)
    }

    /// Publishes what is numbered. Only what was confirmed is listed.
    async fn publish(&self, message: ports::Outgoing, listed: Listed) -> Result<(), NotConfirmed> {
        let span = span::publish(&message, &listed);
        let message = message::traced(message, &span);
        let began = self.handle.monotonic();
        let published = self.seams.bus.publish(message).instrument(span.clone()).await;
        self.metrics.published(published, self.handle.monotonic().saturating_sub(began));
        span::published(&span, published);
        match &published {
            Ok(()) => self.totals.confirmed(listed),
            Err(unconfirmed) => {
                let Listed { source, event_id, .. } = &listed;
                tracing::warn!(%source, %event_id, error = %unconfirmed, "Not durable");
            }
        }
        published
    }

    /// A promotion that fails costs a retry some time, never the event: the books know it.
    async fn promote(&self, key: &EventKey, held: Held, to: Promotion) {
        let promoted = self.seams.replay.promote(key, held, to, self.handle.now()).await;
        CrashPoint::IngressPromoted.pass();
        match promoted {
            Ok(true) => {}
            Ok(false) => tracing::debug!(event_id = %key.event_id, ?to, "The claim had moved on"),
            Err(unavailable) => {
                tracing::warn!(event_id = %key.event_id, ?to, error = %unavailable, "The claim stays as it is");
            }
        }
    }

    fn origin(&self, received_at: UnixMillis, replay_check: ReplayCheck) -> Origin {
        let sequence = Sequence(self.sequence.fetch_add(1, Ordering::Relaxed).saturating_add(1));
        Origin { instance: self.instance, sequence, received_at, replay_check }
    }
}

/// Says what another delivery of an event is answered with.
fn again(event: &Event, answer: Answer) -> Answer {
    tracing::info!(
        source = %event.key.source,
        event_id = %event.key.event_id,
        event_type = %event.event_type,
        answer = answer.word(),
        "Another delivery of a webhook event"
    );
    answer
}

fn listed(source: &SourceGate, origin: &Origin, event_id: EventId) -> Listed {
    Listed { sequence: origin.sequence, source: source.source.clone(), event_id }
}

/// What makes two deliveries the same to a process that asks nobody: the event and its content.
fn identity(event: &Event) -> [u8; 32] {
    let Event { key, fingerprint, .. } = event;
    content_digest(&[key.to_string().as_bytes(), &[0, fingerprint.version], &fingerprint.digest].concat())
}

/// What a body that is no event is listed as.
#[expect(clippy::expect_used, reason = "64 hex digits")]
fn id_of_body(sha256: &[u8; 32]) -> EventId {
    EventId::parse(&HEXLOWER.encode(sha256)).expect("an event id")
}

/// Said once for each refusal, where the books were told. The first of these lines has a name that other people search for.
fn warn(objection: Objection, evidence: &Evidence, received_at: UnixMillis) {
    let Evidence::Event(event) = evidence else { return };
    let (source, event_id, event_type) = (&event.key.source, &event.key.event_id, &event.event_type);
    match objection {
        Objection::TooOld => tracing::warn!(
            %source,
            %event_id,
            %event_type,
            event_created = event.occurred_at.seconds(),
            age_seconds = age_s(event, received_at),
            "Rejecting old webhook event (possible replay attack)"
        ),
        Objection::WrongMode => tracing::warn!(
            %source,
            %event_id,
            %event_type,
            account = %event.key.account,
            livemode = %event.key.livemode,
            "Rejecting a webhook event of a mode or an account that its source is not for"
        ),
        Objection::IdReused => {
            tracing::warn!(%source, %event_id, %event_type, "Rejecting another content under a used event id");
        }
        Objection::NoEvent => {}
    }
}

/// The provider's name as people write it.
fn title(provider: &dyn Provider) -> &'static str {
    match provider.scheme() {
        signature::Scheme::Stripe => "Stripe",
        signature::Scheme::Telegram => "Telegram",
    }
}
