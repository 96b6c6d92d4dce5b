//! Metrics of the auditor.

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use audit::{Head, Kind, Livemode, Report, Verdict};
use audit_postgres::Standstill;
use handle::Handle;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

/// What the last run said. Before the first run nothing is said about the books: no value is better than a wrong one.
#[derive(Debug)]
pub struct Metrics {
    balanced: Family<LivemodeLabels, Gauge>,
    imbalance: Family<BookLabels, Gauge>,
    /// Every book that ever had a value, so that it returns to zero when it heals or disappears.
    books: Mutex<BTreeSet<BookLabels>>,
    findings: Family<CheckLabels, Gauge>,
    runs: Family<RunLabels, Counter>,
    last_success: Gauge,
    last_full: Gauge,
    height: Gauge,
    head: Family<HeadLabels, Gauge>,
    waiting: Arc<Waiting>,
}

/// What waits, as of the last look and when that was, by the monotonic clock.
struct Waiting {
    handle: Handle,
    looked: Mutex<Option<(Duration, Standstill)>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct UndecidedLabels {
    source: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LivemodeLabels {
    livemode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct BookLabels {
    currency: String,
    livemode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    check: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HeadLabels {
    digest: String,
}

/// A look at what waits is worth nothing after this time, as a verdict is for the rule `AuditorStale`.
const LOOK_MAX: Duration = Duration::from_mins(10);

const FAILED: &str = "failed";

/// The `source` label of a message that names none.
const NO_SOURCE: &str = "other";

const fn word(livemode: Livemode) -> &'static str {
    if livemode.is_live() { "true" } else { "false" }
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry, handle: Handle) -> Self {
        let metrics = Self {
            balanced: Family::default(),
            imbalance: Family::default(),
            books: Mutex::default(),
            findings: Family::default(),
            runs: Family::default(),
            last_success: Gauge::default(),
            last_full: Gauge::default(),
            height: Gauge::default(),
            head: Family::default(),
            waiting: Arc::new(Waiting { handle, looked: Mutex::default() }),
        };
        for verdict in [Verdict::Balanced.as_str(), Verdict::Imbalanced.as_str(), FAILED] {
            drop(metrics.runs.get_or_create(&RunLabels { verdict }));
        }
        registry.register(
            "ledger_balance_check_status",
            "1 when the books of a livemode balanced at auditor_last_success_timestamp_seconds, 0 when they did not",
            metrics.balanced.clone(),
        );
        registry.register(
            "ledger_imbalance_amount",
            "Absolute difference of debits and credits, minor units",
            metrics.imbalance.clone(),
        );
        registry.register(
            "auditor_findings_open",
            "Findings of the last run that came to a verdict, at auditor_last_success_timestamp_seconds",
            metrics.findings.clone(),
        );
        registry.register("auditor_runs", "Runs, by what they ended with", metrics.runs.clone());
        registry.register(
            "auditor_last_success_timestamp_seconds",
            "When a run last came to a verdict, whichever; 0 before the first",
            metrics.last_success.clone(),
        );
        registry.register(
            "auditor_last_full_timestamp_seconds",
            "When a full run last came to a verdict; 0 before the first",
            metrics.last_full.clone(),
        );
        registry.register(
            "auditor_checkpoint_height",
            "The height of the chain's head",
            metrics.height.clone(),
        );
        registry.register(
            "auditor_checkpoint_head",
            "The digest of the chain's head; the value is its height",
            metrics.head.clone(),
        );
        registry.register_collector(Box::new(WaitingGauges(Arc::clone(&metrics.waiting))));
        metrics
    }

    /// What waits now; `None` when that could not be read.
    pub(crate) fn waiting(&self, found: Option<Standstill>) {
        let looked = found.map(|found| (self.waiting.handle.monotonic(), found));
        *self.waiting.looked.lock().unwrap_or_else(PoisonError::into_inner) = looked;
    }

    /// A run came to a verdict.
    pub(crate) fn concluded(&self, report: &Report, handle: &Handle) {
        for livemode in Livemode::ALL {
            let balanced = report.verdict_of(livemode) == Verdict::Balanced;
            self.balanced.get_or_create(&LivemodeLabels { livemode: word(livemode) }).set(balanced.into());
        }
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let mut healed = books.clone();
        for book in &report.verdicts {
            let labels =
                BookLabels { currency: book.currency.as_str().to_owned(), livemode: word(book.livemode) };
            let amount = i64::try_from(book.difference_minor.unsigned_abs()).unwrap_or(i64::MAX);
            self.imbalance.get_or_create(&labels).set(amount);
            healed.remove(&labels);
            books.insert(labels);
        }
        for labels in healed {
            self.imbalance.get_or_create(&labels).set(0);
        }
        for check in &report.checks {
            let open = i64::try_from(check.findings).unwrap_or(i64::MAX);
            self.findings.get_or_create(&CheckLabels { check: check.check.as_str() }).set(open);
        }
        self.runs.get_or_create(&RunLabels { verdict: report.verdict.as_str() }).inc();
        self.last_success.set(handle.now().seconds());
        if report.run.kind == Kind::Full {
            self.last_full.set(handle.now().seconds());
        }
    }

    /// The chain has this head.
    pub(crate) fn head(&self, head: Head) {
        self.height.set(head.height.0);
        self.head.clear();
        self.head.get_or_create(&HeadLabels { digest: head.digest.to_string() }).set(head.height.0);
    }

    /// A run failed: what the last one said stands, and grows old.
    pub(crate) fn failed(&self) {
        self.runs.get_or_create(&RunLabels { verdict: FAILED }).inc();
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting")
    }
}

/// The gauges of what waits. They are absent while nobody knows: the last value would be taken for today's.
#[derive(Debug)]
struct WaitingGauges(Arc<Waiting>);

impl Collector for WaitingGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = self.0.handle.monotonic();
        let looked = self.0.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = looked.as_ref().filter(|(at, _)| now.saturating_sub(*at) < LOOK_MAX);
        let Some((_, found)) = recent else { return Ok(()) };
        let mut undecided: BTreeMap<UndecidedLabels, u64> = BTreeMap::new();
        for row in &found.undecided {
            let source = row.source.clone().unwrap_or_else(|| NO_SOURCE.to_owned());
            let count = undecided.entry(UndecidedLabels { source, reason: row.reason.clone() }).or_default();
            *count = count.saturating_add(row.count);
        }
        let (name, help) = (
            "ledger_undecided",
            "Parked events and messages that wait for a person, by source and reason; absent while the books cannot be read",
        );
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, count) in undecided {
            ConstGauge::new(whole(count)).encode(family.encode_family(&labels)?)?;
        }
        let gauges = [
            (
                "ledger_oldest_undecided_age_seconds",
                "How long the oldest of them has waited; 0 of none, absent while the books cannot be read",
                found.undecided.iter().map(|row| row.age_s).max().unwrap_or(0),
            ),
            (
                "ledger_unbooked",
                "Messages confirmed to an ingress that its control totals tell of and the books do not have, in the last 35 minutes; absent while the books cannot be read",
                whole(found.unbooked),
            ),
            (
                "ledger_oldest_unbooked_age_seconds",
                "Since when the oldest of them has been told of; 0 of none, absent while the books cannot be read",
                found.unbooked_age_s,
            ),
            (
                "ledger_ingress_heard_age_seconds",
                "How long ago an ingress was last heard of through bus and books; 0 where none runs, absent while the books cannot be read",
                found.heard_age_s.unwrap_or(0),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use audit_postgres::Undecided;
    use prometheus_client::encoding::text::encode;
    use testkit::simulation::Simulation;

    use super::*;

    #[test]
    fn a_look_that_is_too_old_says_nothing_any_more() {
        let simulation = Simulation::new(0);
        let handle = simulation.handle();
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, handle.clone());
        let told = |line: &str| {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text.lines().any(|each| each == line)
        };
        let row = |age_s| Undecided { source: None, reason: "unknown".to_owned(), count: 2, age_s };
        let found =
            Standstill { undecided: vec![row(7), row(9)], unbooked: 0, unbooked_age_s: 0, heard_age_s: None };
        metrics.waiting(Some(found));
        simulation.run(async {
            handle.sleep(Duration::from_secs(599)).await;
            assert!(told("ledger_undecided{source=\"other\",reason=\"unknown\"} 4"));
            assert!(told("ledger_oldest_undecided_age_seconds 9") && told("ledger_unbooked 0"));
            handle.sleep(Duration::from_secs(1)).await;
            assert!(!told("ledger_oldest_undecided_age_seconds 9") && !told("ledger_unbooked 0"));
        });
    }
}
