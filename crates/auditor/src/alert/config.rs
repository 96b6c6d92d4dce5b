//! `[auditor.alerts]`: who is told of which findings.
//!
//! ```toml
//! [auditor.alerts]
//! source = "countersign-eu"                              # which installation speaks; part of every key
//! runbook_base_url = "https://wiki.example/countersign/runbooks"
//! remind_every_s = 14400
//!
//! [auditor.alerts.routes.on-call]
//! kind = "pagerduty"
//! routing_key = "file:/run/secrets/pagerduty"
//! severities = ["critical", "error"]
//!
//! [auditor.alerts.routes.finance]
//! kind = "slack"
//! url = "env:SLACK_WEBHOOK_URL"
//! checks = ["clearing", "backlog"]
//!
//! [auditor.alerts.routes.siem]
//! kind = "webhook"
//! url = "file:/run/secrets/siem-url"
//! secrets = ["file:/run/secrets/siem-secret"]            # whsec_…, one a line; each of them signs
//! ```

use core::time::Duration;
use std::collections::BTreeSet;

use audit::Check;
use hyper::Uri;
use runtime::config::{SecretRef, Section};
use runtime::sections::{self, Tls};
use runtime::telemetry::TraceUrl;

use super::finding::{CHECK_AUDIT, OpenFinding, Severity};
use super::secret;

/// The route that is always there.
pub const LOG_ROUTE: &str = "log";

const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// Everything that the alerts are told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which installation speaks: the beginning of every key.
    pub source: String,
    /// Where the pages of `deploy/runbooks` can be read, without a slash at the end.
    pub runbook_base_url: String,
    /// Where a trace can be looked at. It is not read here: `[telemetry]` says it, for the whole service.
    pub trace_url: Option<TraceUrl>,
    /// How long until a finding that still stands is told again.
    pub remind_every: Duration,
    /// How long until a first attempt that failed is repeated; it doubles from there.
    pub retry_first: Duration,
    /// How long a receiver may take to answer.
    pub timeout: Duration,
    /// Whom to trust over TLS and as whom to appear.
    pub tls: Tls,
    /// Who is told; besides the log, which is told everything.
    pub routes: Vec<Route>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            source: "countersign".to_owned(),
            runbook_base_url: "deploy/runbooks".to_owned(),
            trace_url: None,
            remind_every: Duration::from_hours(4),
            retry_first: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            tls: Tls::default(),
            routes: Vec::new(),
        }
    }
}

/// Who is told, and of what.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name in the configuration, in metrics and in the outbox.
    pub name: String,
    /// How.
    pub target: Target,
    /// Of which urgency; `None` is any.
    pub severities: Option<BTreeSet<Severity>>,
    /// Of which checks; `None` is any.
    pub checks: Option<BTreeSet<String>>,
}

impl Route {
    /// The log, which is told everything.
    pub(super) fn log() -> Self {
        Self { name: LOG_ROUTE.to_owned(), target: Target::Log, severities: None, checks: None }
    }

    /// Whether it is told of a finding.
    pub(super) fn takes(&self, finding: &OpenFinding) -> bool {
        self.severities.as_ref().is_none_or(|these| these.contains(&finding.severity))
            && self.checks.as_ref().is_none_or(|these| these.contains(&finding.check))
    }
}

/// How a receiver is reached. Secrets are read again for every message: what replaces them needs no restart.
#[derive(Debug, Clone)]
pub enum Target {
    /// The service's own log.
    Log,
    /// PagerDuty, Events API v2.
    PagerDuty {
        /// Where events are taken.
        url: Uri,
        /// The integration key.
        routing_key: SecretRef,
    },
    /// Slack, incoming webhook.
    Slack {
        /// The URL is the secret.
        url: SecretRef,
    },
    /// Anybody who takes Standard Webhooks.
    Webhook {
        /// The URL, which may hold a token.
        url: SecretRef,
        /// The secrets that sign.
        secrets: Vec<SecretRef>,
    },
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    PagerDuty,
    Slack,
    Webhook,
}

