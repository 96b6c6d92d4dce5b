//! The spans of the processor, by OpenTelemetry's conventions for messaging and databases.

use std::sync::Once;

use ledger::{EventKey, MovementKey, Outcome, Reason};
use ports::{
    Acted, Delivery, Exchange, Filing, NotConfirmed, Outgoing, Queue, Record, Recorded, Subject, header,
};
use runtime::telemetry::{self, Publishing};
use tracing::Span;
use tracing::field::Empty;

use crate::Outage;

/// The span of a message being processed: child of its publishing and linked to it. What was delivered before, or is being
/// released, begins a new root that is linked to it: whatever went wrong then would else stand between them as queue time.
pub(crate) fn process(delivery: &Delivery, queue: Queue) -> Span {
    if delivery.routing_key.starts_with("control.") {
        // A control total belongs to no trace.
        return Span::none();
    }
    let queue_name = queue.name();
    let exchange = Exchange::Events.name();
    let span = tracing::info_span!(
        parent: None,
        "process",
        otel.name = format!("process {queue_name}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        messaging.system = "rabbitmq",
        "messaging.operation.type" = "process",
        messaging.operation.name = "process",
        messaging.destination.name = format!("{exchange}:{}:{queue_name}", delivery.routing_key),
        messaging.rabbitmq.destination.routing_key = delivery.routing_key,
        messaging.rabbitmq.redelivered = delivery.redelivered,
        messaging.message.id = delivery.message_id,
        messaging.message.body.size = delivery.body.len(),
        "error.type" = Empty,
        source = delivery.headers.value(header::SOURCE),
        event.id = delivery.headers.value(header::EVENT_ID),
        "event.type" = delivery.headers.value(header::EVENT_TYPE),
        movement_key = Empty,
        action_id = Empty,
        outcome = Empty,
        settlement = Empty,
        reason = Empty,
    );
    if let Some(traceparent) = delivery.headers.value(header::TRACEPARENT) {
        if delivery.redelivered || queue == Queue::Dead {
            telemetry::follow(&span, traceparent);
        } else {
            telemetry::adopt(&span, traceparent);
        }
    }
    span
}

/// The span of the database transaction that records deliveries: child of the first one's, and linked to each, as each is to it.
pub(crate) fn record(deliveries: &[&Span]) -> Span {
    const SUMMARY: &str = "INSERT event transaction delivery entry";
    let span = database(deliveries.first().copied(), SUMMARY, several(deliveries));
    link(&span, deliveries);
    span
}

/// The span of a batch's acknowledgement, which the broker does not answer: in the trees as that of its database transaction is.
pub(crate) fn acknowledge(deliveries: &[Span], queue: Queue) -> Span {
    let deliveries: Vec<&Span> = deliveries.iter().filter(|span| !span.is_none()).collect();
    let Some(first) = deliveries.first() else { return Span::none() };
    let queue_name = queue.name();
    let span = tracing::info_span!(
        parent: first.id(),
        "ack",
        otel.name = format!("ack {queue_name}"),
        otel.kind = "client",
        otel.status_code = Empty,
        messaging.system = "rabbitmq",
        "messaging.operation.type" = "settle",
        messaging.operation.name = "ack",
        messaging.destination.name = queue_name,
        messaging.batch.message_count = several(&deliveries),
        "error.type" = Empty,
    );
    link(&span, &deliveries);
    span
}

/// Whether it went out.
pub(crate) fn acknowledged(span: &Span, sent: bool) {
    if !sent {
        telemetry::failed(span, "lost");
    }
}

fn several(deliveries: &[&Span]) -> Option<usize> {
    Some(deliveries.len()).filter(|size| *size > 1)
}

/// Links what was done for deliveries to each, and each to it that is not its parent.
fn link(span: &Span, deliveries: &[&Span]) {
    for delivery in deliveries {
        telemetry::follow_span(span, delivery);
    }
    for delivery in deliveries.iter().skip(1) {
        telemetry::follow_span(delivery, span);
    }
}

/// The span of the database transaction that carries an action out.
pub(crate) fn act(message: &Span) -> Span {
    database(Some(message), "INSERT operator_effect event_status transaction entry", None)
}

fn database(parent: Option<&Span>, summary: &'static str, batch: Option<usize>) -> Span {
    tracing::info_span!(
        parent: parent.and_then(Span::id),
        "database",
        otel.name = summary,
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = "postgresql",
        db.namespace = Empty,
        db.query.summary = summary,
        db.operation.batch.size = batch,
        db.response.status_code = Empty,
        server.address = Empty,
        server.port = Empty,
    )
}

/// What became of a delivery.
pub(crate) fn recorded(span: &Span, record: &Record, recorded: &Recorded) {
    if let Some(EventKey { source, event_id, .. }) = key(record) {
        span.record("source", source.as_str());
        span.record("event.id", event_id.as_str());
    }
    became(span, recorded.outcome.as_str(), recorded.reason, &recorded.movements);
    span.record("settlement", format!("{:?}", recorded.settlement));
    if recorded.outcome == Outcome::Parked {
        let event_id = key(record).map(|key| key.event_id.as_str());
        keep(span, recorded.outcome.as_str(), event_id, recorded.reason);
    }
}

/// What became of an action.
pub(crate) fn acted(span: &Span, action_id: i64, acted: Option<&Acted>) {
    span.record("action_id", action_id);
    let Some(Acted { event, status, reason, movements, trace_id }) = acted else { return };
    if let Some(event) = event {
        span.record("source", event.key.source.as_str());
        span.record("event.id", event.key.event_id.as_str());
        span.record("event.type", event.event_type.as_str());
    }
    became(span, status.as_str(), *reason, movements);
    if let Some(trace_id) = trace_id {
        telemetry::follow_trace(span, trace_id.as_str());
    }
}

/// The books are away, and the message will be delivered again.
pub(crate) fn failed(span: &Span, outage: &Outage) {
    let why = match outage {
        Outage::Away(_) => "books away",
        Outage::Stopping => "stopping",
        Outage::Unusable(_) => "books unusable",
    };
    telemetry::failed(span, why);
}

fn became(span: &Span, outcome: &str, reason: Option<Reason>, movements: &[MovementKey]) {
    span.record("outcome", outcome);
    span.record("reason", reason.map(Reason::as_str));
    if !movements.is_empty() {
        let keys: Vec<String> = movements.iter().map(ToString::to_string).collect();
        span.record("movement_key", keys.join(" "));
    }
}

/// Bringing messages into the books has failed: their traces are kept, once for however many attempts.
pub(crate) fn failing<'a>(
    messages: impl Iterator<Item = (&'a Span, &'a Delivery)> + Clone + Send + Sync,
) -> impl Fn() + Send + Sync {
    let once = Once::new();
    move || {
        once.call_once(|| {
            for (span, delivery) in messages.clone() {
                keep(span, "failed", delivery.headers.value(header::EVENT_ID), None);
            }
        });
    }
}

