//! Metrics of the alerts' way out.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Sent,
    Retried,
    Failed,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Sent, Self::Retried, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Retried => "retried",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    route: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

/// Attempts, and which routes do not work.
#[derive(Debug)]
pub(super) struct Metrics {
    deliveries: Family<DeliveryLabels, Counter>,
    failing: Family<RouteLabels, Gauge>,
}

impl Metrics {
    /// Every route is there from the start: a rule cannot miss what never had a value.
    pub(super) fn register<'r>(registry: &mut Registry, routes: impl Iterator<Item = &'r str>) -> Self {
        let metrics = Self { deliveries: Family::default(), failing: Family::default() };
        for route in routes {
            for outcome in Outcome::ALL {
                drop(metrics.deliveries.get_or_create(&delivery(route, outcome)));
            }
            drop(metrics.failing.get_or_create(&RouteLabels { route: route.to_owned() }));
        }
        registry.register(
            "auditor_alert_deliveries",
            "Attempts to deliver an alert, by route and by what became of them",
            metrics.deliveries.clone(),
        );
        registry.register(
            "auditor_alert_route_failing",
            "1 when the last attempt on a route did not deliver, 0 otherwise",
            metrics.failing.clone(),
        );
        metrics
    }

    pub(super) fn attempted(&self, route: &str, outcome: Outcome) {
        self.deliveries.get_or_create(&delivery(route, outcome)).inc();
        let failing = self.failing.get_or_create(&RouteLabels { route: route.to_owned() });
        failing.set((outcome != Outcome::Sent).into());
    }
}

fn delivery(route: &str, outcome: Outcome) -> DeliveryLabels {
    DeliveryLabels { route: route.to_owned(), result: outcome.as_str() }
}
