//! `POST /audit` on the admin listener: an audit now, for whoever has the token.
//!
//! With an `Idempotency-Key` a request is done once: what was answered is answered again, and the key with another body is
//! refused. The audit is finished whether or not the caller stays to hear of it.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use audit::{Kind, Report};
use audit_postgres::{AuditRequest, AuditStoreError, Audited};
use secrecy::{ExposeSecret as _, SecretSlice};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::Auditor;

/// More is no request for an audit.
const BODY_MAX: usize = 1024;

/// The longest `Idempotency-Key`.
const KEY_MAX: usize = 128;

/// What is asked for; nothing is an incremental run.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    full: bool,
}

/// What is answered.
#[derive(Debug, Serialize)]
struct Answer<'r> {
    audit_run: Option<i64>,
    #[serde(flatten)]
    report: &'r Report,
}

struct OnDemand {
    auditor: Arc<Auditor>,
    token: SecretSlice<u8>,
}

/// The route, if there is a token.
pub(crate) fn route(
    token: Option<SecretSlice<u8>>,
    auditor: Arc<Auditor>,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    let state = token.map(|token| web::Data::new(OnDemand { auditor, token }));
    move |config| {
        if let Some(state) = &state {
            config.app_data(state.clone()).route("/audit", web::post().to(audit));
        }
    }
}

async fn audit(request: HttpRequest, payload: web::Payload, state: web::Data<OnDemand>) -> HttpResponse {
    match answer(&request, payload, &state).await {
        Ok(text) => HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(text),
        Err(problem) => problem.response(),
    }
}

async fn answer(request: &HttpRequest, payload: web::Payload, state: &OnDemand) -> Result<String, Problem> {
    if !authorised(request.headers(), &state.token) {
        return Err(Problem::Unauthorized);
    }
    let key = idempotency_key(request.headers())?;
    let body =
        payload.to_bytes_limited(BODY_MAX).await.ok().and_then(Result::ok).ok_or(Problem::PayloadInvalid)?;
    let wanted: Wanted = match body.as_ref() {
        [] => Wanted::default(),
        body => serde_json::from_slice(body).map_err(|_| Problem::PayloadInvalid)?,
    };
    let store = &state.auditor.store;
    if let Some(key) = &key {
        match store.begin_request(key, &Sha256::digest(&body).into()).await? {
            AuditRequest::New => {}
            AuditRequest::Answered(text) => return Ok(text),
            AuditRequest::UnderWay => return Err(Problem::RequestInFlight),
            AuditRequest::OtherBody => return Err(Problem::IdempotencyKeyReused),
        }
    }
    let kind = if wanted.full { Kind::Full } else { Kind::Incremental };
    let auditor = Arc::clone(&state.auditor);
    let work = async move {
        let ended = auditor.run_once(kind).await.and_then(|audited| text(&audited));
        if let Some(key) = key {
            auditor.store.end_request(&key, ended.as_deref().ok()).await?;
        }
        ended
    };
    let ended = state.auditor.handle.spawn("audit on demand", work).await;
    Ok(ended.ok_or(Problem::BooksUnavailable)??)
}

fn text(audited: &Audited) -> Result<String, AuditStoreError> {
    let audit_run = audited.recorded.as_ref().ok().map(|run| run.0);
    let answer = Answer { audit_run, report: &audited.report };
    serde_json::to_string(&answer).map_err(|error| AuditStoreError::Unavailable(error.to_string()))
}

/// Digests are compared, in constant time, so that neither content nor length can be guessed from how long it takes.
fn authorised(headers: &HeaderMap, token: &SecretSlice<u8>) -> bool {
    let mut given = headers.get_all(AUTHORIZATION);
    let (Some(one), None) = (given.next(), given.next()) else { return false };
    let Some(given) = one.as_bytes().strip_prefix(b"Bearer ") else { return false };
    Sha256::digest(given).ct_eq(&Sha256::digest(token.expose_secret())).into()
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all("idempotency-key");
    let Some(key) = keys.next() else { return Ok(None) };
    let text = key.to_str().map_err(|_| Problem::IdempotencyKeyInvalid)?;
    let valid = (1..=KEY_MAX).contains(&text.len()) && keys.next().is_none();
    if valid { Ok(Some(text.to_owned())) } else { Err(Problem::IdempotencyKeyInvalid) }
}

/// Why there is no audit (RFC 9457).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    Unauthorized,
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    RequestInFlight,
    PayloadInvalid,
    BooksUnavailable,
}

impl From<AuditStoreError> for Problem {
    fn from(_: AuditStoreError) -> Self {
        // What went wrong stands in the log; the caller learns that it may try again.
        Self::BooksUnavailable
    }
}

impl Problem {
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "The bearer token is missing or wrong")
            }
            Self::IdempotencyKeyInvalid => (
                StatusCode::BAD_REQUEST,
                "idempotency-key-invalid",
                "One Idempotency-Key of 1 to 128 visible characters is expected",
            ),
            Self::IdempotencyKeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The Idempotency-Key belongs to a request with another body",
            ),
            Self::RequestInFlight => {
                (StatusCode::CONFLICT, "request-in-flight", "The audit of this Idempotency-Key is under way")
            }
            Self::PayloadInvalid => {
                (StatusCode::BAD_REQUEST, "payload-invalid", "Nothing or {\"full\": true} is expected")
            }
            Self::BooksUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "books-unavailable", "The books could not be audited")
            }
        }
    }

    fn response(self) -> HttpResponse {
        let (status, slug, title) = self.parts();
        let body = json!({ "type": format!("urn:countersign:problem:{slug}"), "title": title, "status": status.as_u16() });
        let mut response = HttpResponse::build(status);
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        if matches!(self, Self::RequestInFlight | Self::BooksUnavailable) {
            response.insert_header((RETRY_AFTER, "5"));
        }
        response.body(body.to_string())
    }
}
