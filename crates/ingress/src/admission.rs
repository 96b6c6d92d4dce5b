//! The way in: verify → read → claim → publish and await the confirm → promote.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use ledger::{EventKey, ProviderAccount, Source, UnixMillis};
use ports::{Age, Ask, Bus, Claim, Handle, Headers, Held, Outgoing, OwnerToken, Promotion, Replay, header};
use provider::{Event, Provider};
use signature::{Freshness, Request, verify};
use tracing::{Instrument as _, Span};
use wire::{AcceptedEvent, BusMessage, InstanceId, ReplayCheck, Sequence};

use crate::caller::Caller;
use crate::strangers::Strangers;
use crate::{Answer, Entry, Metrics, Problem, Secrets};

/// A source as the gate knows it.
pub struct SourceGate {
    /// Its name.
    pub source: Source,
    /// Whose scheme it speaks.
    pub provider: &'static dyn Provider,
    /// Every active secret.
    pub secrets: Arc<Secrets>,
    /// How old or new a signature may be.
    pub freshness: Freshness,
    /// The account of events that name none.
    pub own_account: ProviderAccount,
}

/// What to do when the cache does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayPolicy {
    /// Publish all the same, marked as unchecked: the books decide.
    Open,
    /// Refuse with 503.
    Closed,
}

/// Limits and choices.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// What to do without the cache.
    pub replay: ReplayPolicy,
    /// How many deliveries are admitted at a time.
    pub in_flight_max: usize,
    /// How long a delivery's work may take before its client is told to come again; the work goes on.
    pub patience: Duration,
}

/// A request for a source, its body complete.
#[derive(Debug)]
pub struct Arrival {
    /// The source that the URL names.
    pub source: String,
    /// All headers, repeated ones repeated.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The raw body.
    pub body: Bytes,
    /// When it was complete.
    pub received_at: UnixMillis,
    /// As what it was let in.
    pub entry: Entry,
}

/// The seams that a gate acts through.
#[derive(Clone)]
pub struct Seams {
    /// Where events are claimed.
    pub replay: Arc<dyn Replay>,
    /// Where they are published.
    pub bus: Arc<dyn Bus>,
}

/// The gate: everything between a complete request and its answer.
pub struct Gate {
    sources: BTreeMap<String, Arc<SourceGate>>,
    seams: Seams,
    handle: Handle,
    policy: Policy,
    metrics: Metrics,
    instance: InstanceId,
    sequence: AtomicU64,
    in_flight: Arc<tokio::sync::Semaphore>,
    strangers: Strangers,
}

impl fmt::Debug for Seams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seams")
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl fmt::Debug for SourceGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceGate").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Whether the cache let the event pass, and what it holds for us.
enum Passage {
    Claimed(Held),
    Unchecked,
}

impl Gate {
    /// A gate for these sources. Its instance id is new with every call.
    pub fn new(
        sources: Vec<SourceGate>,
        seams: Seams,
        handle: Handle,
        policy: Policy,
        metrics: Metrics,
    ) -> Arc<Self> {
        let instance = InstanceId::from_bytes(handle.random());
        Arc::new(Self {
            sources: sources.into_iter().map(|s| (s.source.to_string(), Arc::new(s))).collect(),
            seams,
            in_flight: Arc::new(tokio::sync::Semaphore::new(policy.in_flight_max)),
            strangers: Strangers::new(handle.clone()),
            handle,
            policy,
            metrics,
            instance,
            sequence: AtomicU64::new(0),
        })
    }

    /// This process, as messages name it.
    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Completes when no delivery is being admitted any more; none is after that.
    pub async fn drained(&self) {
        let every = u32::try_from(self.policy.in_flight_max).unwrap_or(u32::MAX);
        if self.in_flight.acquire_many(every).await.is_ok() {
            self.in_flight.close();
        }
    }

    /// Whether there is such a source.
    pub fn knows(&self, source: &str) -> bool {
        self.sources.contains_key(source)
    }

    /// Lets a request in before its body is read, or says why not. `None` is a caller that cannot be told from others.
    pub async fn enter(&self, caller: Option<Caller>) -> Result<Entry, Problem> {
        self.strangers.enter(caller).await
    }

