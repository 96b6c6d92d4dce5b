//! Logs and traces.
//!
//! Spans always have ids, for the books keep every event's trace id; they are exported only where the standard `OTEL_…`
//! variables name an endpoint.

mod context;
mod export;
mod lines;
mod messaging;
mod roots;

use core::fmt;
use core::time::Duration;
use std::io::IsTerminal as _;

pub use context::{adopt, follow, follow_span, follow_trace, is_sampled, trace_id, traceparent};
pub use messaging::{Publishing, failed};
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{FilterExt as _, FilterFn};
use tracing_subscriber::fmt::format::{self, JsonFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::sections::Telemetry;
use crate::telemetry::lines::{Shape, Traced};

/// What is logged when `RUST_LOG` is not set. What lapin calls an error the adapter handles, and logs once.
const DEFAULT_FILTER: &str = "info,lapin=off,actix_server=warn,actix_http=off";

/// What becomes a span of a trace, however few lines `RUST_LOG` wants: the books keep every event's trace id.
const TRACES: &str = "info,lapin=off,actix_server=off,actix_http=off,hyper=off,tokio_postgres=off";

/// Never logged, whatever `RUST_LOG` says: lapin would show every returned message with its payload.
const NEVER: &str = "lapin::returned_messages=off";

/// The semantic conventions that names of spans and attributes follow. Those for messaging are still in development.
const CONVENTIONS: &str = "https://opentelemetry.io/schemas/1.44.0";

/// How long the end of a process may wait for its last spans to be exported.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// What stands for the trace id in a template.
pub const TRACE_ID: &str = "{trace_id}";

/// Where people can look at a trace: a URL with [`TRACE_ID`] in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceUrl(String);

impl TraceUrl {
    /// Reads a template; `None` of a text that is none.
    pub fn parse(template: &str) -> Option<Self> {
        let is_url = template.starts_with("https://") || template.starts_with("http://");
        let plain = template.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\<>|".contains(&byte));
        (is_url && plain && template.contains(TRACE_ID)).then(|| Self(template.to_owned()))
    }

    /// The URL of this trace.
    pub fn of(&self, trace_id: impl fmt::Display) -> String {
        self.0.replace(TRACE_ID, &trace_id.to_string())
    }
}

/// Keeps telemetry alive; dropping it exports what is left, for three seconds at most.
#[derive(Debug)]
pub struct Guard(SdkTracerProvider);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH_MAX) {
            tracing::debug!(%error, "The last spans were not exported");
        }
    }
}

fn is_line(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.is_event()
}

/// Starts logs on standard error (JSON unless it is a terminal), trace ids for every span, and the export of spans if one is
/// asked for.
pub fn start(service: &'static str, telemetry: &Telemetry) -> Guard {
    let (provider, problem) = export::provider(service);
    let scope = InstrumentationScope::builder("countersign")
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(CONVENTIONS)
        .build();
    let traces = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer_with_scope(scope))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_error_fields_to_exceptions(false)
        .with_error_records_to_exceptions(false)
        .with_error_events_to_exceptions(false);
    let chosen = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let chosen = NEVER.parse().into_iter().fold(chosen, EnvFilter::add_directive);
    // A line says what it has to say itself; of the spans around it only the ids stand in it.
    let lines_only = FilterFn::new(is_line).and(chosen);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let trace_url = telemetry.trace_url.clone();
    let lines = if std::io::stderr().is_terminal() {
        let text = format::Format::default().with_target(false);
        lines.event_format(Traced::new(text, Shape::Text, trace_url)).with_filter(lines_only).boxed()
    } else {
        let json = format::json().with_target(false).flatten_event(true);
        let json = json.with_span_list(false).with_current_span(false);
        let lines = lines.fmt_fields(JsonFields::new());
        lines.event_format(Traced::new(json, Shape::Json, trace_url)).with_filter(lines_only).boxed()
    };
    let registry =
        tracing_subscriber::registry().with(lines).with(traces.with_filter(EnvFilter::new(TRACES)));
    if registry.try_init().is_err() {
        tracing::debug!("telemetry was started before");
    }
    if let Some(error) = problem {
        tracing::error!(%error, "Spans are not exported");
    }
    Guard(provider)
}
