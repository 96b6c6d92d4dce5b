//! Metrics; the first ones have names that other people's dashboards rely on.

mod flow;
pub(crate) mod http;

use core::fmt;
use core::sync::atomic::{AtomicI64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::{Source, UnixMillis};
use ports::{Handle, NotConfirmed, StoredResult};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::metrics::flow::Flow;
use crate::metrics::http::Http;
use crate::window::{Window, median, p95};
use crate::{Answer, Problem, Secrets, SourceGate};

/// How long `webhooks_rejected_rate` looks back.
const REJECTED_WINDOW: Duration = Duration::from_hours(1);

/// How long `webhook_age_p95`, `webhook_age_max` and `webhook_clock_skew_seconds` look back.
const AGE_WINDOW: Duration = Duration::from_mins(5);

/// The ingress' metrics.
#[derive(Debug)]
pub struct Metrics {
    replay_block: Counter,
    idempotent_hits: Family<Operation, Counter>,
    invalid_signature: Counter,
    rejected: Family<Rejection, Counter>,
    bypassed: Family<SourceLabel, Counter>,
    answered: Family<Answered, Counter>,
    age: Histogram,
    flow: Flow,
    /// What is measured of every request.
    pub(crate) http: Http,
    windows: Arc<Windows>,
}

struct Windows {
    handle: Handle,
    rejected: Window<()>,
    ages_s: Window<i64>,
    sources: BTreeMap<Source, Clock>,
}

/// What a source's own time says.
struct Clock {
    /// When one of its events was last accepted; 0 is never since the start.
    accepted_s: AtomicI64,
    /// The newest signed time, in seconds.
    newest: AtomicI64,
    /// Signed time minus receipt of each authentic delivery that was signed later than every one before: what was captured and
    /// is sent again, however often, is counted once. A source whose clock leaps back is silent until it has caught up.
    skews_s: Window<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rejection {
    source: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    source: String,
    answer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecretLabel {
    source: String,
    secret: String,
}

const WEBHOOK: Operation = Operation { operation: "webhook" };

/// The `source` label of a request for a source that does not exist.
const NO_SOURCE: &str = "other";

impl Metrics {
    /// Registers them, with a zero for every label value that is known beforehand.
    pub fn register(registry: &mut Registry, handle: Handle, sources: &[SourceGate]) -> Self {
        let clock = |gate: &SourceGate| {
            let (accepted_s, newest) = (AtomicI64::new(0), AtomicI64::new(i64::MIN));
            (gate.source.clone(), Clock { accepted_s, newest, skews_s: Window::new(AGE_WINDOW) })
        };
        let windows = Windows {
            handle,
            rejected: Window::new(REJECTED_WINDOW),
            ages_s: Window::new(AGE_WINDOW),
            sources: sources.iter().map(clock).collect(),
        };
        let metrics = Self {
            replay_block: Counter::default(),
            idempotent_hits: Family::default(),
            invalid_signature: Counter::default(),
            rejected: Family::default(),
            bypassed: Family::default(),
            answered: Family::default(),
            age: Histogram::new([
                0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 240.0, 300.0, 900.0, 3600.0, 86_400.0,
            ]),
            flow: Flow::register(registry, sources),
            http: Http::register(registry),
            windows: Arc::new(windows),
        };
        drop(metrics.idempotent_hits.get_or_create(&WEBHOOK));
        for source in sources {
            let source = source.source.to_string();
            drop(metrics.bypassed.get_or_create(&SourceLabel { source: source.clone() }));
            for problem in Problem::ALL.into_iter().filter(|problem| problem.is_rejection()) {
                drop(
                    metrics
                        .rejected
                        .get_or_create(&Rejection { source: source.clone(), reason: problem.slug() }),
                );
            }
        }
        for source in sources.iter().map(|gate| gate.source.to_string()).chain([NO_SOURCE.to_owned()]) {
            for answer in
                ["accepted", "replayed", "parked"].into_iter().chain(Problem::ALL.map(Problem::slug))
            {
                drop(metrics.answered.get_or_create(&Answered { source: source.clone(), answer }));
            }
        }
        let Self {
            replay_block,
            idempotent_hits,
            invalid_signature,
            rejected,
            bypassed,
            answered,
            age,
            windows,
            ..
        } = &metrics;
        registry.register(
            "billing_webhook_replay_block",
            "Events that were answered as a replay",
            replay_block.clone(),
        );
        registry.register(
            "idempotent_hits",
            "Replays answered with a stored result",
            idempotent_hits.clone(),
        );
        registry.register(
            "billing_webhook_invalid_sig",
            "Deliveries whose signature is missing, malformed or does not match",
            invalid_signature.clone(),
        );
        registry.register(
            "webhooks_rejected",
            "Refusals of authentic senders, the first of each event",
            rejected.clone(),
        );
        registry.register(
            "replay_bypassed",
            "Events published without the cache being asked",
            bypassed.clone(),
        );
        registry.register("webhooks_answered", "Deliveries by their answer", answered.clone());
        registry.register("webhook_age_seconds", "Receipt minus the event's own creation", age.clone());
        registry.register_collector(Box::new(WindowGauges(Arc::clone(windows))));
        let secrets = sources.iter().map(|gate| (gate.source.to_string(), Arc::clone(&gate.secrets)));
        registry.register_collector(Box::new(SecretGauges(secrets.collect())));
        metrics
    }

    /// Counts the answer to one delivery; `None` stands for a source that does not exist.
    pub(crate) fn answered(&self, source: Option<&Source>, answer: &Answer) {
        let source = source.map_or_else(|| NO_SOURCE.to_owned(), ToString::to_string);
        self.answered.get_or_create(&Answered { source: source.clone(), answer: answer.word() }).inc();
        match answer {
            Answer::Refused(problem) if problem.is_invalid_signature() => {
                self.invalid_signature.inc();
            }
            Answer::Refused(problem) if !problem.is_evidenced() => self.note_rejection(source, *problem),
            Answer::Accepted(_) | Answer::Replayed(..) | Answer::Parked(_) | Answer::Refused(_) => {}
        }
    }

    /// Counts an event that is answered as a replay, with or without its stored result.
    pub(crate) fn replayed(&self, result: Option<&StoredResult>) {
        self.replay_block.inc();
        if result.is_some() {
            self.idempotent_hits.get_or_create(&WEBHOOK).inc();
        }
    }

    /// Counts a refusal that the books were told of: the first of its event, whatever its answer.
    pub(crate) fn rejected(&self, source: &Source, problem: Problem) {
        self.note_rejection(source.to_string(), problem);
    }

    fn note_rejection(&self, source: String, problem: Problem) {
        if problem.is_rejection() {
            self.rejected.get_or_create(&Rejection { source, reason: problem.slug() }).inc();
            self.windows.rejected.note(self.windows.handle.monotonic(), ());
        }
    }

    /// Notes the age of an authentic event on arrival.
    pub(crate) fn arrived(&self, created: UnixMillis, received_at: UnixMillis) {
        let age_ms = received_at.since_ms(created).max(0);
        #[expect(
            clippy::as_conversions,
            clippy::cast_precision_loss,
            clippy::float_arithmetic,
            reason = "an age"
        )]
        self.age.observe(age_ms as f64 / 1000.0);
        self.windows.ages_s.note(self.windows.handle.monotonic(), age_ms / 1000);
    }

    /// Notes when an authentic delivery that was received at `now_s` was signed, by the source's clock.
    pub(crate) fn signed(&self, source: &Source, signed_s: i64, now_s: i64) {
        if let Some(clock) = self.windows.sources.get(source)
            && signed_s > clock.newest.fetch_max(signed_s, Ordering::Relaxed)
        {
            let ahead_s = signed_s.saturating_sub(now_s);
            clock.skews_s.note(self.windows.handle.monotonic(), ahead_s);
        }
    }

    /// Counts an event of an authentic delivery by what became of it.
    pub(crate) fn event(&self, source: &Source, event_type: &str, answer: &Answer) {
        self.flow.event(source, event_type, answer);
        if let (Answer::Accepted(_), Some(clock)) = (answer, self.windows.sources.get(source)) {
            clock.accepted_s.store(self.windows.handle.now().seconds(), Ordering::Relaxed);
        }
    }

    /// Counts a publish of something numbered, and how long its confirm took.
    pub(crate) fn published(&self, ended: Result<(), NotConfirmed>, took: Duration) {
        self.flow.published(ended, took);
    }

    /// Counts an event that is published without the cache.
    pub(crate) fn bypassed(&self, source: &Source) {
        self.bypassed.get_or_create(&SourceLabel { source: source.to_string() }).inc();
    }
}

impl fmt::Debug for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Windows")
    }
}

