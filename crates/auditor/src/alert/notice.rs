//! What is said to a receiver, whichever: facts in the order of importance, masked and bounded.

use std::collections::BTreeMap;

use jiff::Timestamp;
use runtime::telemetry::TraceUrl;
use serde_json::{Map, Value, json};

use super::finding::{Head, OpenFinding};
use super::key::message_id;
use super::private::presentable;

/// How many traces, and how many further facts, a message names; the finding itself has them all.
const TRACES_MAX: usize = 20;
const DETAILS_MAX: usize = 30;

/// What is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The finding stands.
    Opened,
    /// It still stands.
    Reminder,
    /// It does not stand any more.
    Healed,
}

/// About whom and by whom; the same for every notice of an installation.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    /// Which installation speaks.
    pub(super) source: String,
    /// Where the pages of `deploy/runbooks` can be read, without a slash at the end.
    pub(super) runbook_base_url: String,
    /// Where a trace can be looked at.
    pub(super) trace_url: Option<TraceUrl>,
}

/// What is to be told, under which key, and for which time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Occasion {
    pub(super) news: News,
    pub(super) dedup_key: String,
    /// Since when the alert is open.
    pub(super) opened_at: Timestamp,
    /// How often the receiver has taken something about this finding.
    pub(super) notifications: u32,
    /// Now.
    pub(super) at: Timestamp,
}

/// One message to one receiver. Nothing in it needs hiding any more.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    pub(super) news: News,
    pub(super) source: String,
    pub(super) dedup_key: String,
    /// The same for every attempt at this message.
    pub(super) message_id: String,
    /// When this was so.
    pub(super) at: Timestamp,
    pub(super) runbook: String,
    /// Where the finding's traces can be looked at, by their ids; none where nobody has said where.
    pub(super) trace_urls: BTreeMap<String, String>,
    pub(super) finding: OpenFinding,
    pub(super) head: Option<Head>,
}

impl Notice {
    /// The only way to one: every text passes the mask here, though it did before it was stored. Rows can be edited.
    pub(super) fn new(sender: &Sender, occasion: Occasion, finding: OpenFinding, head: Option<Head>) -> Self {
        let runbook = format!("{}/{}.md", sender.runbook_base_url, presentable(&finding.alert));
        let action = if occasion.news == News::Healed { "resolve" } else { "trigger" };
        let opened_at_us = occasion.opened_at.as_microsecond();
        let message_id = message_id(&occasion.dedup_key, action, opened_at_us, occasion.notifications);
        let finding = masked(finding);
        let traces = finding.trace_ids.iter().filter(|id| is_trace_id(id));
        let trace_urls = traces.filter_map(|id| Some((id.clone(), sender.trace_url.as_ref()?.of(id))));
        Self {
            news: occasion.news,
            source: sender.source.clone(),
            dedup_key: occasion.dedup_key,
            message_id,
            at: occasion.at,
            runbook,
            trace_urls: trace_urls.collect(),
            finding,
            head: head.map(|head| Head { digest: presentable(&head.digest), ..head }),
        }
    }

    /// Everything that is known, for machines; what is not known is left out.
    pub(super) fn facts(&self) -> Map<String, Value> {
        let finding = &self.finding;
        let mut facts = Map::new();
        let mut fact = |name: &str, value: Value| facts.insert(name.to_owned(), value);
        fact("alert", json!(finding.alert));
        fact("check", json!(finding.check));
        fact("finding", json!(finding.key));
        fact("opened_at", json!(finding.opened_at));
        fact("runbook", json!(self.runbook));
        fact("trace_ids", json!(finding.trace_ids));
        if !self.trace_urls.is_empty() {
            fact("trace_urls", json!(self.trace_urls));
        }
        if let Some(difference) = &finding.difference {
            fact("difference_minor", json!(difference.minor));
            fact("livemode", json!(difference.livemode));
            if let Some(currency) = &difference.currency {
                fact("currency", json!(currency));
            }
        }
        if let Some(cause) = &finding.probable_cause {
            fact("probable_cause", json!(cause));
        }
        if let Some(head) = &self.head {
            fact("head", json!({ "height": head.height, "digest": head.digest }));
        }
        if !finding.details.is_empty() {
            fact("details", json!(finding.details));
        }
        facts
    }
}

/// Whether it is one, and not whatever somebody has put in its place: it becomes part of a URL.
fn is_trace_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Nothing in it needs hiding any more, and none of it is endless.
pub(super) fn masked(finding: OpenFinding) -> OpenFinding {
    let details = finding.details.iter().take(DETAILS_MAX);
    OpenFinding {
        key: presentable(&finding.key),
        check: presentable(&finding.check),
        alert: presentable(&finding.alert),
        summary: presentable(&finding.summary),
        probable_cause: finding.probable_cause.as_deref().map(presentable),
        details: details.map(|(name, text)| (presentable(name), presentable(text))).collect(),
        trace_ids: finding.trace_ids.iter().take(TRACES_MAX).map(|id| presentable(id)).collect(),
        difference: finding.difference.map(|mut difference| {
            difference.currency = difference.currency.as_deref().map(presentable);
            difference
        }),
        ..finding
    }
}

/// A notice about a finding that has everything; for the tests of what is made of it.
#[cfg(test)]
pub(super) fn sample(news: News) -> Notice {
    use super::finding::{Difference, Severity};

    let finding = OpenFinding {
        key: "balance/live/USD".to_owned(),
        check: "balance".to_owned(),
        alert: "LedgerImbalance".to_owned(),
        severity: Severity::Critical,
        summary: "Debits and credits of live USD differ by 5.00 <card 4242424242424242>".to_owned(),
        probable_cause: Some("an amount was edited".to_owned()),
        difference: Some(Difference { minor: 500, currency: Some("USD".to_owned()), livemode: true }),
        imbalance: true,
        details: [("transaction".to_owned(), "17".to_owned())].into(),
        trace_ids: vec!["4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), "no?trace".to_owned()],
        opened_at: "2026-11-22T10:00:00Z".parse().unwrap(),
        acknowledged: false,
    };
    let sender = Sender {
        source: "countersign-test".to_owned(),
        runbook_base_url: "https://runbooks.example".to_owned(),
        trace_url: TraceUrl::parse("https://traces.example/{trace_id}?a&b"),
    };
    let occasion = Occasion {
        news,
        dedup_key: "countersign-test/balance/live/USD".to_owned(),
        opened_at: finding.opened_at,
        notifications: 0,
        at: "2026-11-22T10:15:00Z".parse().unwrap(),
    };
    Notice::new(&sender, occasion, finding, Some(Head { height: 41, digest: "ab12".to_owned() }))
}
