//! What a span is called by others, and what it says of others: W3C trace context.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::roots::root_of;

fn of(span: &Span) -> Option<SpanContext> {
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then_some(context)
}

/// The W3C `traceparent` of a span, to send beside a message; `None` where there is no span.
pub fn traceparent(span: &Span) -> Option<String> {
    let context = of(span)?;
    let flags = context.trace_flags().to_u8();
    Some(format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()))
}

/// The W3C trace id of a span.
pub fn trace_id(span: &Span) -> Option<String> {
    of(span).map(|context| context.trace_id().to_string())
}

/// Whether a span is recorded, and not only named.
pub fn is_sampled(span: &Span) -> bool {
    of(span).is_some_and(|context| context.is_sampled())
}

/// Makes the span that `traceparent` names the parent of `span`, and links to it too. Before `span` is entered or asked for
/// its ids, and only with what a process of ours has said: whoever names the parent decides about sampling.
pub fn adopt(span: &Span, traceparent: &str) {
    if let Some(context) = parse(traceparent) {
        if let Err(error) = span.set_parent(Context::new().with_remote_span_context(context.clone())) {
            tracing::debug!(%error, "A span was started before its parent was named");
        }
        span.add_link(context);
    }
}

/// Links `span` to the one that `traceparent` names.
pub fn follow(span: &Span, traceparent: &str) {
    if let Some(context) = parse(traceparent) {
        span.add_link(context);
    }
}

/// Links `span` to another one.
pub fn follow_span(span: &Span, other: &Span) {
    if let Some(context) = of(other) {
        span.add_link(context);
    }
}

/// Links `span` to the root of a trace of ours, by its id.
pub fn follow_trace(span: &Span, trace_id: &str) {
    if let Ok(trace_id) = TraceId::from_hex(trace_id) {
        let flags = TraceFlags::default();
        let root = SpanContext::new(trace_id, root_of(trace_id), flags, true, TraceState::default());
        if root.is_valid() {
            span.add_link(root);
        }
    }
}

/// Version 00, which later versions begin like: `00-<trace id>-<span id>-<flags>`.
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let shaped = is_hex(version, 2) && is_hex(trace_id, 32) && is_hex(span_id, 16) && is_hex(flags, 2);
    if !shaped || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace_id, span_id) = (TraceId::from_hex(trace_id).ok()?, SpanId::from_hex(span_id).ok()?);
    let context = SpanContext::new(trace_id, span_id, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_traceparent_names_a_span_and_whether_it_is_recorded() {
        let context = parse(&format!("00-{TRACE}-00f067aa0ba902b7-01")).unwrap();
        assert_eq!((context.trace_id().to_string().as_str(), context.is_sampled()), (TRACE, true));
        assert!(context.is_remote());
        assert!(!parse(&format!("00-{TRACE}-00f067aa0ba902b7-02")).unwrap().is_sampled());
        assert!(parse(&format!("01-{TRACE}-00f067aa0ba902b7-01-more")).is_some());
    }

    #[test]
    fn what_is_no_traceparent_names_nothing() {
        for bad in [
            String::new(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b-01"),
            format!("00-+{}-00f067aa0ba902b7-01", TRACE.split_at(1).1),
        ] {
            assert!(parse(&bad).is_none(), "{bad}");
        }
    }
}