    /// Counts the refusal of a request that was let in and whose body never came as it should.
    pub fn turned_away(&self, source: &str, entry: &Entry, problem: Problem) -> Answer {
        self.strangers.failed(entry);
        self.refused(source, problem)
    }

    /// Counts a refusal that was decided before there was an arrival.
    pub fn refused(&self, source: &str, problem: Problem) -> Answer {
        let answer = Answer::Refused(problem);
        let source = self.sources.get(source).map(|known| &known.source);
        self.metrics.answered(source, &answer);
        tracing::info!(source = source.map(Source::as_str), answer = answer.word(), "Refused a delivery");
        answer
    }

    /// Answers one delivery.
    pub async fn deliver(self: &Arc<Self>, arrival: Arrival) -> Answer {
        let Some(source) = self.sources.get(&arrival.source).cloned() else {
            return self.refused(&arrival.source, Problem::UnknownSource);
        };
        let events = match self.read(&source, &arrival) {
            Ok(events) => events,
            Err(problem) => return self.refused(&arrival.source, problem),
        };
        drop(arrival.entry);
        let Ok(place) = Arc::clone(&self.in_flight).try_acquire_owned() else {
            return self.refused(&arrival.source, Problem::Overloaded);
        };
        for event in &events {
            self.metrics.arrived(event.created, arrival.received_at);
        }
        // A task of its own: a client that hangs up must not stop the work between claim and promotion.
        let (gate, received_at) = (Arc::clone(self), arrival.received_at);
        let sender = Arc::clone(&source);
        let work = async move {
            let admissions = events.into_iter().map(|event| gate.admit(&sender, event, received_at));
            let answer = combine(join_all(admissions).await);
            drop(place);
            answer
        };
        let work = self.handle.spawn("admission", work.instrument(Span::current()));
        let answered = self.handle.within(self.policy.patience, work).await.flatten();
        let answer = answered.unwrap_or_else(|| {
            tracing::warn!(source = %source.source, "No answer in time; the work goes on without its client");
            Answer::Refused(Problem::NotDurable)
        });
        self.metrics.answered(Some(&source.source), &answer);
        answer
    }

    /// The verified events of a delivery. Nothing of the body is looked at before its signature has been verified.
    fn read(&self, source: &SourceGate, arrival: &Arrival) -> Result<Vec<Event>, Problem> {
        let headers: Vec<(&str, &[u8])> =
            arrival.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let request = Request { headers: &headers, body: &arrival.body };
        let now_s = self.handle.now().seconds();
        let active = source.secrets.active();
        let verified = verify(source.provider.scheme(), &request, active.secrets(), source.freshness, now_s)
            .inspect_err(|_| self.strangers.failed(&arrival.entry))?;
        self.strangers.verified(&arrival.entry);
        active.matched(verified.secret_index(), now_s);
        source.provider.events(&verified, &source.own_account, arrival.received_at).map_err(|unreadable| {
            tracing::warn!(source = %source.source, bytes = arrival.body.len(), %unreadable, "An authentic delivery is no event");
            Problem::PayloadInvalid
        })
    }

    /// Claims, publishes and promotes one event.
    async fn admit(&self, source: &SourceGate, event: Event, received_at: UnixMillis) -> Answer {
        let key = EventKey {
            source: source.source.clone(),
            account: event.account.clone(),
            livemode: event.livemode,
            event_id: event.event_id.clone(),
        };
        let ask = Ask {
            now: self.handle.now(),
            age: Age::Fresh,
            fingerprint: event.fingerprint,
            owner: OwnerToken(self.handle.random()),
            retention_ms: source.provider.retry_horizon_ms(),
        };
        let passage = match self.seams.replay.claim(&key, ask).await {
            Ok(Claim::Taken(held)) => Passage::Claimed(held),
            Ok(Claim::Replayed(result)) => return Answer::Replayed(key.event_id, result),
            Ok(Claim::Parked) => return Answer::Parked(key.event_id),
            Ok(Claim::InFlight { .. }) => return Answer::Refused(Problem::DeliveryInFlight),
            Ok(Claim::Reused) => return Answer::Refused(Problem::EventIdReused),
            Err(unavailable) => match self.policy.replay {
                ReplayPolicy::Closed => return Answer::Refused(Problem::ReplayStateUnavailable),
                ReplayPolicy::Open => {
                    self.metrics.bypassed(&source.source);
                    tracing::warn!(source = %source.source, %unavailable, "Publishing without the replay check");
                    Passage::Unchecked
                }
            },
        };
        tracing::info!(
            source = %source.source,
            event_id = %event.event_id,
            event_type = %event.event_type,
            livemode = %event.livemode,
            "Processing {} webhook event", title(source.provider)
        );
        let published =
            self.seams.bus.publish(self.message(source, &key, event, received_at, &passage)).await;
        let answer = match published {
            Ok(()) => Answer::Accepted(key.event_id.clone()),
            Err(unconfirmed) => {
                tracing::warn!(source = %source.source, event_id = %key.event_id, %unconfirmed, "Not durable");
                Answer::Refused(Problem::NotDurable)
            }
        };
        if let Passage::Claimed(held) = passage {
            let to = if published.is_ok() { Promotion::Accepted } else { Promotion::Released };
            self.promote(&key, held, to).await;
        }
        answer
    }

