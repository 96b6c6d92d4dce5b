//! The lines of the log: each with the ids of the span that it was said in, and where its trace can be looked at.

use core::fmt;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::TraceUrl;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Json,
    Text,
}

/// A format, and the ids after it.
pub(super) struct Traced<F> {
    format: F,
    shape: Shape,
    trace_url: Option<TraceUrl>,
}

impl<F> Traced<F> {
    pub(super) fn new(format: F, shape: Shape, trace_url: Option<TraceUrl>) -> Self {
        Self { format, shape, trace_url }
    }

    /// The line with the ids of the current span, if there is one.
    fn traced(&self, line: String) -> String {
        let ids = Context::map_current(|context| {
            let span = context.span();
            let span = span.span_context();
            span.is_valid().then(|| (span.trace_id().to_string(), span.span_id().to_string()))
        });
        match ids {
            Some((trace_id, span_id)) => self.with_ids(&line, &trace_id, &span_id),
            None => line,
        }
    }

    fn with_ids(&self, line: &str, trace_id: &str, span_id: &str) -> String {
        let url = self.trace_url.as_ref().map(|url| url.of(trace_id));
        // Nothing in an id or a URL is to be escaped in JSON.
        match self.shape {
            Shape::Json => {
                let open = line.trim_end().strip_suffix('}').unwrap_or(line);
                let url = url.map_or_else(String::new, |url| format!(",\"trace_url\":\"{url}\""));
                format!("{open},\"trace_id\":\"{trace_id}\",\"span_id\":\"{span_id}\"{url}}}\n")
            }
            Shape::Text => {
                let url = url.map_or_else(String::new, |url| format!(" trace_url={url}"));
                format!("{} trace_id={trace_id} span_id={span_id}{url}\n", line.trim_end())
            }
        }
    }
}

impl<S, N, F> FormatEvent<S, N> for Traced<F>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&self.traced(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_ids(shape: Shape, line: &str, url: Option<&str>) -> String {
        let url = url.map(|template| TraceUrl::parse(template).unwrap());
        Traced::new((), shape, url).with_ids(line, "4bf9", "00f0")
    }

    #[test]
    fn a_line_of_json_stays_one_with_the_ids_in_it() {
        let line = with_ids(Shape::Json, "{\"level\":\"INFO\"}\n", Some("https://t.example/{trace_id}"));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            read,
            serde_json::json!({
                "level": "INFO", "trace_id": "4bf9", "span_id": "00f0", "trace_url": "https://t.example/4bf9"
            })
        );
        assert!(line.ends_with("}\n"));
    }

    #[test]
    fn a_line_of_text_ends_with_the_ids() {
        assert_eq!(with_ids(Shape::Text, "INFO said\n", None), "INFO said trace_id=4bf9 span_id=00f0\n");
    }
}
