//! What becomes of authentic events, by type, and of what is published.

use core::time::Duration;

use ledger::Source;
use ports::NotConfirmed;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::{Answer, SourceGate};

/// What event types begin with, to the first dot. Providers have more; those are [`NO_FAMILY`].
const FAMILIES: [&str; 23] = [
    "account",
    "application_fee",
    "balance",
    "charge",
    "checkout",
    "credit_note",
    "customer",
    "invoice",
    "invoice_payment",
    "invoiceitem",
    "message",
    "payment_intent",
    "payment_method",
    "payout",
    "pre_checkout_query",
    "price",
    "product",
    "radar",
    "refund",
    "setup_intent",
    "subscription_schedule",
    "topup",
    "transfer",
];

/// The `type` label of whatever is in no family above.
const NO_FAMILY: &str = "other";

const OUTCOMES: [&str; 4] = ["accepted", "replayed", "parked", "refused"];

const CONFIRMED: &str = "confirmed";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Event {
    source: String,
    r#type: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Published {
    outcome: &'static str,
}

#[derive(Debug)]
pub(super) struct Flow {
    events: Family<Event, Counter>,
    confirms: Histogram,
    published: Family<Published, Counter>,
}

impl Flow {
    pub(super) fn register(registry: &mut Registry, sources: &[SourceGate]) -> Self {
        let flow = Self {
            events: Family::default(),
            confirms: Histogram::new([
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0,
            ]),
            published: Family::default(),
        };
        for source in sources {
            for family in FAMILIES.into_iter().chain([NO_FAMILY]) {
                for outcome in OUTCOMES {
                    let source = source.source.to_string();
                    drop(flow.events.get_or_create(&Event { source, r#type: family, outcome }));
                }
            }
        }
        for outcome in NotConfirmed::ALL.map(NotConfirmed::as_str).into_iter().chain([CONFIRMED]) {
            drop(flow.published.get_or_create(&Published { outcome }));
        }
        registry.register(
            "webhook_events",
            "Events of authentic deliveries, by the family of their type and what became of them",
            flow.events.clone(),
        );
        registry.register(
            "publish_confirm_seconds",
            "How long the broker took to confirm an event or the evidence of a refusal",
            flow.confirms.clone(),
        );
        registry.register(
            "publish_outcomes",
            "Events and evidence handed to the broker, by how that ended",
            flow.published.clone(),
        );
        flow
    }

    pub(super) fn event(&self, source: &Source, event_type: &str, answer: &Answer) {
        let family = event_type.split('.').next().unwrap_or_default();
        let labels = Event {
            source: source.to_string(),
            r#type: FAMILIES.into_iter().find(|known| *known == family).unwrap_or(NO_FAMILY),
            outcome: answer.outcome(),
        };
        self.events.get_or_create(&labels).inc();
    }

    pub(super) fn published(&self, ended: Result<(), NotConfirmed>, took: Duration) {
        let outcome = match ended {
            Ok(()) => {
                self.confirms.observe(took.as_secs_f64());
                CONFIRMED
            }
            Err(unconfirmed) => unconfirmed.as_str(),
        };
        self.published.get_or_create(&Published { outcome }).inc();
    }
}
