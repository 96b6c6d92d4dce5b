//! The messages that the ingress sends, and what is written on their outside.

use ledger::UnixMillis;
use ports::{Exchange, Headers, Outgoing, header};
use tracing::Span;
use wire::{AcceptedEvent, BusMessage, ControlTotal, Event, Evidence, InstanceId, Origin, RefusedDelivery};

/// An event that was accepted.
pub(crate) fn accepted(accepted: AcceptedEvent, sent_at: UnixMillis) -> Outgoing {
    let AcceptedEvent { origin, event } = &accepted;
    let (source, event_type) = (&event.key.source, &event.event_type);
    let routing_key = format!("accepted.{source}.{event_type}");
    let headers = of_event(numbered(origin, source.as_str()), event);
    outgoing(routing_key, id(origin), headers, sent_at, &BusMessage::Accepted(accepted))
}

/// The evidence of what was refused.
pub(crate) fn refused(refused: RefusedDelivery, sent_at: UnixMillis) -> Outgoing {
    let RefusedDelivery { origin, source, reason, evidence } = &refused;
    let routing_key = format!("refused.{source}.{reason}");
    let headers = numbered(origin, source.as_str());
    let headers = match evidence {
        Evidence::Event(event) => of_event(headers, event),
        Evidence::Body { .. } => headers,
    };
    outgoing(routing_key, id(origin), headers, sent_at, &BusMessage::Refused(refused))
}

/// A control total. It belongs to no trace.
pub(crate) fn control(total: ControlTotal) -> Outgoing {
    let (instance, sent_at) = (total.instance, total.closed_at);
    let message_id = format!("{instance}:window:{}", total.window);
    outgoing(format!("control.{instance}"), message_id, of(instance), sent_at, &BusMessage::Control(total))
}

fn outgoing(
    routing_key: String,
    message_id: String,
    headers: Headers,
    sent_at: UnixMillis,
    message: &BusMessage,
) -> Outgoing {
    let (kind, body) = (message.kind(), message.encode());
    Outgoing { exchange: Exchange::Events, routing_key, message_id, kind, sent_at, headers, body }
}

fn id(origin: &Origin) -> String {
    format!("{}:{}", origin.instance, origin.sequence)
}

fn of(instance: InstanceId) -> Headers {
    Headers::default()
        .with(header::FORMAT, wire::FORMAT_VERSION.to_string())
        .with(header::INSTANCE, instance.to_string())
}

fn numbered(origin: &Origin, source: &str) -> Headers {
    of(origin.instance).with(header::SEQUENCE, origin.sequence.to_string()).with(header::SOURCE, source)
}

/// The trace goes along: its id stands on whatever is booked from it.
pub(crate) fn traced(mut message: Outgoing, publishing: &Span) -> Outgoing {
    if let Some(traceparent) = runtime::telemetry::traceparent(publishing) {
        message.headers = message.headers.with(header::TRACEPARENT, traceparent);
    }
    message
}

fn of_event(headers: Headers, event: &Event) -> Headers {
    headers
        .with(header::ACCOUNT, event.key.account.as_str())
        .with(header::LIVEMODE, event.key.livemode.as_str())
        .with(header::EVENT_ID, event.key.event_id.as_str())
        .with(header::EVENT_TYPE, event.event_type.as_str())
}
