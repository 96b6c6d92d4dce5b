//! Logs and traces.

use std::io::IsTerminal as _;

use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// What is logged when `RUST_LOG` is not set. What lapin calls an error the adapter handles, and logs once.
const DEFAULT_FILTER: &str = "info,lapin=off,actix_server=warn,actix_http=off";

/// What becomes a span of a trace, however few lines `RUST_LOG` wants: the books keep every event's trace id.
const TRACES: &str = "info,lapin=off,actix_server=off,actix_http=off";

/// Never logged, whatever `RUST_LOG` says: lapin would show every returned message with its payload.
const NEVER: &str = "lapin::returned_messages=off";

/// Keeps telemetry alive; dropping it flushes what is left.
#[derive(Debug)]
pub struct Guard(SdkTracerProvider);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::debug!(%error, "Telemetry did not shut down in order");
        }
    }
}

/// Starts logs on standard error (JSON unless it is a terminal) and trace ids for every span.
pub fn start(service: &'static str) -> Guard {
    let provider = SdkTracerProvider::builder().build();
    let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer(service));
    let filter = || {
        let chosen = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
        NEVER.parse().into_iter().fold(chosen, EnvFilter::add_directive)
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = if std::io::stderr().is_terminal() {
        lines.with_filter(filter()).boxed()
    } else {
        lines.json().flatten_event(true).with_span_list(false).with_filter(filter()).boxed()
    };
    let registry =
        tracing_subscriber::registry().with(lines).with(traces.with_filter(EnvFilter::new(TRACES)));
    if registry.try_init().is_err() {
        tracing::debug!("telemetry was started before");
    }
    Guard(provider)
}

/// The W3C `traceparent` of a span, to send beside a message; `None` where spans are not recorded.
pub fn traceparent(span: &tracing::Span) -> Option<String> {
    let context = span.context();
    let context = context.span().span_context().clone();
    let flags = context.trace_flags().to_u8();
    context.is_valid().then(|| format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()))
}

/// The W3C trace id of a span.
pub fn trace_id(span: &tracing::Span) -> Option<String> {
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then(|| context.trace_id().to_string())
}
