//! The spans of the ingress, by OpenTelemetry's conventions for HTTP and messaging. Nothing of a stranger's request is in them
//! but its method, as far as it is a known one.

use actix_web::http::Method;
use ledger::EventId;
use ports::{ClaimTrace, NotConfirmed, Outgoing, header};
use runtime::telemetry::{self, Publishing};
use tracing::Span;
use tracing::field::Empty;
use wire::{Event, Listed};

use crate::{Answer, Arrival};

/// The route as it is configured, for whatever source.
const ROUTE: &str = "/api/v1/billing/{source}/webhook";

/// The span of a request: a new root. A trace context from the internet is never adopted. `source` is one that is known.
pub(crate) fn request(method: &Method, source: Option<&str>) -> Span {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];
    let known = known.iter().find(|known| *known == method).map(Method::as_str);
    let span = tracing::info_span!(
        parent: None,
        "request",
        otel.name = format!("{} {ROUTE}", known.unwrap_or("HTTP")),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = known.unwrap_or("_OTHER"),
        http.route = ROUTE,
        http.response.status_code = Empty,
        url.scheme = "http",
        url.path = Empty,
        "error.type" = Empty,
        source,
        event.id = Empty,
        "event.type" = Empty,
        outcome = Empty,
        webhook.rejection.reason = Empty,
    );
    if let Some(source) = source {
        span.record("url.path", ROUTE.replace("{source}", source));
    }
    span
}

/// What may be said of a delivery once it is known to be authentic: its event, and which trace its sender says it belongs to.
pub(crate) fn authentic(span: &Span, arrival: &Arrival, events: &[Event]) -> Option<EventId> {
    let traceparent = arrival.headers.iter().find(|(name, _)| name == header::TRACEPARENT);
    if let Some(traceparent) = traceparent.and_then(|(_, value)| core::str::from_utf8(value).ok()) {
        telemetry::follow(span, traceparent);
    }
    // Of several, each is named by the spans of its own way.
    let [event] = events else { return None };
    span.record("event.id", event.key.event_id.as_str());
    span.record("event.type", event.event_type.as_str());
    Some(event.key.event_id.clone())
}

/// What the request was answered with. Only what is our fault is an error.
pub(crate) fn answered(span: &Span, answer: &Answer) {
    let status = answer.status();
    span.record("http.response.status_code", status);
    span.record("outcome", answer.outcome());
    if let Answer::Refused(problem) = answer {
        span.record("webhook.rejection.reason", problem.slug());
    }
    if status >= 500 {
        telemetry::failed(span, &status.to_string());
    }
}

/// Starts another root, which is recorded whatever the ratio, for a delivery that somebody will look for: one that was parked
/// or failed and whose own trace was not chosen.
pub(crate) fn keep(span: &Span, answer: &Answer, event_id: Option<&EventId>) {
    if worth_keeping(answer) && !telemetry::is_sampled(span) {
        let outcome = answer.outcome();
        let kept = tracing::info_span!(
            parent: None,
            "kept",
            otel.name = format!("{outcome} webhook"),
            sampling.forced = true,
            event.id = event_id.map(EventId::as_str),
            outcome,
            webhook.rejection.reason = Empty,
        );
        if let Answer::Refused(problem) = answer {
            kept.record("webhook.rejection.reason", problem.slug());
        }
        telemetry::follow_span(&kept, span);
    }
}

/// Whether somebody will look for it, although its trace was not chosen to be recorded: what was parked and what failed.
fn worth_keeping(answer: &Answer) -> bool {
    match answer {
        Answer::Parked(_) => true,
        Answer::Refused(problem) => problem.is_evidenced() || problem.status() >= 500,
        Answer::Accepted(_) | Answer::Replayed(..) => false,
    }
}

/// The trace in which an event is claimed: the current one.
pub(crate) fn claiming() -> Option<ClaimTrace> {
    telemetry::trace_id(&Span::current()).and_then(|id| ClaimTrace::parse(&id))
}

/// A duplicate: its trace links to the one in which the event was accepted or settled, as far as that is known.
pub(crate) fn seen_in(trace: Option<ClaimTrace>) {
    if let Some(trace) = trace {
        telemetry::follow_trace(&Span::current(), &trace.to_string());
    }
}

/// The span of a message's way to the broker, until it is confirmed.
pub(crate) fn publish(message: &Outgoing, listed: &Listed) -> Span {
    let publishing = Publishing {
        exchange: message.exchange.name(),
        routing_key: &message.routing_key,
        message_id: &message.message_id,
        size: message.body.len(),
    };
    let span = publishing.span(&Span::current());
    span.record("source", listed.source.as_str());
    span.record("event.id", listed.event_id.as_str());
    span.record("event.type", message.headers.value(header::EVENT_TYPE));
    span
}

/// What came of it.
pub(crate) fn published(span: &Span, published: Result<(), NotConfirmed>) {
    if let Err(not_confirmed) = published {
        telemetry::failed(span, not_confirmed.as_str());
    }
}
