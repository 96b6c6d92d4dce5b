//! The span of a message's way to the broker, by OpenTelemetry's conventions for messaging.

use tracing::Span;
use tracing::field::Empty;

/// A message that is about to be published.
#[derive(Debug, Clone, Copy)]
pub struct Publishing<'m> {
    /// Where to.
    pub exchange: &'m str,
    /// By which key.
    pub routing_key: &'m str,
    /// Its unique id.
    pub message_id: &'m str,
    /// How long its body is, bytes.
    pub size: usize,
}

impl Publishing<'_> {
    /// Its span within another one, until the broker has confirmed it. `source`, `event.id` and `event.type` may be recorded.
    pub fn span(self, within: &Span) -> Span {
        let Self { exchange, routing_key, message_id, size } = self;
        tracing::info_span!(
            parent: within.id(),
            "publish",
            otel.name = format!("publish {exchange}"),
            otel.kind = "producer",
            otel.status_code = Empty,
            messaging.system = "rabbitmq",
            "messaging.operation.type" = "send",
            messaging.operation.name = "publish",
            messaging.destination.name = format!("{exchange}:{routing_key}"),
            messaging.rabbitmq.destination.routing_key = routing_key,
            messaging.message.id = message_id,
            messaging.message.body.size = size,
            server.address = Empty,
            server.port = Empty,
            "error.type" = Empty,
            source = Empty,
            event.id = Empty,
            "event.type" = Empty,
        )
    }
}

/// What `span` is about has failed; `error_type`: one of few words.
pub fn failed(span: &Span, error_type: &str) {
    span.record("error.type", error_type);
    span.record("otel.status_code", "ERROR");
}
