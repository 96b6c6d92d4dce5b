//! HTTP: a request becomes an arrival, an answer becomes a response; nothing is decided here.

use core::time::Duration;
use std::sync::Arc;

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use ports::Handle;
use serde_json::{Map, Value, json};
use tracing::Instrument as _;

use crate::{Answer, Arrival, Gate, Problem};

/// What a worker needs.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    pub(crate) gate: Arc<Gate>,
    pub(crate) handle: Handle,
    pub(crate) body_max_bytes: usize,
    pub(crate) body_timeout: Duration,
}

/// The public routes.
pub(crate) fn routes(config: &mut web::ServiceConfig, shell: Shell) {
    config
        .app_data(web::Data::new(shell))
        .route("/api/v1/billing/{source}/webhook", web::route().to(webhook))
        .default_service(web::route().to(elsewhere));
}

async fn elsewhere(shell: web::Data<Shell>) -> HttpResponse {
    respond(&shell.gate.refused("", Problem::UnknownSource))
}

async fn webhook(
    request: HttpRequest,
    source: web::Path<String>,
    payload: web::Payload,
    shell: web::Data<Shell>,
) -> HttpResponse {
    // A new root: a trace context from the internet is never adopted.
    let span = tracing::info_span!(parent: None, "webhook", trace_id = tracing::field::Empty);
    if let Some(trace_id) = runtime::telemetry::trace_id(&span) {
        span.record("trace_id", trace_id);
    }
    let answer = answer(&request, source.into_inner(), payload, &shell).instrument(span).await;
    respond(&answer)
}

async fn answer(request: &HttpRequest, source: String, payload: web::Payload, shell: &Shell) -> Answer {
    if !shell.gate.knows(&source) {
        return shell.gate.refused(&source, Problem::UnknownSource);
    }
    if request.method() != Method::POST {
        return shell.gate.refused(&source, Problem::MethodNotAllowed);
    }
    if request.headers().contains_key(CONTENT_ENCODING) {
        return shell.gate.refused(&source, Problem::EncodingRefused);
    }
    let body = shell.handle.within(shell.body_timeout, read(payload, shell.body_max_bytes)).await;
    let body = match body.unwrap_or(Err(Problem::BodyTimeout)) {
        Ok(body) => body,
        Err(problem) => return shell.gate.refused(&source, problem),
    };
    let headers =
        request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    let headers = headers.collect();
    shell.gate.deliver(Arrival { source, headers, body, received_at: shell.handle.now() }).await
}

/// The whole body, counted as it comes, whatever its declared length.
async fn read(mut payload: web::Payload, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::BodyTimeout)?;
        if body.len().saturating_add(chunk.len()) > bytes_max {
            return Err(Problem::PayloadTooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn respond(answer: &Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    let (event_id, result) = match answer {
        Answer::Accepted(event_id) | Answer::Parked(event_id) => (event_id, None),
        Answer::Replayed(event_id, result) => (event_id, result.as_ref()),
        Answer::Refused(problem) => return refusal(*problem),
    };
    let mut body = Map::new();
    body.insert("status".to_owned(), answer.word().into());
    body.insert("event_id".to_owned(), event_id.as_str().into());
    if let Some(result) = result {
        let stored = serde_json::from_str(&result.0).unwrap_or(Value::Null);
        body.insert("result".to_owned(), stored);
    }
    response.json(body)
}

/// RFC 9457.
fn refusal(problem: Problem) -> HttpResponse {
    let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.insert_header((CONTENT_TYPE, "application/problem+json"));
    if let Some(seconds) = problem.retry_after_s() {
        response.insert_header((RETRY_AFTER, seconds.to_string()));
    }
    if problem == Problem::MethodNotAllowed {
        response.insert_header(("Allow", "POST"));
    }
    if matches!(problem, Problem::BodyTimeout | Problem::PayloadTooLarge) {
        // What is left of the body is not worth reading.
        response.force_close();
    }
    let body = json!({
        "type": format!("urn:countersign:problem:{}", problem.slug()),
        "title": problem.title(),
        "status": problem.status(),
    });
    response.body(body.to_string())
}
