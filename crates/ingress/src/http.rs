//! HTTP: a request becomes an arrival, an answer becomes a response; nothing is decided here.

use core::time::Duration;
use std::net::TcpListener;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, UPGRADE, X_FORWARDED_FOR,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use ports::Handle;
use runtime::admin::Serving;
use serde_json::{Map, Value, json};
use tracing::Instrument as _;

use crate::metrics::http::WEBHOOK_ROUTE;
use crate::{Answer, Arrival, Caller, Gate, Problem, Proxies, Response, span};

/// Longer than a balancer's idle timeout, so that the balancer is the one to close.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What a request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long its head may take to arrive; actix answers 408 after it.
    pub head_timeout: Duration,
    /// The longest body.
    pub body_max_bytes: usize,
    /// How long the body may take to arrive.
    pub body_timeout: Duration,
    /// How long a stop waits for requests in hand.
    pub drain: Duration,
}

/// The public listener of a gate: what its workers need.
#[derive(Debug, Clone)]
pub struct Shell {
    /// Who answers.
    pub gate: Arc<Gate>,
    /// Clock and timers.
    pub handle: Handle,
    /// Who is believed about whose request it is.
    pub proxies: Proxies,
    /// What a request may cost.
    pub limits: Limits,
}

impl Shell {
    /// Serves in a task of the current runtime.
    pub fn serve(self, listener: TcpListener) -> std::io::Result<Serving> {
        let limits = self.limits;
        let server = HttpServer::new(move || {
            App::new().wrap(from_fn(measured)).configure(|web| routes(web, self.clone()))
        })
        .workers(2)
        .client_request_timeout(limits.head_timeout)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(limits.drain.as_secs())
        .disable_signals()
        .listen(listener)?;
        Ok(Serving::spawn(server.run()))
    }
}

/// The public routes.
fn routes(config: &mut web::ServiceConfig, shell: Shell) {
    config
        .app_data(web::Data::new(shell))
        .route(WEBHOOK_ROUTE, web::route().to(webhook))
        .default_service(web::route().to(elsewhere));
}

/// Every request, from its head to the head of its answer. One whose client has gone has no answer.
async fn measured(
    shell: web::Data<Shell>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let (http, began) = (&shell.gate.metrics.http, shell.handle.monotonic());
    let method = request.method().clone();
    let active = http.begun(method.as_str());
    let response = next.call(request).await?;
    let took = shell.handle.monotonic().saturating_sub(began);
    let route = response.request().match_pattern();
    http.answered(method.as_str(), route.as_deref(), response.status().as_u16(), took);
    drop(active);
    Ok(response)
}

async fn elsewhere(shell: web::Data<Shell>) -> HttpResponse {
    respond(shell.gate.refused("", Problem::UnknownSource).into())
}

async fn webhook(
    request: HttpRequest,
    source: web::Path<String>,
    payload: web::Payload,
    shell: web::Data<Shell>,
) -> HttpResponse {
    let source = source.into_inner();
    let span = span::request(request.method(), Some(source.as_str()).filter(|name| shell.gate.knows(name)));
    let response = answer(&request, source, payload, &shell).instrument(span.clone()).await;
    span::answered(&span, &response.answer);
    respond(response)
}

async fn answer(request: &HttpRequest, source: String, payload: web::Payload, shell: &Shell) -> Response {
    // Sent as to a proxy, or to be something else than HTTP/1: nothing of that is served here.
    let foreign = request.uri().authority().is_some() || request.headers().contains_key(UPGRADE);
    if foreign || !shell.gate.knows(&source) {
        return shell.gate.refused(&source, Problem::UnknownSource).into();
    }
    if request.method() != Method::POST {
        return shell.gate.refused(&source, Problem::MethodNotAllowed).into();
    }
    if request.headers().contains_key(CONTENT_ENCODING) {
        return shell.gate.refused(&source, Problem::EncodingRefused).into();
    }
    let entry = match shell.gate.enter(caller(request, &shell.proxies)).await {
        Ok(entry) => entry,
        Err(problem) => return shell.gate.refused(&source, problem).into(),
    };
    let bytes_max = entry.body_max_bytes(shell.limits.body_max_bytes);
    let timeout = entry.body_timeout(shell.limits.body_timeout);
    let body = if declared_bytes(request).is_some_and(|bytes| bytes > bytes_max) {
        Err(Problem::PayloadTooLarge)
    } else {
        shell.handle.within(timeout, read(payload, bytes_max)).await.unwrap_or(Err(Problem::BodyTimeout))
    };
    let body = match body {
        Ok(body) => body,
        Err(problem) => return shell.gate.turned_away(&source, &entry, problem).into(),
    };
    let headers =
        request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    let headers = headers.collect();
    shell.gate.deliver(Arrival { source, headers, body, received_at: shell.handle.now(), entry }).await
}

fn caller(request: &HttpRequest, proxies: &Proxies) -> Option<Caller> {
    // A value that is no text names nobody.
    let forwarded =
        request.headers().get_all(X_FORWARDED_FOR).map(|value| value.to_str().unwrap_or_default());
    proxies.caller(request.peer_addr()?.ip(), &forwarded.collect::<Vec<_>>())
}

/// What the head says of the body's length, to refuse it before it comes; what counts is counted.
fn declared_bytes(request: &HttpRequest) -> Option<usize> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
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

fn respond(Response { answer, reply }: Response) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if let Some(reply) = reply.filter(|_| status == StatusCode::OK) {
        return response.content_type("application/json").body(reply);
    }
    let (event_id, result) = match &answer {
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
    if problem.leaves_body() {
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
