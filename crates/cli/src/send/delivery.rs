//! A signed request, and what it is answered.

use core::fmt;
use core::time::Duration;

use anyhow::Context as _;
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};
use serde_json::Value;

use crate::ending::Failure;

/// How long the ingress may take; it answers within 10 s or not at all.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What every refusal's `type` begins with; the slug follows.
const PROBLEM: &str = "urn:countersign:problem:";

/// Where this source's webhooks are posted.
pub(super) fn url(base: &str, source: &str) -> Result<String, Failure> {
    let url = format!("{}/api/v1/billing/{source}/webhook", base.trim_end_matches('/'));
    match Url::parse(&url) {
        Ok(parsed) if parsed.has_host() => Ok(url),
        Ok(_) | Err(_) => Err(Failure::Usage(format!("--url {base}: http://HOST:PORT is expected"))),
    }
}

/// A request, signed.
#[derive(Debug)]
pub(super) struct Delivery {
    /// The event that it brings.
    pub(super) event_id: String,
    /// The header with the signature.
    pub(super) header: (&'static str, String),
    /// The body: JSON.
    pub(super) body: String,
}

impl Delivery {
    /// The request as a command line.
    pub(super) fn as_curl(&self, url: &str) -> String {
        let (name, value) = &self.header;
        let words = [
            quoted("Content-Type: application/json"),
            "-H".to_owned(),
            quoted(&format!("{name}: {value}")),
            "--data-binary".to_owned(),
            quoted(&self.body),
            quoted(url),
        ];
        format!("curl -sS -H {}\n", words.join(" "))
    }
}

/// One word for any shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A sender of requests.
#[derive(Debug)]
pub(super) struct Client(reqwest::Client);

impl Client {
    /// Follows no redirect and asks no proxy: a webhook is posted where it was sent.
    pub(super) fn new() -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(Policy::none()).no_proxy().build();
        client.map(Self).context("make an HTTP client")
    }

    /// Sends one.
    pub(super) async fn post(&self, url: &str, delivery: &Delivery) -> anyhow::Result<Answered> {
        let (name, value) = &delivery.header;
        let request = self.0.post(url).header("Content-Type", "application/json").header(*name, value);
        let response = request.body(delivery.body.clone()).send().await.context("post the delivery")?;
        let code = response.status();
        let body = response.bytes().await.context("read the answer")?;
        Ok(Answered::read(code, &body, &delivery.event_id))
    }
}

/// What a delivery was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answered {
    code: StatusCode,
    /// `accepted`, `replayed`, `parked`; a refusal's slug; the method that Telegram is to call; `?` if the answer is not
    /// an ingress'.
    word: String,
    event_id: String,
    result: Option<Value>,
}

impl Answered {
    fn read(code: StatusCode, body: &[u8], event_id: &str) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |key| body.get(key).and_then(Value::as_str);
        let slug = text("type").and_then(|problem| problem.strip_prefix(PROBLEM));
        Self {
            code,
            word: slug.or(text("status")).or(text("method")).unwrap_or("?").to_owned(),
            event_id: text("event_id").unwrap_or(event_id).to_owned(),
            result: body.get("result").filter(|result| !result.is_null()).cloned(),
        }
    }

    /// The answer without what is this event's own.
    pub(super) fn outcome(&self) -> String {
        format!("{:<18} {}", self.word, self.code.as_u16())
    }

    /// Whether the provider would think it delivered.
    pub(super) fn is_success(&self) -> bool {
        self.code.is_success()
    }

    /// Whether it was refused as too old.
    pub(super) fn is_too_old(&self) -> bool {
        self.word == "event-too-old"
    }

    /// Whether its signature was refused.
    pub(super) fn is_refusal(&self) -> bool {
        self.code == StatusCode::UNAUTHORIZED
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event_id, result, .. } = self;
        write!(f, "{} {event_id}", self.outcome())?;
        result.as_ref().map_or(Ok(()), |result| write!(f, " {result}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: StatusCode, body: &str) -> String {
        Answered::read(code, body.as_bytes(), "evt_sent").to_string()
    }

    #[test]
    fn an_answer_is_one_line() {
        for (code, body, line) in [
            (200, r#"{"status":"accepted","event_id":"evt_1"}"#, "accepted           200 evt_1"),
            (
                200,
                r#"{"status":"replayed","event_id":"evt_1","result":{"outcome":"booked"}}"#,
                "replayed           200 evt_1 {\"outcome\":\"booked\"}",
            ),
            (
                401,
                r#"{"type":"urn:countersign:problem:signature-mismatch","status":401}"#,
                "signature-mismatch 401 evt_sent",
            ),
            (200, r#"{"method":"answerPreCheckoutQuery","ok":true}"#, "answerPreCheckoutQuery 200 evt_sent"),
            (502, "<html>", "?                  502 evt_sent"),
        ] {
            assert_eq!(answered(StatusCode::from_u16(code).unwrap(), body), line);
        }
    }

    #[test]
    fn a_curl_command_survives_a_quote() {
        let delivery =
            Delivery { event_id: "e".to_owned(), header: ("H", "v".to_owned()), body: "{'}".to_owned() };
        let expected =
            "curl -sS -H 'Content-Type: application/json' -H 'H: v' --data-binary '{'\\''}' 'http://x'\n";
        assert_eq!(delivery.as_curl("http://x"), expected);
    }
}
