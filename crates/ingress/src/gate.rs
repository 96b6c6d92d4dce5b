//! The way of a delivery: verify → read → admit each event → answer.

use core::fmt;
use core::sync::atomic::AtomicU64;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::join_all;
use ledger::{EventKey, Source, UnixMillis};
use ports::{Bus, Handle, Replay};
use provider::Unreadable;
use signature::{Refused, Request, Verified, verify};
use tracing::{Instrument as _, Span};
use wire::{Event, InstanceId};

use crate::answer::combine;
use crate::caller::Caller;
use crate::notices::Notices;
use crate::remembered::Remembered;
use crate::strangers::Strangers;
use crate::{Answer, Entry, Metrics, Problem, Response, SourceGate, Totals, span};

/// How long, and how many, events are remembered that came in time and were turned away without a claim.
const TURNED_AWAY: (Duration, usize) = (Duration::from_hours(72), 10_000);

/// How long, and how many, events are remembered that were confirmed: as long as the cache holds an accepted one.
const CONFIRMED: (Duration, usize) = (Duration::from_mins(10), 100_000);

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
    /// How often what was confirmed is told in a control total.
    pub control_total: Duration,
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
    pub(crate) seams: Seams,
    pub(crate) handle: Handle,
    pub(crate) policy: Policy,
    pub(crate) metrics: Metrics,
    pub(crate) instance: InstanceId,
    pub(crate) sequence: AtomicU64,
    pub(crate) notices: Notices,
    pub(crate) totals: Totals,
    /// What was turned away without a claim, by the keys of the contents. What has one is remembered there, for every process.
    pub(crate) came_in_time: Mutex<Remembered<EventKey>>,
    /// What this process has had confirmed, by digests of key and content. It is asked where the cache does not answer: without
    /// it one captured request, sent over and over, would be a message and a row each time.
    pub(crate) confirmed: Mutex<Remembered<[u8; 32]>>,
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

/// What an authentic delivery holds.
enum Content {
    /// Events, at least one, and what the provider is to read in the response.
    Events(Vec<Event>, Option<Bytes>),
    /// No event.
    None(Unreadable),
}

impl Content {
    fn events(&self) -> &[Event] {
        match self {
            Self::Events(events, _) => events,
            Self::None(_) => &[],
        }
    }
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
        let totals = Totals::new(Arc::clone(&seams.bus), handle.clone(), instance, policy.control_total);
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
            notices: Notices::default(),
            totals,
            came_in_time: Mutex::new(Remembered::new(TURNED_AWAY.0, TURNED_AWAY.1)),
            confirmed: Mutex::new(Remembered::new(CONFIRMED.0, CONFIRMED.1)),
        })
    }

    /// This process, as messages name it.
    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// What this process knows to have been confirmed: somebody has to drive it.
    pub fn totals(&self) -> &Totals {
        &self.totals
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
        self.count(source, &answer);
        tracing::info!(source = source.map(Source::as_str), answer = answer.word(), "Refused a delivery");
        answer
    }

    /// Counts an answer. What is refused with evidence was counted with it.
    fn count(&self, source: Option<&Source>, answer: &Answer) {
        self.metrics.answered(source, answer);
        if let (Some(source), Answer::Refused(problem)) = (source, answer)
            && !problem.is_evidenced()
        {
            self.totals.refused(source, *problem);
        }
    }

    /// Answers one delivery.
    pub async fn deliver(self: &Arc<Self>, arrival: Arrival) -> Response {
        let Some(source) = self.sources.get(&arrival.source).cloned() else {
            return self.refused(&arrival.source, Problem::UnknownSource).into();
        };
        let content = match self.read(&source, &arrival) {
            Ok(content) => content,
            Err(problem) => return self.refused(&arrival.source, problem).into(),
        };
        let span = Span::current();
        let named = span::authentic(&span, &arrival, content.events());
        let Arrival { body, received_at, .. } = arrival;
        let Ok(place) = Arc::clone(&self.in_flight).try_acquire_owned() else {
            if let Content::Events(events, _) = &content {
                for event in events {
                    self.turn_away(&source, event, received_at);
                }
            }
            let overloaded = self.refused(source.source.as_str(), Problem::Overloaded);
            span::keep(&span, &overloaded, named.as_ref());
            return overloaded.into();
        };
        // A task of its own: a client that hangs up must not stop the work between claim and promotion.
        let (gate, sender) = (Arc::clone(self), Arc::clone(&source));
        let work = async move {
            let response = match content {
                Content::Events(events, reply) => {
                    let admissions = events.into_iter().map(|event| gate.admit(&sender, event, received_at));
                    Response { answer: combine(join_all(admissions).await), reply }
                }
                Content::None(unreadable) => {
                    gate.no_event(&sender, &body, unreadable, received_at).await.into()
                }
            };
            drop(place);
            response
        };
        let work = self.handle.spawn("admission", work.instrument(span.clone()));
        let answered = self.handle.within(self.policy.patience, work).await.flatten();
        let response = answered.unwrap_or_else(|| {
            tracing::warn!(source = %source.source, "No answer in time; the work goes on without its client");
            Answer::Refused(Problem::NotDurable).into()
        });
        self.count(Some(&source.source), &response.answer);
        span::keep(&span, &response.answer, named.as_ref());
        response
    }

    /// What a delivery holds. Nothing of the body is looked at before its signature has been verified.
    fn read(&self, source: &SourceGate, arrival: &Arrival) -> Result<Content, Problem> {
        let headers: Vec<(&str, &[u8])> =
            arrival.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let request = Request { headers: &headers, body: &arrival.body };
        let now_s = self.handle.now().seconds();
        let active = source.secrets.active();
        let verified =
            match verify(source.provider.scheme(), &request, active.secrets(), source.freshness, now_s) {
                Ok(verified) => verified,
                // Genuine, and empty.
                Err(Refused::PayloadInvalid) => {
                    self.strangers.verified(&arrival.entry);
                    return Ok(Content::None(Unreadable::Json));
                }
                Err(refused) => {
                    if let Some(signed_s) = signed_s(refused, now_s) {
                        self.metrics.signed(&source.source, signed_s, now_s);
                    }
                    self.strangers.failed(&arrival.entry);
                    return Err(refused.into());
                }
            };
        self.strangers.verified(&arrival.entry);
        active.matched(verified.secret_index(), now_s);
        if let Some(signed_s) = verified.signed_at() {
            self.metrics.signed(&source.source, signed_s, now_s);
        }
        Ok(self.content(source, &verified, arrival.received_at))
    }

    fn content(&self, source: &SourceGate, verified: &Verified<'_>, received_at: UnixMillis) -> Content {
        match source.events(verified, received_at) {
            Ok(events) => {
                for event in &events {
                    self.metrics.arrived(event.occurred_at, received_at);
                }
                Content::Events(events, source.reply(verified))
            }
            Err(unreadable) => Content::None(unreadable),
        }
    }
}

/// The signed time of what was refused for it: there clocks are furthest apart.
fn signed_s(refused: Refused, now_s: i64) -> Option<i64> {
    match refused {
        Refused::SignatureExpired { age_s } => Some(now_s.saturating_sub_unsigned(age_s)),
        Refused::SignatureFromFuture { ahead_s } => Some(now_s.saturating_add_unsigned(ahead_s)),
        Refused::SignatureMissing
        | Refused::SignatureMalformed
        | Refused::SignatureMismatch
        | Refused::PayloadInvalid => None,
    }
}
