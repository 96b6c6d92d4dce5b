//! Slack, incoming webhook: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.
//!
//! `text` is for notifications, `blocks` for the channel. In both `&`, `<` and `>` are escaped, and a link is `<url|text>`.
//! Slack knows no key of an alert: a message whose answer was lost is sent again and stands there twice.

use core::iter;

use serde_json::{Value, json};

use super::finding::OpenFinding;
use super::notice::{News, Notice};

/// What a section takes.
const SECTION_CHARS_MAX: usize = 3_000;

/// How many traces are shown.
const TRACES_MAX: usize = 5;

/// The body.
pub(super) fn body(notice: &Notice) -> Value {
    let title = title(notice);
    let section: String = format!("*{title}*\n{}", lines(notice)).chars().take(SECTION_CHARS_MAX).collect();
    json!({
        "text": title,
        "blocks": [
            { "type": "section", "text": { "type": "mrkdwn", "text": section } },
            { "type": "context", "elements": [{ "type": "mrkdwn", "text": escaped(&origin(notice)) }] },
        ],
    })
}

fn title(notice: &Notice) -> String {
    let OpenFinding { severity, alert, summary, .. } = &notice.finding;
    let urgency = severity.as_str().to_uppercase();
    escaped(&match notice.news {
        News::Opened => format!("{urgency} {alert}: {summary}"),
        News::Reminder => format!("Still open: {urgency} {alert}: {summary}"),
        News::Healed => format!("Healed: {alert}: {summary}"),
    })
}

fn lines(notice: &Notice) -> String {
    let finding = &notice.finding;
    let mut lines = Vec::new();
    let mut line = |name: &str, text: &str| lines.push(format!("{name}: {}", escaped(text)));
    if let Some(difference) = &finding.difference {
        line("Difference", &difference.to_string());
    }
    if let Some(cause) = &finding.probable_cause {
        line("Probable cause", cause);
    }
    for (name, text) in &finding.details {
        line(&escaped(name), text);
    }
    if let Some(head) = &notice.head {
        line("Head", &format!("{} {}", head.height, head.digest));
    }
    // First, so that they are not what a long message loses.
    let traces: Vec<String> = finding.trace_ids.iter().take(TRACES_MAX).map(|id| trace(notice, id)).collect();
    let traces = (!traces.is_empty()).then(|| format!("Traces: {}", traces.join(", ")));
    lines.splice(0..0, iter::once(format!("<{}|Runbook>", escaped(&notice.runbook))).chain(traces));
    lines.join("\n")
}

fn trace(notice: &Notice, id: &str) -> String {
    match notice.trace_urls.get(id) {
        Some(url) => format!("<{}|{id}>", escaped(url)),
        None => escaped(id),
    }
}

fn origin(notice: &Notice) -> String {
    let OpenFinding { check, opened_at, key, .. } = &notice.finding;
    format!("{} | check {check} | open since {opened_at} | {key}", notice.source)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::notice::sample;
    use super::*;

    #[test]
    fn a_message_names_urgency_difference_runbook_traces_and_head() {
        let title =
            "CRITICAL LedgerImbalance: Debits and credits of live USD differ by 5.00 &lt;card [masked]&gt;";
        let section = format!(
            "*{title}*\n<https://runbooks.example/LedgerImbalance.md|Runbook>\nTraces: \
             <https://traces.example/4bf92f3577b34da6a3ce929d0e0e4736?a&amp;b|4bf92f3577b34da6a3ce929d0e0e4736>, \
             no?trace\nDifference: 5.00 USD live\nProbable cause: an amount was edited\ntransaction: 17\n\
             Head: 41 ab12"
        );
        let context = "countersign-test | check balance | open since 2026-11-22T10:00:00Z | balance/live/USD";
        let expected = json!({
            "text": title,
            "blocks": [
                { "type": "section", "text": { "type": "mrkdwn", "text": section } },
                { "type": "context", "elements": [{ "type": "mrkdwn", "text": context }] },
            ],
        });
        assert_eq!(body(&sample(News::Opened)), expected);
    }

    #[test]
    fn reminders_and_what_has_healed_say_so_first() {
        for (news, start) in
            [(News::Reminder, "Still open: CRITICAL LedgerImbalance: "), (News::Healed, "Healed: Ledger")]
        {
            assert!(body(&sample(news))["text"].as_str().unwrap().starts_with(start));
        }
    }
}
