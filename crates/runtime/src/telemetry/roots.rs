//! Roots of traces: their ids, and which of them are recorded whatever the ratio.

use std::cell::Cell;

use opentelemetry::trace::{Link, SpanId, SpanKind, TraceId};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{
    Config, IdGenerator, RandomIdGenerator, SamplingDecision, SamplingResult, ShouldSample,
};

/// A span that starts with this attribute, true, is recorded whatever the sampler says.
const FORCED: &str = "sampling.forced";

/// Random ids, where a trace's second half is the id of its root. The books keep the ids of traces and not of spans; so they
/// can name the span that everything began with.
#[derive(Debug, Default)]
pub(super) struct Ids(RandomIdGenerator);

thread_local! {
    static LAST_SPAN: Cell<SpanId> = const { Cell::new(SpanId::INVALID) };
}

impl IdGenerator for Ids {
    fn new_span_id(&self) -> SpanId {
        let span_id = self.0.new_span_id();
        LAST_SPAN.set(span_id);
        span_id
    }

    /// The SDK asks for it after the root's own id.
    fn new_trace_id(&self) -> TraceId {
        let random = u128::from_be_bytes(self.0.new_trace_id().to_bytes());
        let root = u128::from(u64::from_be_bytes(LAST_SPAN.get().to_bytes()));
        TraceId::from_bytes(((random & (u128::MAX << 64)) | root).to_be_bytes())
    }
}

/// The id of a trace's root.
pub(super) fn root_of(trace_id: TraceId) -> SpanId {
    SpanId::from_bytes(trace_id.to_bytes().last_chunk().copied().unwrap_or_default())
}

/// The sampler of `OTEL_TRACES_SAMPLER` (everything, and as the parent), except that what is forced is recorded.
#[derive(Debug, Clone)]
pub(super) struct Sampler(Box<dyn ShouldSample>);

impl Sampler {
    pub(super) fn of_environment() -> Self {
        Self(Config::default().sampler)
    }
}

impl ShouldSample for Sampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let sampled = self.0.should_sample(parent, trace_id, name, kind, attributes, links);
        let forced =
            attributes.iter().any(|each| each.key.as_str() == FORCED && each.value == Value::Bool(true));
        let decision = if forced { SamplingDecision::RecordAndSample } else { sampled.decision };
        SamplingResult { decision, ..sampled }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Span as _, TraceContextExt as _, Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::{Sampler as OfSdk, SdkTracerProvider};

    use super::*;

    #[test]
    fn the_second_half_of_a_trace_id_is_the_id_of_its_root() {
        let provider = SdkTracerProvider::builder().with_id_generator(Ids::default()).build();
        let tracer = provider.tracer("test");
        let root = tracer.start("root");
        let context = root.span_context().clone();
        assert!(context.is_valid());
        assert_eq!(root_of(context.trace_id()), context.span_id());
        let child = tracer.start_with_context("child", &Context::new().with_span(root));
        assert_eq!(child.span_context().trace_id(), context.trace_id());
        assert_ne!(child.span_context().span_id(), context.span_id());
        assert_ne!(tracer.start("another").span_context().trace_id(), context.trace_id());
    }

    #[test]
    fn what_is_forced_is_recorded_whatever_the_ratio() {
        let sampler = Sampler(Box::new(OfSdk::TraceIdRatioBased(0.0)));
        let decision = |attributes: &[KeyValue]| {
            let trace_id = TraceId::from_bytes([7; 16]);
            sampler.should_sample(None, trace_id, "name", &SpanKind::Server, attributes, &[]).decision
        };
        assert_eq!(decision(&[]), SamplingDecision::Drop);
        assert_eq!(decision(&[KeyValue::new(FORCED, false)]), SamplingDecision::Drop);
        assert_eq!(decision(&[KeyValue::new(FORCED, true)]), SamplingDecision::RecordAndSample);
    }
}
