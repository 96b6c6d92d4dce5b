//! Rate, errors and duration of requests, under the names of OpenTelemetry's conventions.

use core::sync::atomic::AtomicI64;
use core::time::Duration;
use std::collections::BTreeSet;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::Problem;

/// The route of webhooks, as labels name it.
pub(crate) const WEBHOOK_ROUTE: &str = "/api/v1/billing/{source}/webhook";

/// Of a request that is at no route.
const NO_ROUTE: &str = "other";

/// The conventions' word for a method that they do not know.
const NO_METHOD: &str = "_OTHER";

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
#[expect(clippy::struct_field_names, reason = "the conventions' names")]
struct Answered {
    http_request_method: &'static str,
    http_route: &'static str,
    http_response_status_code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    http_request_method: &'static str,
}

/// What is measured of every request.
#[derive(Debug)]
pub(crate) struct Http {
    durations: Family<Answered, Histogram, fn() -> Histogram>,
    active: Family<Asked, Gauge>,
}

/// A request under way: one less when it ends, however it does.
#[derive(Debug)]
pub(crate) struct Active(Gauge<i64, AtomicI64>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn durations() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0])
}

impl Http {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let http = Self { durations: Family::new_with_constructor(durations), active: Family::default() };
        let statuses: BTreeSet<u16> = Problem::ALL.map(Problem::status).into_iter().chain([200]).collect();
        for http_response_status_code in statuses {
            let labels = Answered {
                http_request_method: "POST",
                http_route: WEBHOOK_ROUTE,
                http_response_status_code,
            };
            drop(http.durations.get_or_create(&labels));
        }
        drop(http.active.get_or_create(&Asked { http_request_method: "POST" }));
        registry.register(
            "http_server_request_duration_seconds",
            "From the head of a request to the head of its answer",
            http.durations.clone(),
        );
        registry.register("http_server_active_requests", "Requests under way", http.active.clone());
        http
    }

    /// A request begins.
    pub(crate) fn begun(&self, method: &str) -> Active {
        let gauge = self.active.get_or_create_owned(&Asked { http_request_method: known(method) });
        gauge.inc();
        Active(gauge)
    }

    /// A request is answered; `route` is the pattern that it matched.
    pub(crate) fn answered(&self, method: &str, route: Option<&str>, status: u16, took: Duration) {
        let labels = Answered {
            http_request_method: known(method),
            http_route: if route == Some(WEBHOOK_ROUTE) { WEBHOOK_ROUTE } else { NO_ROUTE },
            http_response_status_code: status,
        };
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

fn known(method: &str) -> &'static str {
    METHODS.into_iter().find(|known| *known == method).unwrap_or(NO_METHOD)
}