/// Starts another root, which is recorded whatever the ratio, for what somebody will look for and whose own trace was not
/// chosen.
fn keep(span: &Span, outcome: &str, event_id: Option<&str>, reason: Option<Reason>) {
    if !telemetry::is_sampled(span) {
        let kept = tracing::info_span!(
            parent: None,
            "kept",
            otel.name = format!("{outcome} event"),
            sampling.forced = true,
            event.id = event_id,
            outcome,
            reason = reason.map(Reason::as_str),
        );
        telemetry::follow_span(&kept, span);
    }
}

fn key(record: &Record) -> Option<&EventKey> {
    match &record.filing {
        Filing::Event(filed) => Some(&filed.event.key),
        Filing::Evidence { subject: Subject::Event(key), .. } => Some(key),
        Filing::Evidence { subject: Subject::Source(_) | Subject::Unknown, .. } => None,
    }
}

/// The span of an announcement within the span of its message, and the announcement with it.
pub(crate) fn announce(within: &Span, mut message: Outgoing) -> (Span, Outgoing) {
    let publishing = Publishing {
        exchange: message.exchange.name(),
        routing_key: &message.routing_key,
        message_id: &message.message_id,
        size: message.body.len(),
    };
    let span = publishing.span(within);
    if let Some(traceparent) = telemetry::traceparent(&span) {
        message.headers = message.headers.with(header::TRACEPARENT, traceparent);
    }
    (span, message)
}

/// What came of it.
pub(crate) fn announced(span: &Span, published: Result<(), NotConfirmed>) {
    if let Err(not_confirmed) = published {
        telemetry::failed(span, not_confirmed.as_str());
    }
}
