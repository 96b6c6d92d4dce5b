//! One request to one receiver, and what its answer means.

use core::fmt;
use core::time::Duration;

use handle::Handle;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::{Request, StatusCode};
use jiff::Timestamp;
use runtime::http::Client;
use secrecy::ExposeSecret as _;

use super::config::{Settings, Target};
use super::notice::Notice;
use super::{pagerduty, secret, slack, webhook};

/// Why a receiver has not taken a message; without a URL or anything else that may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may take it later.
    Later {
        /// What happened.
        why: String,
        /// How long it wants to be left alone.
        asked: Option<Duration>,
    },
    /// It will not take it as it is.
    Refused {
        /// What it answered.
        why: String,
    },
}

impl Failure {
    fn later(why: impl fmt::Display) -> Self {
        Self::Later { why: why.to_string(), asked: None }
    }
}

/// Makes requests.
#[derive(Debug)]
pub(super) struct Post {
    client: Client,
    timeout: Duration,
    handle: Handle,
}

impl Post {
    pub(super) fn new(settings: &Settings, handle: Handle) -> anyhow::Result<Self> {
        Ok(Self { client: Client::new(&settings.tls)?, timeout: settings.timeout, handle })
    }

    /// Sends a message to PagerDuty, Slack or a webhook.
    pub(super) async fn send(&self, target: &Target, notice: &Notice, now: Timestamp) -> Result<(), Failure> {
        let Some(request) = request(target, notice, now).map_err(Failure::later)? else { return Ok(()) };
        let answered = self.handle.within(self.timeout, self.client.send(request)).await;
        match answered {
            Some(Ok(answer)) => classify(answer.status, answer.retry_after.as_deref(), now),
            Some(Err(unsent)) => Err(Failure::later(unsent)),
            None => Err(Failure::later("no answer in time")),
        }
    }
}

/// None for the log, to which nothing is posted.
fn request(target: &Target, notice: &Notice, now: Timestamp) -> Result<Option<Request<Bytes>>, String> {
    let (url, body) = match target {
        Target::Log => return Ok(None),
        Target::PagerDuty { url, routing_key } => {
            let key = secret::routing_key(routing_key)?;
            (url.clone(), pagerduty::body(key.expose_secret(), notice))
        }
        Target::Slack { url } => (secret::url(url)?, slack::body(notice)),
        Target::Webhook { url, .. } => (secret::url(url)?, webhook::body(notice)),
    };
    let body = body.to_string();
    let headers = match target {
        Target::Webhook { secrets, .. } => {
            webhook::headers(&secret::signing_keys(secrets)?, &notice.message_id, now.as_second(), &body)
        }
        Target::Log | Target::PagerDuty { .. } | Target::Slack { .. } => Vec::new(),
    };
    let mut request = Request::post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("countersign-auditor/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Bytes::from(body)).map(Some).map_err(|_| "it cannot be written as a request".to_owned())
}

/// What an answer means: 2xx is taken; 408, 425, 429 and 5xx may be taken later; anything else will not be.
fn classify(status: StatusCode, retry_after: Option<&str>, now: Timestamp) -> Result<(), Failure> {
    let why = format!("HTTP {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Ok(()),
        408 | 425 | 429 | 500..=599 => {
            Err(Failure::Later { why, asked: retry_after.and_then(|text| asked(text, now)) })
        }
        _ => Err(Failure::Refused { why }),
    }
}

/// `Retry-After`: seconds, or an instant in the form of RFC 9110.
fn asked(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, retry_after: Option<&str>) -> Result<(), Failure> {
        let now = "1994-11-06T08:49:00Z".parse().unwrap();
        classify(StatusCode::from_u16(status).unwrap(), retry_after, now)
    }

    #[test]
    fn an_answer_is_taken_later_or_never() {
        for status in [200, 202, 204] {
            assert_eq!(said(status, None), Ok(()));
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(said(status, None), Err(Failure::Later { asked: None, .. })), "{status}");
        }
        for status in [301, 302, 400, 401, 403, 404, 410, 413] {
            assert_eq!(said(status, None), Err(Failure::Refused { why: format!("HTTP {status}") }));
        }
    }

    #[test]
    fn retry_after_is_seconds_or_an_instant() {
        let seconds = |text| match said(429, Some(text)) {
            Err(Failure::Later { asked, .. }) => asked.map(|asked| asked.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(seconds("30"), Some(30));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(37));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:40:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
    }
}
