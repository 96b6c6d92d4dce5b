//! From findings to alerts: one page for each fault, however many findings it makes.
//!
//! An edited amount shows in the balance, in its transaction and in the digest of its range; lost messages come by the
//! hundred. Each is one thing for a person to look at, so findings are put together by what they are about.

use std::collections::{BTreeMap, BTreeSet};

use audit::{Check, Report};
use audit_postgres::StoredFinding;
use jiff::Timestamp;
use serde_json::Value;

use crate::alert::{self, Difference, OpenFinding, Severity};

/// How many ids of a kind an alert names; `countersign findings` has them all.
const NAMED_MAX: usize = 10;

/// The number of what has none; those of the database begin at 1.
const UNSTORED: i64 = 0;

/// What alerts are about, of what stands open.
pub(crate) fn alerts(standing: &audit_postgres::Standing) -> alert::Standing {
    let mut groups: BTreeMap<String, Vec<&StoredFinding>> = BTreeMap::new();
    for finding in &standing.open {
        groups.entry(fault(finding)).or_default().push(finding);
    }
    let head =
        standing.head.map(|head| alert::Head { height: head.height.0, digest: head.digest.to_string() });
    let open = groups.into_iter().filter_map(|(key, findings)| one_alert(key, &findings)).collect();
    alert::Standing { as_of: standing.as_of, open, head }
}

/// What alerts are about, of what a run found and could not store: under the same keys as if it had been.
pub(crate) fn unstored(report: &Report, at: Timestamp) -> Vec<OpenFinding> {
    let found = report.findings.iter().map(|finding| StoredFinding {
        id: UNSTORED,
        key: finding.key.as_str().to_owned(),
        check: finding.check.as_str().to_owned(),
        severity: finding.severity.as_str().to_owned(),
        summary: finding.to_string(),
        // Texts, numbers and maps with text keys: always JSON.
        detail: serde_json::to_value(finding).unwrap_or_default(),
        opened_at: at,
        last_seen_at: at,
        runs: 1,
        resolved_at: None,
        acknowledged: None,
    });
    let open = found.collect();
    alerts(&audit_postgres::Standing { as_of: at, open, head: None, sealed: false }).open
}

/// What a finding is about, for a person: what has the same is one fault.
fn fault(finding: &StoredFinding) -> String {
    let text = |name: &str| finding.detail.get(name).and_then(Value::as_str).unwrap_or("-");
    let livemode = finding.detail.get("livemode").and_then(Value::as_bool);
    let of_history = check(finding).is_some_and(Check::is_of_history);
    match (livemode, finding.check.as_str()) {
        (Some(live), _) if of_history => {
            format!("books/{}/{}", if live { "live" } else { "test" }, text("currency"))
        }
        (_, "completeness") => match first_fault(finding) {
            Some("delivery-missing") => format!("completeness/missing/{}", text("source")),
            Some("instance-silent") => "completeness/silent".to_owned(),
            Some(_) | None => "completeness/windows".to_owned(),
        },
        (_, "backlog" | "clearing" | "rejections") => format!("{}/{}", finding.check, text("source")),
        (_, "guards") => "guards".to_owned(),
        _ => finding.key.clone(),
    }
}

fn check(finding: &StoredFinding) -> Option<Check> {
    Check::ALL.into_iter().find(|check| check.as_str() == finding.check)
}

fn first_fault(finding: &StoredFinding) -> Option<&str> {
    finding.detail.pointer("/faults/0").and_then(Value::as_str)
}

fn one_alert(key: String, findings: &[&StoredFinding]) -> Option<OpenFinding> {
    // The gravest first, and among equals the check that comes first: a total tells more than a digest.
    let rank = |finding: &&&StoredFinding| (severity(finding), check(finding));
    let first = findings.iter().min_by_key(rank)?;
    let leading = check(first)?;
    let more = findings.len().saturating_sub(1);
    let summary =
        if more == 0 { first.summary.clone() } else { format!("{} (and {more} more)", first.summary) };
    Some(OpenFinding {
        key,
        check: first.check.clone(),
        alert: leading.alert().to_owned(),
        severity: severity(first),
        summary,
        probable_cause: text(first, "probable_cause").map(str::to_owned),
        difference: findings.iter().find_map(|finding| difference(finding)),
        imbalance: findings.iter().filter_map(|finding| check(finding)).any(Check::decides_balance),
        details: details(findings),
        trace_ids: named(findings, |finding| text(finding, "trace_id").map(str::to_owned)),
        opened_at: findings.iter().map(|finding| finding.opened_at).min()?,
        acknowledged: findings.iter().all(|finding| finding.acknowledged.is_some()),
    })
}

fn severity(finding: &StoredFinding) -> Severity {
    Severity::ALL
        .into_iter()
        .find(|severity| severity.as_str() == finding.severity)
        .unwrap_or(Severity::Error)
}

fn text<'f>(finding: &'f StoredFinding, name: &str) -> Option<&'f str> {
    finding.detail.get(name).and_then(Value::as_str)
}

