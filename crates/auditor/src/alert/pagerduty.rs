//! PagerDuty, Events API v2: `POST /v2/enqueue`.
//!
//! <https://developer.pagerduty.com/docs/events-api-v2/overview/>: a trigger under a known `dedup_key` joins the alert that is
//! open, a resolve closes it, and one for which nothing is open does nothing. A 202 says accepted; 429 and 5xx are to be
//! tried again, 400 not.

use core::iter;

use serde_json::{Value, json};

use super::notice::{News, Notice};

/// The body; the routing key in it is the secret.
pub(super) fn body(routing_key: &str, notice: &Notice) -> Value {
    if notice.news == News::Healed {
        return json!({
            "routing_key": routing_key,
            "event_action": "resolve",
            "dedup_key": notice.dedup_key,
        });
    }
    let runbook = json!({ "href": notice.runbook, "text": format!("Runbook: {}", notice.finding.alert) });
    let traces =
        notice.trace_urls.iter().map(|(id, url)| json!({ "href": url, "text": format!("Trace {id}") }));
    let links: Vec<Value> = iter::once(runbook).chain(traces).collect();
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": notice.dedup_key,
        "client": "Countersign",
        "payload": {
            "summary": notice.finding.summary,
            "source": notice.source,
            "severity": notice.finding.severity,
            "timestamp": notice.finding.opened_at,
            "component": "auditor",
            "group": notice.finding.check,
            "class": notice.finding.alert,
            "custom_details": notice.facts(),
        },
        "links": links,
    })
}

#[cfg(test)]
mod tests {
    use super::super::notice::sample;
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_trigger_carries_severity_runbook_links_to_traces_and_head_and_no_card_number() {
        let trigger = json!({
            "routing_key": KEY,
            "event_action": "trigger",
            "dedup_key": "countersign-test/balance/live/USD",
            "client": "Countersign",
            "payload": {
                "summary": "Debits and credits of live USD differ by 5.00 <card [masked]>",
                "source": "countersign-test",
                "severity": "critical",
                "timestamp": "2026-11-22T10:00:00Z",
                "component": "auditor",
                "group": "balance",
                "class": "LedgerImbalance",
                "custom_details": {
                    "alert": "LedgerImbalance",
                    "check": "balance",
                    "currency": "USD",
                    "details": { "transaction": "17" },
                    "difference_minor": 500,
                    "finding": "balance/live/USD",
                    "head": { "height": 41, "digest": "ab12" },
                    "livemode": true,
                    "opened_at": "2026-11-22T10:00:00Z",
                    "probable_cause": "an amount was edited",
                    "runbook": "https://runbooks.example/LedgerImbalance.md",
                    "trace_ids": ["4bf92f3577b34da6a3ce929d0e0e4736", "no?trace"],
                    "trace_urls": {
                        "4bf92f3577b34da6a3ce929d0e0e4736":
                            "https://traces.example/4bf92f3577b34da6a3ce929d0e0e4736?a&b",
                    },
                },
            },
            "links": [
                {
                    "href": "https://runbooks.example/LedgerImbalance.md",
                    "text": "Runbook: LedgerImbalance",
                },
                {
                    "href": "https://traces.example/4bf92f3577b34da6a3ce929d0e0e4736?a&b",
                    "text": "Trace 4bf92f3577b34da6a3ce929d0e0e4736",
                },
            ],
        });
        assert_eq!(body(KEY, &sample(News::Opened)), trigger);
        assert_eq!(body(KEY, &sample(News::Reminder)), trigger);
    }

    #[test]
    fn a_resolve_names_the_key_and_nothing_else() {
        let resolve = json!({
            "routing_key": KEY,
            "event_action": "resolve",
            "dedup_key": "countersign-test/balance/live/USD",
        });
        assert_eq!(body(KEY, &sample(News::Healed)), resolve);
    }
}
