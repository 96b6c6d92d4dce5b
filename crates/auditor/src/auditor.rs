//! Runs, one after the other, and what is said about each.

use core::time::Duration;

use audit::{BookVerdict, Head, Kind, Livemode, Report, Verdict};
use audit_postgres::{AuditStore, AuditStoreError, Audited, HeadFile, Order, Standing};
use handle::{CrashPoint, Handle};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::alert::Alerts;
use crate::{Metrics, Schedule, standing};

/// How many transactions a log line names; the record has them all.
const TRANSACTIONS_LOGGED_MAX: usize = 10;

/// Audits the books and tells.
#[derive(Debug)]
pub struct Auditor {
    /// The books.
    pub store: AuditStore,
    /// What is counted.
    pub metrics: Metrics,
    /// Who is told.
    pub alerts: Alerts,
    /// Where the head is published, if anywhere.
    pub head_file: Option<HeadFile>,
    /// Clock and timers.
    pub handle: Handle,
}

impl Auditor {
    /// Runs now, and then at every `every` until the stop, in full when `full` says so; a run that takes longer delays the
    /// next and skips none.
    pub async fn run_every(&self, every: Duration, full: &Schedule, stop: &CancellationToken) {
        let mut due = self.handle.monotonic();
        let mut full_due = full.next_after(self.handle.now());
        loop {
            let is_full = full_due.is_some_and(|due| self.handle.now() >= due);
            if is_full {
                full_due = full.next_after(self.handle.now());
            }
            // Both outcomes have been logged and counted; the next run comes whatever this one said.
            drop(self.run_once(if is_full { Kind::Full } else { Kind::Incremental }).await);
            let now = self.handle.monotonic();
            due = due.saturating_add(every).max(now);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.handle.sleep(due.saturating_sub(now)) => {}
            }
        }
    }

    /// One run: recorded by the store, logged, counted, published and told here.
    pub async fn run_once(&self, kind: Kind) -> Result<Audited, AuditStoreError> {
        let order = Order { published: self.published(), alone: kind == Kind::Full, ..kind.into() };
        let mut ended = self.store.run(order).await;
        if ended == Err(AuditStoreError::Elsewhere) {
            tracing::info!("Another auditor has begun the full run; this one is incremental");
            ended = self.store.run(Order { kind: Kind::Incremental, alone: false, ..order }).await;
        }
        CrashPoint::AuditorFound.pass();
        match &ended {
            Ok(audited) => self.tell(audited).await,
            Err(error) => {
                self.metrics.failed();
                tracing::error!(%error, "The audit failed");
                self.alerts.cannot_read(error);
            }
        }
        let waiting = if ended.is_ok() { self.store.waiting().await.map(Some) } else { Ok(None) };
        self.metrics.waiting(waiting.unwrap_or_else(|error| {
            tracing::warn!(%error, "What waits cannot be counted");
            None
        }));
        ended
    }

    async fn tell(&self, audited: &Audited) {
        let report = &audited.report;
        self.metrics.concluded(report, &self.handle);
        log(audited.recorded.as_ref().ok().map(|run| run.0), report);
        if let Err(error) = &audited.recorded {
            tracing::error!(%error, "The audit could not be recorded");
        }
        match &audited.standing {
            Ok(standing) => {
                self.publish(report, standing);
                self.alerts.stand(&standing::alerts(standing)).await;
            }
            Err(error) => {
                tracing::error!(%error, "The findings could not be stored");
                let at = Timestamp::from_millisecond(self.handle.now().0).unwrap_or_default();
                self.alerts.raise_directly(standing::unstored(report, at));
                self.alerts.cannot_read(error);
            }
        }
    }

    /// The head that was last published, unless that cannot be read.
    fn published(&self) -> Option<Head> {
        let last = self.head_file.as_ref()?.last();
        last.unwrap_or_else(|error| {
            tracing::error!(%error, "The head of the chain that was published cannot be read");
            None
        })
    }

    /// Publishes the head, unless the chain is not the one that was published: then a person decides.
    fn publish(&self, report: &Report, standing: &Standing) {
        let Some(head) = standing.head else { return };
        if standing.sealed {
            tracing::info!(height = head.height.0, digest = %head.digest, "Checkpoint sealed");
        }
        self.metrics.head(head);
        let disputed = report.findings.iter().any(|finding| finding.key.as_str() == "continuity/head");
        if let (false, Some(file)) = (disputed, &self.head_file)
            && let Err(error) = file.append(standing.as_of, head)
        {
            tracing::error!(%error, "The head of the chain cannot be published");
        }
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
            let findings = report.findings.iter().filter(|found| found.livemode == Some(livemode));
            let findings = findings.filter(|found| found.check.decides_balance());
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
