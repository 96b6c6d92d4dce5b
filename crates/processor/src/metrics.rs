//! Metrics of the processor.

use ports::{Recorded, Settlement};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The processor's metrics.
#[derive(Debug)]
pub struct Metrics {
    recorded: Family<Labels, Counter>,
    accepted_to_recorded: Histogram,
    untold: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
    settlement: &'static str,
}

const fn word(settlement: Settlement) -> &'static str {
    match settlement {
        Settlement::New => "new",
        Settlement::Hit => "hit",
        Settlement::Again => "again",
        Settlement::Reused => "reused",
        Settlement::Evidence => "evidence",
    }
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            recorded: Family::default(),
            accepted_to_recorded: Histogram::new([
                0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0,
            ]),
            untold: Counter::default(),
        };
        for outcome in ledger::Outcome::ALL {
            let labels = Labels { outcome: outcome.as_str(), settlement: word(Settlement::New) };
            drop(metrics.recorded.get_or_create(&labels));
        }
        registry.register("messages_recorded", "Messages committed to Postgres", metrics.recorded.clone());
        registry.register(
            "accepted_to_recorded_seconds",
            "From the receipt of a webhook to the COMMIT that holds it",
            metrics.accepted_to_recorded.clone(),
        );
        registry.register(
            "results_untold",
            "Results that the cache could not be told",
            metrics.untold.clone(),
        );
        metrics
    }

    /// Counts a message that is committed, `age_ms` after its webhook was received.
    pub(crate) fn recorded(&self, recorded: &Recorded, age_ms: i64) {
        let labels = Labels { outcome: recorded.outcome.as_str(), settlement: word(recorded.settlement) };
        self.recorded.get_or_create(&labels).inc();
        #[expect(
            clippy::as_conversions,
            clippy::cast_precision_loss,
            clippy::float_arithmetic,
            reason = "an age"
        )]
        self.accepted_to_recorded.observe(age_ms.max(0) as f64 / 1000.0);
    }

    /// Counts results that the cache was not told.
    pub(crate) fn untold(&self, results: usize) {
        self.untold.inc_by(u64::try_from(results).unwrap_or(u64::MAX));
    }
}