fn difference(finding: &StoredFinding) -> Option<Difference> {
    let minor = finding.detail.get("difference_minor")?;
    let saturated = || if minor.as_f64().is_some_and(f64::is_sign_negative) { i64::MIN } else { i64::MAX };
    let minor = minor.as_i64().unwrap_or_else(saturated);
    let livemode = finding.detail.get("livemode")?.as_bool()?;
    let currency = text(finding, "currency").map(str::to_owned);
    (minor != 0).then_some(Difference { minor, currency, livemode })
}

fn details(findings: &[&StoredFinding]) -> BTreeMap<String, String> {
    let joined = |value: fn(&StoredFinding) -> Option<String>| named(findings, value).join(", ");
    let pairs = [
        ("findings", joined(|finding| (finding.id != UNSTORED).then(|| finding.id.to_string()))),
        ("cure", joined(|finding| text(finding, "cure").map(str::to_owned))),
        ("transactions", joined(|finding| finding.detail.pointer("/transaction/id").map(Value::to_string))),
        ("accounts", joined(|finding| text(finding, "account").map(str::to_owned))),
        ("event_ids", joined(|finding| text(finding, "event_id").map(str::to_owned))),
        ("sources", joined(|finding| text(finding, "source").map(str::to_owned))),
        (
            "checkpoints",
            joined(|finding| finding.detail.get("checkpoint")?.as_i64().map(|height| height.to_string())),
        ),
    ];
    pairs
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name.to_owned(), text))
        .collect()
}

/// What the findings have of one kind, each once, the first of them.
fn named(findings: &[&StoredFinding], value: impl Fn(&StoredFinding) -> Option<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let values = findings.iter().filter_map(|finding| value(finding));
    values.filter(|value| seen.insert(value.clone())).take(NAMED_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn finding(id: i64, check: &str, severity: &str, detail: Value) -> StoredFinding {
        StoredFinding {
            id,
            key: format!("{check}/{id}"),
            check: check.to_owned(),
            severity: severity.to_owned(),
            summary: format!("{check} {id}"),
            detail,
            opened_at: Timestamp::from_second(1_000 - id).unwrap(),
            last_seen_at: Timestamp::from_second(2_000).unwrap(),
            runs: 1,
            resolved_at: None,
            acknowledged: None,
        }
    }

    fn of(open: Vec<StoredFinding>) -> Vec<OpenFinding> {
        let as_of = Timestamp::from_second(2_000).unwrap();
        alerts(&audit_postgres::Standing { as_of, open, head: None, sealed: false }).open
    }

    #[test]
    fn an_edited_amount_is_one_page_with_its_difference() {
        let usd = |difference: i64, transaction: Value| {
            json!({
                "livemode": true, "currency": "USD", "difference_minor": difference, "transaction": transaction,
                "probable_cause": "amount-edited", "trace_id": "4bf9", "event_id": "evt_1",
            })
        };
        let found = of(vec![
            finding(3, "continuity", "critical", usd(5, Value::Null)),
            finding(2, "transactions", "critical", usd(5, json!({ "id": 42 }))),
            finding(1, "balance", "critical", usd(5, Value::Null)),
        ]);
        let [alert] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((alert.key.as_str(), alert.alert.as_str()), ("books/live/USD", "LedgerImbalance"));
        assert_eq!((alert.summary.as_str(), alert.imbalance), ("balance 1 (and 2 more)", true));
        assert_eq!(alert.difference.as_ref().unwrap().minor, 5);
        assert_eq!(alert.details["transactions"], "42");
        assert_eq!(alert.trace_ids, ["4bf9"]);
        assert_eq!(alert.opened_at, Timestamp::from_second(997).unwrap());
    }

    #[test]
    fn hundreds_of_lost_messages_of_a_source_are_one_page() {
        let lost = json!({ "faults": ["delivery-missing"], "source": "stripe", "difference_minor": 0 });
        let found = of((1..=200).map(|id| finding(id, "completeness", "critical", lost.clone())).collect());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].key, "completeness/missing/stripe");
        assert_eq!(found[0].details["findings"].split(", ").count(), NAMED_MAX);
        assert_eq!(found[0].difference, None);
    }

    #[test]
    fn different_faults_are_different_pages_and_only_all_acknowledged_is_acknowledged() {
        let of_source = |source: &str| json!({ "source": source });
        let mut one = finding(1, "backlog", "warning", of_source("stripe"));
        one.acknowledged = Some(audit_postgres::Acknowledged {
            at: Timestamp::from_second(1).unwrap(),
            by: "operator".to_owned(),
            reason: "known".to_owned(),
        });
        let found = of(vec![
            one,
            finding(2, "backlog", "warning", of_source("stripe")),
            finding(3, "backlog", "warning", of_source("paypal")),
            finding(4, "guards", "error", json!({})),
        ]);
        let keys: Vec<_> = found.iter().map(|alert| (alert.key.as_str(), alert.acknowledged)).collect();
        assert_eq!(keys, [("backlog/paypal", false), ("backlog/stripe", false), ("guards", false)]);
    }
}