    /// A promotion that fails costs a retry some time, never the event: the books know it.
    async fn promote(&self, key: &EventKey, held: Held, to: Promotion) {
        match self.seams.replay.promote(key, held, to, self.handle.now()).await {
            Ok(true) => {}
            Ok(false) => tracing::debug!(event_id = %key.event_id, ?to, "The claim had moved on"),
            Err(unavailable) => {
                tracing::warn!(event_id = %key.event_id, ?to, %unavailable, "The claim stays as it is");
            }
        }
    }

    fn message(
        &self,
        source: &SourceGate,
        key: &EventKey,
        event: Event,
        received_at: UnixMillis,
        passage: &Passage,
    ) -> Outgoing {
        let sequence = Sequence(self.sequence.fetch_add(1, Ordering::Relaxed).saturating_add(1));
        let headers = Headers::default()
            .with(header::FORMAT, wire::FORMAT_VERSION.to_string())
            .with(header::INSTANCE, self.instance.to_string())
            .with(header::SEQUENCE, sequence.to_string())
            .with(header::SOURCE, key.source.as_str())
            .with(header::ACCOUNT, key.account.as_str())
            .with(header::LIVEMODE, key.livemode.as_str())
            .with(header::EVENT_ID, key.event_id.as_str())
            .with(header::EVENT_TYPE, event.event_type.as_str());
        Outgoing {
            routing_key: format!("accepted.{}.{}", key.source, event.event_type),
            message_id: format!("{}:{sequence}", self.instance),
            kind: "AcceptedEvent",
            sent_at: self.handle.now(),
            headers: with_trace(headers),
            body: BusMessage::Accepted(AcceptedEvent {
                instance: self.instance,
                sequence,
                key: key.clone(),
                provider: source.provider.name(),
                event_type: event.event_type,
                object_id: event.object_id,
                occurred_at: event.created,
                received_at,
                fingerprint: event.fingerprint,
                keep_list_version: event.keep_list_version,
                payload: event.payload,
                replay_check: match passage {
                    Passage::Claimed(_) => ReplayCheck::Claimed,
                    Passage::Unchecked => ReplayCheck::Bypassed,
                },
            })
            .encode(),
        }
    }
}

/// The trace of this delivery goes along: its id stands on whatever is booked from it.
fn with_trace(headers: Headers) -> Headers {
    match runtime::telemetry::traceparent(&Span::current()) {
        Some(traceparent) => headers.with(header::TRACEPARENT, traceparent),
        None => headers,
    }
}

/// The provider's name as people write it.
fn title(provider: &dyn Provider) -> &'static str {
    match provider.scheme() {
        signature::Scheme::Stripe => "Stripe",
        signature::Scheme::Telegram => "Telegram",
    }
}

/// One event: its own answer. Several: the first refusal, else accepted.
fn combine(answers: Vec<Answer>) -> Answer {
    let refused = answers.iter().position(|answer| matches!(answer, Answer::Refused(_)));
    let mut answers = answers;
    let at = refused.unwrap_or(0);
    if at < answers.len() { answers.swap_remove(at) } else { Answer::Refused(Problem::PayloadInvalid) }
}
