//! Spans on their way to a collector: OTLP over HTTP, in batches, from a thread of its own behind a queue of bounded length.
//! What does not fit is dropped, so that a collector which is dead or hangs costs spans and nothing else.

use core::fmt;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::path::PathBuf;

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Sampler as OfSdk, SdkTracerProvider};
use tls::{Files, Tls};

use super::CONVENTIONS;
use super::roots::{Ids, Sampler};
use crate::config::variable;
use crate::http::Client;

/// How long one request may take, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A batch's database span links to every delivery in it, and a batch has 5,000 at most.
const LINKS_MAX: u32 = 5_000;

/// Where spans get their ids from and go to. A problem with the export is no reason not to start: it is returned, to be told.
pub(super) fn provider(service: &'static str) -> (SdkTracerProvider, Option<anyhow::Error>) {
    let builder =
        SdkTracerProvider::builder().with_id_generator(Ids::default()).with_max_links_per_span(LINKS_MAX);
    match wanted().then(exporter).transpose() {
        Ok(Some(exporter)) => {
            let processor = BatchSpanProcessor::builder(exporter).build();
            let builder = builder.with_resource(resource(service)).with_sampler(Sampler::of_environment());
            (builder.with_span_processor(processor).build(), None)
        }
        Ok(None) => (builder.with_sampler(OfSdk::AlwaysOff).build(), None),
        Err(problem) => (builder.with_sampler(OfSdk::AlwaysOff).build(), Some(problem)),
    }
}

/// Whether the standard variables ask for an export.
fn wanted() -> bool {
    let named = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let other = variable("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter != "otlp");
    !disabled && !other && named.into_iter().any(|name| variable(name).is_some())
}

/// Who says it: what `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, and otherwise the binary.
fn resource(service: &'static str) -> Resource {
    let own = [
        KeyValue::new("service.namespace", "countersign"),
        KeyValue::new("service.name", service),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ];
    let builder = Resource::builder_empty()
        .with_schema_url(own, CONVENTIONS)
        .with_detector(Box::new(EnvResourceDetector::new()));
    match variable("OTEL_SERVICE_NAME") {
        Some(name) => builder.with_service_name(name).build(),
        None => builder.build(),
    }
}

fn exporter() -> anyhow::Result<SpanExporter> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(Collector::of_environment()?)
        .with_timeout(timeout());
    exporter.build().context("read where spans are exported to")
}

fn timeout() -> Duration {
    let named = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let milliseconds = named.into_iter().find_map(variable).and_then(|text| text.parse().ok());
    milliseconds.map_or(TIMEOUT, Duration::from_millis)
}

/// The collector. Requests are made on the thread that exports, on a runtime of its own.
struct Collector {
    runtime: tokio::runtime::Runtime,
    client: Client,
    timeout: Duration,
    failing: AtomicBool,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

impl Collector {
    fn of_environment() -> anyhow::Result<Self> {
        let ca = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
        let ca = ca.into_iter().find_map(variable).map(PathBuf::from);
        let tls = Tls::read(&Files { ca, client_cert: None, client_key: None });
        let tls = tls.map_err(|_| anyhow::anyhow!("the collector's certificate cannot be read"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self {
            runtime: runtime.context("start the runtime of the exporter")?,
            client: Client::new(&tls)?,
            timeout: timeout(),
            failing: AtomicBool::new(false),
        })
    }

    fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sending = async { tokio::time::timeout(self.timeout, self.client.send(request)).await };
        let answered = match self.runtime.block_on(sending) {
            Ok(Ok(answer)) => Ok(answer.status),
            Ok(Err(unsent)) => Err(unsent.to_string()),
            Err(_elapsed) => Err("no answer in time".to_owned()),
        };
        match &answered {
            Ok(status) if status.is_success() => self.told(None),
            Ok(status) => self.told(Some(&format!("HTTP {}", status.as_u16()))),
            Err(why) => self.told(Some(why)),
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = answered?;
        Ok(response)
    }

    /// Says once that spans are lost, and once that they are not any more.
    fn told(&self, failure: Option<&str>) {
        match (self.failing.swap(failure.is_some(), Ordering::Relaxed), failure) {
            (false, Some(why)) => tracing::warn!(error = why, "Spans cannot be exported and are dropped"),
            (true, None) => tracing::info!("Spans are exported again"),
            (true, Some(_)) | (false, None) => {}
        }
    }
}

impl HttpClient for Collector {
    fn send_bytes<'client, 'answer>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'answer>>
    where
        'client: 'answer,
        Self: 'answer,
    {
        Box::pin(async move { self.exchange(request) })
    }
}
