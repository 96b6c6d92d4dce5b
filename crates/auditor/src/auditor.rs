//! Runs, one after the other, and what is said about each.

use core::time::Duration;

use audit::{BookVerdict, Kind, Livemode, Report, Verdict};
use audit_postgres::{AuditStore, AuditStoreError, Audited};
use handle::Handle;
use tokio_util::sync::CancellationToken;

use crate::Metrics;

/// How many transactions a log line names; the record has them all.
const TRANSACTIONS_LOGGED_MAX: usize = 10;

/// Audits the books and tells.
#[derive(Debug)]
pub struct Auditor {
    store: AuditStore,
    metrics: Metrics,
    handle: Handle,
}

impl Auditor {
    /// Of these books.
    pub fn new(store: AuditStore, metrics: Metrics, handle: Handle) -> Self {
        Self { store, metrics, handle }
    }

    /// Runs now, and then at every `every` until the stop; a run that takes longer delays the next and skips none.
    pub async fn run_every(&self, every: Duration, stop: &CancellationToken) {
        let mut due = self.handle.monotonic();
        loop {
            // Both outcomes have been logged and counted; the next run comes whatever this one said.
            drop(self.run_once(Kind::Incremental).await);
            let now = self.handle.monotonic();
            due = due.saturating_add(every).max(now);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.handle.sleep(due.saturating_sub(now)) => {}
            }
        }
    }

    /// One run: recorded by the store, logged and counted here.
    pub async fn run_once(&self, kind: Kind) -> Result<Audited, AuditStoreError> {
        let ended = self.store.run(kind).await;
        match &ended {
            Ok(audited) => {
                self.metrics.concluded(&audited.report, &self.handle);
                let run = audited.recorded.as_ref().ok().map(|run| run.0);
                log(run, &audited.report);
                if let Err(error) = &audited.recorded {
                    tracing::error!(%error, "The audit could not be recorded");
                }
            }
            Err(error) => {
                self.metrics.failed();
                tracing::error!(%error, "The audit failed");
            }
        }
        ended
    }
}

fn log(run: Option<i64>, report: &Report) {
    let snapshot = report.run.snapshot.as_str();
    match report.verdict {
        Verdict::Balanced => {
            let (books, findings) = (report.verdicts.len(), report.findings_total());
            tracing::info!(run, snapshot, books, findings, "Ledger balance verified");
        }
        Verdict::Imbalanced => {
            for line in imbalances(report) {
                let Imbalance { livemode, currency, difference_minor, transactions } = line;
                let livemode = livemode.is_live();
                tracing::error!(
                    difference_minor,
                    currency,
                    livemode,
                    transactions,
                    run,
                    snapshot,
                    "LEDGER IMBALANCE DETECTED!"
                );
            }
        }
    }
}

/// What one log line says.
struct Imbalance<'r> {
    livemode: Livemode,
    /// Absent where nothing is left that could name one.
    currency: Option<&'r str>,
    difference_minor: i64,
    transactions: String,
}

/// One for each imbalanced book; and one for a livemode in which no book can be named.
fn imbalances(report: &Report) -> Vec<Imbalance<'_>> {
    let imbalanced = |book: &&BookVerdict| book.verdict == Verdict::Imbalanced;
    let mut lines: Vec<_> =
        report.verdicts.iter().filter(imbalanced).map(|book| of_book(report, book)).collect();
    for livemode in Livemode::ALL {
        let named = lines.iter().any(|line| line.livemode == livemode);
        if !named && report.verdict_of(livemode) == Verdict::Imbalanced {
            let findings = report.findings.iter().filter(|finding| finding.livemode == livemode);
            let ids = findings.filter_map(|finding| finding.transaction.as_ref()).map(|named| named.id.0);
            lines.push(Imbalance { livemode, currency: None, difference_minor: 0, transactions: list(ids) });
        }
    }
    lines
}

fn of_book<'r>(report: &'r Report, book: &'r BookVerdict) -> Imbalance<'r> {
    let end = if book.difference_minor < 0 { i64::MIN } else { i64::MAX };
    Imbalance {
        livemode: book.livemode,
        currency: Some(book.currency.as_str()),
        // A number in the log, exact unless the books are damaged beyond 64 bits; the record is always exact.
        difference_minor: i64::try_from(book.difference_minor).unwrap_or(end),
        transactions: list(report.transactions_in(book).map(|transaction| transaction.id.0)),
    }
}

fn list(ids: impl Iterator<Item = i64>) -> String {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    match ids.get(..TRANSACTIONS_LOGGED_MAX) {
        Some(first) if ids.len() > first.len() => format!("{}, …", first.join(", ")),
        Some(_) | None => ids.join(", "),
    }
}
