//! Metrics of the alerts' way out.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::config::{LOG_ROUTE, Route};
use super::finding::Severity;

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

/// Whether a route takes findings of any check that are critical, or warnings: for rules that are to speak where none does. The
/// log is a route that nobody is woken by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    critical: &'static str,
    warning: &'static str,
}

/// Attempts, and which routes do not work.
#[derive(Debug)]
pub(super) struct Metrics {
    deliveries: Family<DeliveryLabels, Counter>,
    failing: Family<RouteLabels, Gauge>,
}

impl Metrics {
    /// Every route is there from the start: a rule cannot miss what never had a value.
    pub(super) fn register(registry: &mut Registry, routes: &[Route]) -> Self {
        let metrics = Self { deliveries: Family::default(), failing: Family::default() };
        for route in routes {
            for outcome in Outcome::ALL {
                drop(metrics.deliveries.get_or_create(&delivery(&route.name, outcome)));
            }
            drop(metrics.failing.get_or_create(&labels(route)));
        }
        registry.register(
            "auditor_alert_deliveries",
            "Attempts to deliver an alert, by route and by what became of them",
            metrics.deliveries.clone(),
        );
        registry.register(
            "auditor_alert_route_failing",
            "1 when the last attempt on a route, whichever auditor made it, did not deliver, 0 otherwise",
            metrics.failing.clone(),
        );
        metrics
    }

    pub(super) fn attempted(&self, route: &Route, outcome: Outcome) {
        self.deliveries.get_or_create(&delivery(&route.name, outcome)).inc();
        self.failing(route, outcome != Outcome::Sent);
    }

    /// What this process knows, or all auditors together: the database tells it at every run, and until the next run, or while
    /// it is away, an attempt of one's own does.
    pub(super) fn failing(&self, route: &Route, failing: bool) {
        self.failing.get_or_create(&labels(route)).set(failing.into());
    }
}

fn labels(route: &Route) -> RouteLabels {
    let takes = |severity: Severity| {
        let told = route.name != LOG_ROUTE && route.checks.is_none();
        let takes = told && route.severities.as_ref().is_none_or(|these| these.contains(&severity));
        if takes { "true" } else { "false" }
    };
    RouteLabels {
        route: route.name.clone(),
        critical: takes(Severity::Critical),
        warning: takes(Severity::Warning),
    }
}

fn delivery(route: &str, outcome: Outcome) -> DeliveryLabels {
    DeliveryLabels { route: route.to_owned(), result: outcome.as_str() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prometheus_client::encoding::text::encode;

    use super::super::config::Target;
    use super::*;

    #[test]
    fn a_route_says_whether_it_wakes_people_and_the_log_wakes_nobody() {
        let route = |name: &str, severities: Option<&[Severity]>, checks: Option<&str>| Route {
            name: name.to_owned(),
            target: Target::Log,
            severities: severities.map(|these| these.iter().copied().collect()),
            checks: checks.map(|check| BTreeSet::from([check.to_owned()])),
        };
        let routes = [
            route("on-call", Some(&[Severity::Critical]), None),
            route("team", Some(&[Severity::Warning]), None),
            route("finance", None, Some("backlog")),
            Route::log(),
        ];
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, &routes);
        metrics.attempted(&routes[0], Outcome::Retried);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "route=\"on-call\",critical=\"true\",warning=\"false\"} 1",
            "route=\"team\",critical=\"false\",warning=\"true\"} 0",
            "route=\"finance\",critical=\"false\",warning=\"false\"} 0",
            "route=\"log\",critical=\"false\",warning=\"false\"} 0",
        ] {
            assert!(text.contains(&format!("auditor_alert_route_failing{{{line}\n")), "{line} in {text}");
        }
    }
}