/// The gauges that are worked out when they are read.
#[derive(Debug)]
struct WindowGauges(Arc<Windows>);

impl Collector for WindowGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = self.0.handle.monotonic();
        let rejected = i64::try_from(self.0.rejected.values(now).len()).unwrap_or(i64::MAX);
        let ages = self.0.ages_s.values(now);
        let gauges = [
            ("webhooks_rejected_rate", "Refusals of authentic senders in the last hour", rejected),
            (
                "webhook_age_max",
                "The oldest event of the last 5 minutes, in seconds",
                ages.iter().copied().max().unwrap_or(0),
            ),
            (
                "webhook_age_p95",
                "The age of events of the last 5 minutes, 95th percentile, in seconds",
                p95(ages).unwrap_or(0),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let clocks = |encoder: &mut DescriptorEncoder<'_>, name, help, value: fn(&Clock, Duration) -> i64| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (source, clock) in &self.0.sources {
                let label = SourceLabel { source: source.to_string() };
                ConstGauge::new(value(clock, now)).encode(family.encode_family(&label)?)?;
            }
            Ok(())
        };
        let (name, help) = (
            "webhook_last_accepted_timestamp_seconds",
            "When an event of the source was last accepted here; 0 is never since the start",
        );
        clocks(&mut encoder, name, help, |clock, _now| clock.accepted_s.load(Ordering::Relaxed))?;
        let (name, help) = (
            "webhook_clock_skew_seconds",
            "Signed time minus receipt of the last 5 minutes' newest authentic deliveries, median; 0 without any",
        );
        clocks(&mut encoder, name, help, |clock, now| median(clock.skews_s.values(now)).unwrap_or(0))
    }
}

/// When each active secret last matched; a secret that is no longer active has no gauge.
#[derive(Debug)]
struct SecretGauges(Vec<(String, Arc<Secrets>)>);

impl Collector for SecretGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (name, help) = (
            "webhook_secret_last_match_timestamp_seconds",
            "When the secret at this index last verified a delivery; 0 is never since the start",
        );
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (source, secrets) in &self.0 {
            for (index, last_s) in secrets.active().last_matches_s().enumerate() {
                let label = SecretLabel { source: source.clone(), secret: index.to_string() };
                ConstGauge::new(last_s).encode(family.encode_family(&label)?)?;
            }
        }
        Ok(())
    }
}
