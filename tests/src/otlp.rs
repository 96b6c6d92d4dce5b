//! A collector of spans: OTLP over HTTP, as services export it.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpResponse, HttpServer, web};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use runtime::admin::Serving;

use crate::eventually;

/// A span as it was exported.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The `service.name` of its resource.
    pub service: String,
    /// Its name.
    pub name: String,
    /// `server`, `client`, `producer`, `consumer` or `internal`.
    pub kind: &'static str,
    /// Its trace, in hex.
    pub trace_id: String,
    /// Its own id, in hex.
    pub span_id: String,
    /// Its parent's id, in hex; empty of a root.
    pub parent: String,
    /// What it links to: trace and span.
    pub links: Vec<(String, String)>,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// `unset`, `ok` or `error`.
    pub status: &'static str,
}

impl Seen {
    /// An attribute as text; empty if it is not there.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// What a link to it says.
    pub fn named(&self) -> (String, String) {
        (self.trace_id.clone(), self.span_id.clone())
    }
}

/// The collector. Dropped, it answers no more.
#[derive(Debug)]
pub struct Collector {
    endpoint: String,
    taken: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    serving: Serving,
}

impl Collector {
    /// Listens on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let taken = Arc::<Mutex<Vec<ExportTraceServiceRequest>>>::default();
        let data = web::Data::new(Arc::clone(&taken));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .app_data(web::PayloadConfig::new(64 << 20))
                .route("/v1/traces", web::post().to(take))
        });
        let server = server.workers(1).disable_signals().listen(listener).unwrap();
        Self { endpoint, taken, serving: Serving::spawn(server.run()) }
    }

    /// The variables that make a service export to it, soon.
    pub fn variables(&self) -> Vec<(&'static str, &str)> {
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", self.endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")]
    }

    /// Everything that was exported, as text: names, attributes, events, resources.
    pub fn text(&self) -> String {
        format!("{:?}", self.taken.lock().unwrap())
    }

    /// Every span until now.
    pub fn spans(&self) -> Vec<Seen> {
        let taken = self.taken.lock().unwrap();
        let resources = taken.iter().flat_map(|request| &request.resource_spans);
        resources
            .flat_map(|of| {
                let attributes = of.resource.as_ref().map(|resource| texts(&resource.attributes));
                let service =
                    attributes.and_then(|mut texts| texts.remove("service.name")).unwrap_or_default();
                let spans = of.scope_spans.iter().flat_map(|scope| &scope.spans);
                spans.map(move |span| seen(&service, span))
            })
            .collect()
    }

    /// The spans of a trace, once there are as many, by the time they began.
    pub async fn trace(&self, trace_id: &str, spans: usize) -> Vec<Seen> {
        let of_trace = || {
            let all = self.spans().into_iter();
            all.filter(|span| span.trace_id == trace_id).collect::<Vec<_>>()
        };
        let complete = eventually("the trace is complete", async || {
            Some(of_trace()).filter(|found| found.len() >= spans)
        });
        let in_time = tokio::time::timeout(crate::PATIENCE / 2, complete).await;
        in_time.unwrap_or_else(|_| panic!("not {spans} spans of {trace_id} in {:#?}", self.spans()))
    }

    /// The first span that is so, once there is one.
    pub async fn span(&self, what: &str, is: impl Fn(&Seen) -> bool) -> Seen {
        eventually(what, async || self.spans().into_iter().find(|span| is(span))).await
    }

    /// Ends.
    pub async fn stop(self) {
        self.serving.stop().await;
    }
}

async fn take(
    taken: web::Data<Arc<Mutex<Vec<ExportTraceServiceRequest>>>>,
    body: web::Bytes,
) -> HttpResponse {
    match ExportTraceServiceRequest::decode(body) {
        Ok(request) => {
            taken.lock().unwrap().push(request);
            HttpResponse::Ok().finish()
        }
        Err(_) => HttpResponse::BadRequest().finish(),
    }
}

fn seen(service: &str, span: &Span) -> Seen {
    let kinds = ["unspecified", "internal", "server", "client", "producer", "consumer"];
    let status = span.status.as_ref().map_or(0, |status| status.code);
    Seen {
        service: service.to_owned(),
        name: span.name.clone(),
        kind: kinds[usize::try_from(span.kind).unwrap()],
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        attributes: texts(&span.attributes),
        status: ["unset", "ok", "error"][usize::try_from(status).unwrap()],
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|each| (each.key.clone(), text(each.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}
