//! The route that is always there: the service's own log.

use super::finding::Severity;
use super::notice::{News, Notice};

/// Says it in the log, in the words that are fixed where the books are imbalanced.
pub(super) fn write(notice: &Notice) {
    let finding = &notice.finding;
    let (alert, check, summary) = (&finding.alert, &finding.check, &finding.summary);
    let (key, runbook) = (&notice.dedup_key, &notice.runbook);
    let trace_ids = finding.trace_ids.join(", ");
    let trace_urls: Vec<&str> = notice.trace_urls.values().map(String::as_str).collect();
    let trace_urls = (!trace_urls.is_empty()).then(|| trace_urls.join(" "));
    let height = notice.head.as_ref().map(|head| head.height);
    let digest = notice.head.as_ref().map(|head| head.digest.as_str());
    if notice.news == News::Healed {
        tracing::info!(alert, check, key, summary, "A finding has healed");
    } else if finding.imbalance {
        let difference = finding.difference.as_ref();
        let difference_minor = difference.map(|difference| difference.minor);
        let currency = difference.and_then(|difference| difference.currency.as_deref());
        let difference = difference.map(ToString::to_string);
        tracing::error!(
            difference,
            difference_minor,
            currency,
            alert,
            check,
            key,
            summary,
            trace_ids,
            trace_urls,
            height,
            digest,
            runbook,
            "CRITICAL: Ledger imbalance - manual review required"
        );
    } else {
        macro_rules! stands_open {
            ($level:ident) => {
                tracing::$level!(
                    alert,
                    check,
                    key,
                    summary,
                    trace_ids,
                    trace_urls,
                    height,
                    digest,
                    runbook,
                    "A finding stands open"
                )
            };
        }
        match finding.severity {
            Severity::Critical | Severity::Error => stands_open!(error),
            Severity::Warning => stands_open!(warn),
            Severity::Info => stands_open!(info),
        }
    }
}
