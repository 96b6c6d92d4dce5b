//! Metrics of the processor.

use core::time::Duration;

use ledger::{Outcome, Reason, Status};
use ports::{Decision, EventRecord, Filing, Gate, Queue, Record, Recorded, Settlement};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The status of an action that does not exist.
const UNKNOWN: &str = "unknown";

/// The processor's metrics.
#[derive(Debug)]
pub struct Metrics {
    recorded: Family<Labels, Counter>,
    parked: Family<ReasonLabel, Counter>,
    refusals: Family<ReasonLabel, Counter>,
    totals: Counter,
    actions: Family<StatusLabel, Counter>,
    accepted_to_recorded: Histogram,
    batch_messages: Histogram,
    batch_seconds: Histogram,
    queue_messages: Family<QueueLabel, Gauge>,
    queue_consumers: Family<QueueLabel, Gauge>,
    untold: Counter,
    unannounced: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    queue: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
    settlement: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

const fn word(settlement: Settlement) -> &'static str {
    match settlement {
        Settlement::New => "new",
        Settlement::Hit => "hit",
        Settlement::Again => "again",
        Settlement::NameTaken => "name-taken",
        Settlement::TookOver => "took-over",
        Settlement::Reused => "reused",
        Settlement::Evidence => "evidence",
    }
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            recorded: Family::default(),
            parked: Family::default(),
            refusals: Family::default(),
            totals: Counter::default(),
            actions: Family::default(),
            accepted_to_recorded: Histogram::new([
                0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0,
            ]),
            batch_messages: Histogram::new([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]),
            batch_seconds: Histogram::new([
                0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 1200.0,
            ]),
            queue_messages: Family::default(),
            queue_consumers: Family::default(),
            untold: Counter::default(),
            unannounced: Counter::default(),
        };
        for reason in Reason::ALL.iter().filter(|reason| reason.outcome() == Outcome::Parked) {
            let label = ReasonLabel { reason: reason.as_str() };
            drop(metrics.parked.get_or_create(&label));
            drop(metrics.refusals.get_or_create(&label));
        }
        for outcome in Outcome::ALL {
            let labels = Labels { outcome: outcome.as_str(), settlement: word(Settlement::New) };
            drop(metrics.recorded.get_or_create(&labels));
        }
        for status in Status::ALL.map(Status::as_str).into_iter().chain([UNKNOWN]) {
            drop(metrics.actions.get_or_create(&StatusLabel { status }));
        }
        let Self { recorded, parked, refusals, totals, actions, untold, unannounced, .. } = &metrics;
        registry.register("messages_recorded", "Messages committed to Postgres", recorded.clone());
        registry.register("messages_parked", "Messages that a person has to decide about", parked.clone());
        registry.register(
            "refusals_recorded",
            "Evidence of deliveries that an ingress refused",
            refusals.clone(),
        );
        registry.register("control_totals_recorded", "Control totals, each time they came", totals.clone());
        registry.register(
            "actions_answered",
            "Requests of operators, by where that leaves the event",
            actions.clone(),
        );
        registry.register(
            "accepted_to_recorded_seconds",
            "From the receipt of a webhook to the COMMIT that holds it",
            metrics.accepted_to_recorded.clone(),
        );
        registry.register(
            "batch_messages",
            "Messages that were brought into the books together",
            metrics.batch_messages.clone(),
        );
        registry.register(
            "batch_seconds",
            "From having received a batch to its last COMMIT, outages included",
            metrics.batch_seconds.clone(),
        );
        registry.register(
            "queue_messages",
            "Messages that wait in a queue; no value while the broker is away",
            metrics.queue_messages.clone(),
        );
        registry.register(
            "queue_consumers",
            "Who consumes a queue; no value while the broker is away",
            metrics.queue_consumers.clone(),
        );
        registry.register("results_untold", "Results that the cache could not be told", untold.clone());
        registry.register(
            "booked_unannounced",
            "Booked events that may not have been announced",
            unannounced.clone(),
        );
        metrics
    }

    /// Counts a message that is committed, `age_ms` after its webhook was received.
    pub(crate) fn recorded(&self, record: &Record, recorded: &Recorded, age_ms: i64) {
        let labels = Labels { outcome: recorded.outcome.as_str(), settlement: word(recorded.settlement) };
        self.recorded.get_or_create(&labels).inc();
        let (counted, reason) = match record.delivery.gate {
            Gate::Refused => (&self.refusals, refusal(record)),
            Gate::Accepted => (&self.parked, recorded.reason.filter(|_| newly_parked(recorded))),
        };
        if let Some(reason) = reason {
            counted.get_or_create(&ReasonLabel { reason: reason.as_str() }).inc();
        }
        // What came again was counted with its first COMMIT.
        if recorded.settlement == Settlement::Again {
            return;
        }
        #[expect(
            clippy::as_conversions,
            clippy::cast_precision_loss,
            clippy::float_arithmetic,
            reason = "an age"
        )]
        self.accepted_to_recorded.observe(age_ms.max(0) as f64 / 1000.0);
    }

    /// Notes a batch that is committed.
    pub(crate) fn committed(&self, messages: usize, took: Duration) {
        self.batch_messages.observe(f64::from(u32::try_from(messages).unwrap_or(u32::MAX)));
        self.batch_seconds.observe(took.as_secs_f64());
    }

    /// Notes how deep a queue is and who consumes it, if that is known: no value is better than an old one.
    pub(crate) fn depth(&self, queue: Queue, depth: Option<(u32, u32)>) {
        let label = QueueLabel { queue: queue.name() };
        match depth {
            Some((messages, consumers)) => {
                self.queue_messages.get_or_create(&label).set(messages.into());
                self.queue_consumers.get_or_create(&label).set(consumers.into());
            }
            None => {
                self.queue_messages.remove(&label);
                self.queue_consumers.remove(&label);
            }
        }
    }

    /// Counts a control total that is committed.
    pub(crate) fn counted(&self) {
        self.totals.inc();
    }

    /// Counts an operator's request; without a status there is no such action.
    pub(crate) fn acted(&self, status: Option<Status>) {
        let status = status.map_or(UNKNOWN, Status::as_str);
        self.actions.get_or_create(&StatusLabel { status }).inc();
    }

    /// Counts results that the cache was not told.
    pub(crate) fn untold(&self, results: usize) {
        self.untold.inc_by(u64::try_from(results).unwrap_or(u64::MAX));
    }

    /// Counts booked events that were not announced.
    pub(crate) fn unannounced(&self, events: usize) {
        self.unannounced.inc_by(u64::try_from(events).unwrap_or(u64::MAX));
    }
}

/// What the gate refused a delivery for.
fn refusal(record: &Record) -> Option<Reason> {
    match &record.filing {
        Filing::Event(EventRecord { decision: Decision::Keep(reason), .. })
        | Filing::Evidence { reason, .. } => Some(*reason),
        Filing::Event(_) => None,
    }
}

/// Whether this message, and none before it, left something for a person to decide.
fn newly_parked(recorded: &Recorded) -> bool {
    let first = !matches!(recorded.settlement, Settlement::Hit | Settlement::Again);
    first && recorded.reason.map(Reason::outcome) == Some(Outcome::Parked)
}
