//! Metrics of the auditor.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use audit::{Head, Kind, Livemode, Report, Verdict};
use audit_postgres::Standstill;
use handle::Handle;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
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
    undecided: Family<UndecidedLabels, Gauge>,
    undecided_age: Gauge,
    unbooked: Gauge,
    unbooked_age: Gauge,
    heard_age: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
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

const FAILED: &str = "failed";

/// The `source` label of a message that names none.
const NO_SOURCE: &str = "other";

const fn word(livemode: Livemode) -> &'static str {
    if livemode.is_live() { "true" } else { "false" }
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
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
            undecided: Family::default(),
            undecided_age: Gauge::default(),
            unbooked: Gauge::default(),
            unbooked_age: Gauge::default(),
            heard_age: Gauge::default(),
        };
        for verdict in [Verdict::Balanced.as_str(), Verdict::Imbalanced.as_str(), FAILED] {
            drop(metrics.runs.get_or_create(&RunLabels { verdict }));
        }
        registry.register(
            "ledger_balance_check_status",
            "1 when the books of a livemode balance, 0 when they do not",
            metrics.balanced.clone(),
        );
        registry.register(
            "ledger_imbalance_amount",
            "Absolute difference of debits and credits, minor units",
            metrics.imbalance.clone(),
        );
        registry.register(
            "auditor_findings_open",
            "Findings of the last run that came to a verdict",
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
        metrics.register_waiting(registry);
        metrics
    }

    fn register_waiting(&self, registry: &mut Registry) {
        registry.register(
            "ledger_undecided",
            "Parked events and messages that wait for a person, by source and reason",
            self.undecided.clone(),
        );
        registry.register(
            "ledger_oldest_undecided_age_seconds",
            "How long the oldest of them has waited; 0 of none",
            self.undecided_age.clone(),
        );
        registry.register(
            "ledger_unbooked",
            "Messages confirmed to an ingress that its control totals tell of and the books do not have, in the last 35 minutes",
            self.unbooked.clone(),
        );
        registry.register(
            "ledger_oldest_unbooked_age_seconds",
            "Since when the oldest of them has been told of; 0 of none",
            self.unbooked_age.clone(),
        );
        registry.register(
            "ledger_ingress_heard_age_seconds",
            "How long ago an ingress was last heard of through bus and books; 0 where none runs",
            self.heard_age.clone(),
        );
    }

    /// What waits now.
    pub(crate) fn waiting(&self, found: &Standstill) {
        self.undecided.clear();
        for row in &found.undecided {
            let source = row.source.clone().unwrap_or_else(|| NO_SOURCE.to_owned());
            let labels = UndecidedLabels { source, reason: row.reason.clone() };
            self.undecided.get_or_create(&labels).inc_by(i64::try_from(row.count).unwrap_or(i64::MAX));
        }
        self.undecided_age.set(found.undecided.iter().map(|row| row.age_s).max().unwrap_or(0));
        self.unbooked.set(i64::try_from(found.unbooked).unwrap_or(i64::MAX));
        self.unbooked_age.set(found.unbooked_age_s);
        self.heard_age.set(found.heard_age_s.unwrap_or(0));
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