impl Settings {
    /// Reads the section `alerts` of `[auditor]`; secrets are read once to see whether they are any.
    pub fn read(auditor: &mut Section<'_>) -> Self {
        auditor.section("alerts", |s| {
            let default = Self::default();
            let base = s.text("runbook_base_url");
            let settings = Self {
                source: source(s).unwrap_or(default.source),
                remind_every: Duration::from_secs(s.integer("remind_every_s", 14_400, 60..=604_800)),
                retry_first: Duration::from_millis(s.integer("retry_first_ms", 5_000, 100..=60_000)),
                timeout: Duration::from_millis(s.integer("timeout_ms", 10_000, 100..=60_000)),
                tls: sections::tls(s),
                routes: s.section("routes", routes),
                trace_url: default.trace_url,
                runbook_base_url: base
                    .as_deref()
                    .map_or(default.runbook_base_url, |base| base.trim_end_matches('/').to_owned()),
            };
            match base.as_deref().map(secret::is_web_address) {
                None if !settings.routes.is_empty() => {
                    s.problem("runbook_base_url", "is missing: every alert names its runbook");
                }
                Some(false) => s.problem("runbook_base_url", "https:// or http:// is expected"),
                None | Some(true) => {}
            }
            settings
        })
    }
}

fn source(s: &mut Section<'_>) -> Option<String> {
    let source = s.text("source")?;
    if (1..=64).contains(&source.len()) && source.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(source);
    }
    s.problem("source", "1 to 64 visible ASCII characters are expected");
    None
}

fn routes(all: &mut Section<'_>) -> Vec<Route> {
    let mut routes = Vec::new();
    for name in all.names() {
        if name == LOG_ROUTE || name.len() > 128 {
            all.problem(&name, "is the name of the log, or longer than 128 bytes");
        }
        routes.extend(all.section(&name, |s| route(s, &name)));
    }
    routes
}

fn route(s: &mut Section<'_>, name: &str) -> Option<Route> {
    let words = [("pagerduty", Kind::PagerDuty), ("slack", Kind::Slack), ("webhook", Kind::Webhook)]
        .map(|(word, kind)| (word, Some(kind)));
    if !s.names().iter().any(|key| key == "kind") {
        s.problem("kind", "is missing: pagerduty, slack or webhook is expected");
    }
    let kind = s.choice("kind", None, &words);
    let severities = list(s, "severities", |s, key| s.parsed_list(key).into_iter().collect());
    let checks = list(s, "checks", checks);
    let target = match kind {
        Some(Kind::PagerDuty) => pagerduty(s),
        Some(Kind::Slack) => reference(s, "url", secret::url).map(|url| Target::Slack { url }),
        Some(Kind::Webhook) => webhook(s),
        None => {
            s.leave_rest();
            None
        }
    };
    target.map(|target| Route { name: name.to_owned(), target, severities, checks })
}

/// A list that names at least one, if the key is there.
fn list<T: Ord>(
    s: &mut Section<'_>,
    key: &str,
    read: impl FnOnce(&mut Section<'_>, &str) -> BTreeSet<T>,
) -> Option<BTreeSet<T>> {
    if !s.names().iter().any(|there| there == key) {
        return None;
    }
    let items = read(s, key);
    if items.is_empty() {
        s.problem(key, "names none: this route would never be told anything");
    }
    Some(items)
}

fn checks(s: &mut Section<'_>, key: &str) -> BTreeSet<String> {
    let words: BTreeSet<String> = s.parsed_list(key).into_iter().collect();
    let known: Vec<&str> = Check::ALL.iter().map(|check| check.as_str()).chain([CHECK_AUDIT]).collect();
    for word in words.iter().filter(|word| !known.contains(&word.as_str())) {
        s.problem(key, format_args!("{word:?} is none of {}", known.join(", ")));
    }
    words
}

fn pagerduty(s: &mut Section<'_>) -> Option<Target> {
    let routing_key = reference(s, "routing_key", secret::routing_key);
    let text = s.text("url").unwrap_or_else(|| PAGERDUTY_URL.to_owned());
    match secret::parse_url(&text) {
        Ok(url) => routing_key.map(|routing_key| Target::PagerDuty { url, routing_key }),
        Err(problem) => {
            s.problem("url", problem);
            None
        }
    }
}

fn webhook(s: &mut Section<'_>) -> Option<Target> {
    let url = reference(s, "url", secret::url);
    let secrets = s.secret_refs("secrets");
    if !secrets.is_empty()
        && let Err(problem) = secret::signing_keys(&secrets)
    {
        s.problem("secrets", problem);
    }
    url.map(|url| Target::Webhook { url, secrets })
}

/// One reference, to a secret that `read` understands.
fn reference<T>(
    s: &mut Section<'_>,
    key: &str,
    read: impl FnOnce(&SecretRef) -> Result<T, String>,
) -> Option<SecretRef> {
    let mut references = s.secret_refs(key).into_iter();
    let reference = references.next()?;
    if references.next().is_some() {
        s.problem(key, "one reference is expected");
    }
    if let Err(problem) = read(&reference) {
        s.problem(key, problem);
    }
    Some(reference)
}

#[cfg(test)]
mod tests;
