//! A run: every check in one snapshot, its record, its findings, and the checkpoint that it seals.

use std::collections::BTreeMap;

use audit::{
    Check, CheckResult, Checkpoint, ContinuityRows, Digest, Head, Height, HorizonRow, Instant, Kind,
    PublishedRow, RangeFacts, Report, Run, Snapshot, TotalRow, check_backlog, check_balance, check_clearing,
    check_completeness, check_continuity, check_coverage, check_guards, check_provider_balance,
    check_rejections, check_silence, check_transactions,
};
use futures_util::future::try_join;
use handle::CrashPoint;
use jiff::Timestamp;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, IsolationLevel, Transaction};

use crate::error::of_driver;
use crate::findings::{StoredFinding, disputes_history};
use crate::query::{Columns, query, query_one};
use crate::read::{Horizon, suspects, totals};
use crate::record::{Frame, record, record_failure, recorded};
use crate::schema::check_schema;
use crate::sealed::cuts;
use crate::{AuditStore, AuditStoreError, Progress, RunId, chain, facts, findings, history, money};

/// A run seals at most so many checkpoints: what is left is sealed by the next.
const CHECKPOINTS_PER_RUN: usize = 1_000;

/// So many of them at a time, each lot in a short transaction of its own.
const CHECKPOINTS_AT_ONCE: usize = 50;

/// How many links of the chain an incremental run looks at.
const LINKS: i64 = 1_000;

/// Any number that nobody else in the database locks: a full run is under way.
const FULL_RUN_LOCK: i64 = 0x0061_7564_6974;

/// And another: findings are being put down.
const SETTLING_LOCK: i64 = 0x0066_696e_6469_6e67;

/// What a run is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// How much it reads.
    pub kind: Kind,
    /// The head that was last published outside, to be compared with the chain.
    pub published: Option<Head>,
    /// Not while another auditor begins such a run: then it is left to that one.
    pub alone: bool,
    /// Whom to tell how far the verification of what is sealed has come.
    pub progress: Option<fn(Progress)>,
}

impl From<Kind> for Order {
    fn from(kind: Kind) -> Self {
        Self { kind, published: None, alone: false, progress: None }
    }
}

/// A run that came to a verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Audited {
    /// Under which number it stands in `audit_run`; a verdict that could not be recorded is one all the same.
    pub recorded: Result<RunId, AuditStoreError>,
    /// What it found.
    pub report: Report,
    /// What stands open after it, whoever found it.
    pub standing: Result<Standing, AuditStoreError>,
}

/// What is known after a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The database's clock, just before the findings were read.
    pub as_of: Timestamp,
    /// Every open finding, oldest first.
    pub open: Vec<StoredFinding>,
    /// The head of the chain.
    pub head: Option<Head>,
    /// Whether this run added a checkpoint.
    pub sealed: bool,
}

/// What a run reads and stands on.
struct Scope {
    last: Option<Checkpoint>,
    /// Absent: everything is read.
    floor: Option<Checkpoint>,
    xmin: i64,
    /// Where the next checkpoints end; none where there is nothing to seal.
    ends: Vec<i64>,
}

impl Scope {
    /// The first transaction number that is read.
    fn lo(&self) -> i64 {
        self.floor.as_ref().map_or(0, |floor| floor.hi)
    }

    fn horizon(&self) -> Horizon {
        self.floor.as_ref().map_or(Horizon::Now, |floor| Horizon::Tail(floor.hi))
    }
}

/// What the snapshot gave.
struct Examined {
    totals: Vec<TotalRow>,
    results: Vec<(Check, CheckResult)>,
    /// What the first lot of the next checkpoints seals.
    unsealed: Vec<RangeFacts>,
}

impl AuditStore {
    /// Runs every check, records the verdict and the findings, and seals what is new if nothing of history is in dispute. A
    /// run that fails halfway is recorded as that if it can.
    pub async fn run(&self, order: impl Into<Order>) -> Result<Audited, AuditStoreError> {
        let order: Order = order.into();
        let mut client = self.client().await?;
        check_schema(&client).await?;
        let transaction = snapshot(&mut client).await?;
        if order.alone && !lock(&transaction).await? {
            return Err(AuditStoreError::Elsewhere);
        }
        let mut frame = frame(&transaction, order.kind).await?;
        let (scope, examined) = match self.examine(transaction, &order).await {
            Ok(examined) => examined,
            Err(error) => {
                // What counts is the first error; that even the record failed is no news. This connection may be busy still.
                if let Ok(client) = self.client().await {
                    drop(record_failure(&client, &frame, &error).await);
                }
                return Err(error);
            }
        };
        frame.finished_at = findings::now(&**client).await.unwrap_or(frame.started_at);
        let report = Report::new(run(&frame, scope.floor.as_ref()), &examined.totals, examined.results);
        CrashPoint::AuditorConcluded.pass();
        let recorded = record(&client, &frame, &report).await;
        CrashPoint::AuditorRecorded.pass();
        let standing = self.conclude(&mut client, &frame, &report, &scope, examined.unsealed).await;
        Ok(Audited { recorded, report, standing })
    }

    /// What the snapshot shows, and meanwhile, if the run reads everything, what is sealed. The snapshot ends with the checks:
    /// verifying may take longer than a transaction may idle.
    async fn examine(
        &self,
        transaction: Transaction<'_>,
        order: &Order,
    ) -> Result<(Scope, Examined), AuditStoreError> {
        let scope = self.scope(&transaction, order.kind).await?;
        let snapshot = async {
            let examined = self.examine_snapshot(&transaction, order, &scope).await?;
            transaction.commit().await.map_err(of_driver("commit"))?;
            Ok(examined)
        };
        let (mut examined, verified) = try_join(snapshot, self.examine_sealed(order, &scope)).await?;
        let continuity = examined.results.iter_mut().find(|(check, _)| *check == Check::Continuity);
        if let Some((_, result)) = continuity {
            let first = core::mem::replace(result, CheckResult::Passed);
            *result = CheckResult::all(core::iter::once(first).chain(verified));
        }
        Ok((scope, examined))
    }

    /// Every check, one query and one pure function each. The compiler asks for both when a check is added.
    async fn examine_snapshot(
        &self,
        transaction: &Transaction<'_>,
        order: &Order,
        scope: &Scope,
    ) -> Result<Examined, AuditStoreError> {
        let limits = &self.limits;
        let (horizon, lo) = (scope.horizon(), scope.lo());
        let totals = with_sealed(scope.floor.as_ref(), totals(transaction, &horizon).await?);
        let (mut results, mut unsealed) = (Vec::with_capacity(Check::ALL.len()), Vec::new());
        for check in Check::ALL {
            let result = match check {
                Check::Balance => check_balance(&totals),
                Check::Transactions => check_transactions(&suspects(transaction, &horizon).await?),
                Check::Continuity => {
                    let (rows, facts) = continuity(transaction, scope, order.published).await?;
                    unsealed = facts;
                    check_continuity(&rows, limits)
                }
                Check::Completeness => {
                    let everything = order.kind == Kind::Full;
                    check_completeness(&facts::completeness(transaction, everything, limits).await?, limits)
                }
                Check::Coverage => check_coverage(&facts::coverage(transaction, lo).await?),
                Check::Backlog => check_backlog(&facts::backlog(transaction, limits).await?, limits),
                Check::Clearing => {
                    let everything = order.kind == Kind::Full;
                    let (rows, left_out) = money::clearing(transaction, everything, limits).await?;
                    check_clearing(&rows, left_out, limits)
                }
                Check::ProviderBalance => {
                    let everything = order.kind == Kind::Full;
                    check_provider_balance(&money::provider_balances(transaction, everything).await?)
                }
                Check::Rejections => check_rejections(&facts::rejections(transaction, limits).await?, limits),
                Check::Guards => check_guards(&facts::guards(transaction).await?),
                Check::Silence => check_silence(&facts::silence(transaction, lo).await?, limits),
            };
            results.push((check, result));
        }
        Ok(Examined { totals, results, unsealed })
    }

    /// What is sealed, verified, if the run reads everything.
    async fn examine_sealed(
        &self,
        order: &Order,
        scope: &Scope,
    ) -> Result<Vec<CheckResult>, AuditStoreError> {
        match (&scope.floor, &scope.last) {
            (None, Some(last)) => history::verify(self, last, &self.limits, order.progress).await,
            (Some(_), _) | (None, None) => Ok(Vec::new()),
        }
    }

    async fn scope(&self, transaction: &Transaction<'_>, kind: Kind) -> Result<Scope, AuditStoreError> {
        let last = chain::last(transaction).await?;
        let xmin = xmin(transaction).await?;
        let sealed = last.as_ref().map_or(0, |last| last.hi);
        let (mut ends, rows) = if sealed < xmin {
            cuts(transaction, (sealed, xmin), self.seal_max).await?
        } else {
            (Vec::new(), 0)
        };
        // More than there was: row by row that is not cheaper than to read it all.
        let bulk = ends.len() > 1 && last.as_ref().is_none_or(|last| rows > last.rows_total);
        ends.truncate(CHECKPOINTS_PER_RUN);
        let everything =
            kind == Kind::Full || sealed > xmin || bulk || findings::ask_for_everything(transaction).await?;
        let floor = match &last {
            Some(last) if !everything => chain::floor(transaction, last, self.tail_rows).await?,
            Some(_) | None => None,
        };
        Ok(Scope { last, floor, xmin, ends })
    }

    /// Puts the findings down, and seals if none of them is about history.
    async fn conclude(
        &self,
        client: &mut Client,
        frame: &Frame,
        report: &Report,
        scope: &Scope,
        unsealed: Vec<RangeFacts>,
    ) -> Result<Standing, AuditStoreError> {
        let transaction = client.transaction().await.map_err(of_driver("begin"))?;
        // One auditor after the other, so that none waits for another in a circle; it takes milliseconds.
        let one_by_one = "-- one_by_one\nSELECT pg_advisory_xact_lock($1)";
        query(&transaction, "one_by_one", one_by_one, &[(&SETTLING_LOCK, Type::INT8)]).await?;
        findings::settle(&transaction, frame, report, scope.floor.is_none()).await?;
        let full = frame.kind == Kind::Full;
        findings::mark(&transaction, frame, report, &self.limits, scope.lo(), full).await?;
        let as_of = findings::now(&transaction).await?;
        let open = findings::open(&transaction).await?;
        transaction.commit().await.map_err(of_driver("commit"))?;

        let disputed = open.iter().any(disputes_history) || report_disputes(report, &open);
        if disputed || scope.ends.is_empty() {
            return Ok(Standing { as_of, open, head: scope.last.as_ref().map(chain::head), sealed: false });
        }
        let sealed = seal(client, scope, unsealed).await?;
        let head = chain::last(client).await?.as_ref().map(chain::head);
        Ok(Standing { as_of, open, head, sealed })
    }

    /// Runs `balance` and `transactions` again on what a recorded run saw, and records nothing: what stands in the books
    /// cannot change, so where the report differs, somebody changed it.
    pub async fn repeat(&self, run_id: RunId) -> Result<Report, AuditStoreError> {
        let mut client = self.client().await?;
        check_schema(&client).await?;
        let transaction = snapshot(&mut client).await?;
        let (kind, horizon) = recorded(&transaction, run_id).await?;
        let mut frame = frame(&transaction, kind).await?;
        if let Horizon::Recorded { snapshot, .. } = &horizon {
            frame.snapshot.clone_from(snapshot);
        }
        let totals = totals(&transaction, &horizon).await?;
        let results = vec![
            (Check::Balance, check_balance(&totals)),
            (Check::Transactions, check_transactions(&suspects(&transaction, &horizon).await?)),
        ];
        frame.finished_at = findings::now(&transaction).await?;
        transaction.commit().await.map_err(of_driver("commit"))?;
        Ok(Report::new(run(&frame, None), &totals, results))
    }

    /// Declares what stands in the books now to be the history, for this reason: seals it anew from the beginning, after
    /// carrying on transaction numbers that have started again. Answers the new head.
    pub async fn adopt(&self, reason: &str) -> Result<Head, AuditStoreError> {
        let mut client = self.client().await?;
        check_schema(&client).await?;
        query(&**client, "carry_on", "-- carry_on\nSELECT countersign.carry_on_xids()", &[]).await?;
        let transaction = snapshot(&mut client).await?;
        let last = chain::last(&transaction).await?;
        let hi = xmin(&transaction).await?;
        let (_, mut all) = history::ranges(&transaction, None, Vec::new(), &[hi]).await?;
        transaction.commit().await.map_err(of_driver("commit"))?;
        let checkpoint = Checkpoint::adopt(last.as_ref(), hi, all.pop().unwrap_or_default(), reason);
        if chain::insert(&**client, &checkpoint).await? {
            Ok(chain::head(&checkpoint))
        } else {
            Err(AuditStoreError::Elsewhere)
        }
    }
}

/// Seals what the run has looked at, as checkpoints, until another auditor is found to do so. What lies beyond the first lot is
/// read now: below the snapshot's xmin it is what it was. Says whether there is a new one.
async fn seal(
    client: &mut Client,
    scope: &Scope,
    unsealed: Vec<RangeFacts>,
) -> Result<bool, AuditStoreError> {
    let (mut last, mut first, mut sealed) = (scope.last.clone(), Some(unsealed), false);
    for ends in scope.ends.chunks(CHECKPOINTS_AT_ONCE) {
        let lot = match first.take() {
            Some(lot) => lot,
            None => {
                let transaction = snapshot(client).await?;
                let (_, lot) = history::ranges(&transaction, last.as_ref(), Vec::new(), ends).await?;
                transaction.commit().await.map_err(of_driver("commit"))?;
                lot
            }
        };
        let transaction = client.transaction().await.map_err(of_driver("begin"))?;
        let mut elsewhere = false;
        for (hi, facts) in ends.iter().zip(lot).filter(|(_, facts)| facts.rows() > 0) {
            let checkpoint = Checkpoint::seal(last.as_ref(), *hi, facts);
            elsewhere = !chain::insert(&transaction, &checkpoint).await?;
            if elsewhere {
                break;
            }
            (last, sealed) = (Some(checkpoint), true);
        }
        transaction.commit().await.map_err(of_driver("commit"))?;
        if elsewhere {
            break;
        }
    }
    Ok(sealed)
}

/// Findings that were left out of the list may be of history too.
fn report_disputes(report: &Report, open: &[StoredFinding]) -> bool {
    let acknowledged = |key: &str| open.iter().any(|f| f.key == key && f.acknowledged.is_some());
    let left_out = report.checks.iter().any(|check| check.check.is_of_history() && check.left_out > 0);
    left_out
        || report.findings.iter().any(|finding| {
            let key = finding.key.as_str();
            finding.check.is_of_history() && key != "continuity/horizon" && !acknowledged(key)
        })
}

fn run(frame: &Frame, floor: Option<&Checkpoint>) -> Run {
    Run {
        kind: frame.kind,
        snapshot: Snapshot::new(&*frame.snapshot),
        floor: floor.map(|floor| floor.height),
        started_at: Instant::new(frame.started_at.to_string()),
        finished_at: Instant::new(frame.finished_at.to_string()),
    }
}

/// What is sealed up to the floor and what was read above it, by livemode and currency.
fn with_sealed(floor: Option<&Checkpoint>, read: Vec<TotalRow>) -> Vec<TotalRow> {
    let Some(floor) = floor else { return read };
    let mut books: BTreeMap<_, (i128, i128)> = BTreeMap::new();
    for ((livemode, currency, _), sums) in &floor.totals.0 {
        let (debits, credits) = books.entry((*livemode, currency.clone())).or_default();
        *debits = debits.saturating_add(sums.debits_minor);
        *credits = credits.saturating_add(sums.credits_minor);
    }
    for total in read {
        let (debits, credits) = books.entry((total.livemode, total.currency)).or_default();
        *debits = debits.saturating_add(total.debits_minor);
        *credits = credits.saturating_add(total.credits_minor);
    }
    let row = |((livemode, currency), (debits_minor, credits_minor))| TotalRow {
        livemode,
        currency,
        debits_minor,
        credits_minor,
    };
    books.into_iter().map(row).collect()
}

/// What is known of history within the snapshot: the ranges above the floor and the chain, unless everything is verified
/// anyway; the head; the horizon; and what the next checkpoints would seal.
async fn continuity(
    transaction: &Transaction<'_>,
    scope: &Scope,
    published: Option<Head>,
) -> Result<(ContinuityRows, Vec<RangeFacts>), AuditStoreError> {
    let (before, above, chain) = match &scope.floor {
        Some(floor) => {
            let above = chain::above(transaction, floor.height, i64::MAX).await?;
            let from = chain::beginning(transaction).await?;
            (Some(floor), above, chain::links(transaction, from, LINKS).await?)
        }
        None => (scope.last.as_ref(), Vec::new(), Vec::new()),
    };
    let ends = scope.ends.chunks(CHECKPOINTS_AT_ONCE).next().unwrap_or_default();
    let (ranges, unsealed) = history::ranges(transaction, before, above, ends).await?;
    let height = scope.last.as_ref().map_or(Height(0), |last| last.height);
    let published = match published {
        Some(head) => {
            let found: Option<Digest> = chain::digest_at(transaction, head.height).await?;
            Some(PublishedRow { head, found, height })
        }
        None => None,
    };
    let horizon = HorizonRow {
        sealed: scope.last.as_ref().map(|last| last.hi),
        xmin: scope.xmin,
        oldest_above: oldest_above(transaction, scope.xmin).await?,
    };
    Ok((ContinuityRows { ranges, chain, published, horizon }, unsealed))
}

pub(crate) async fn snapshot(client: &mut Client) -> Result<Transaction<'_>, AuditStoreError> {
    let begin = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let transaction = begin.start().await.map_err(of_driver("begin"))?;
    // In large books the planner expects more of the tail than there is, and compiling takes five times as long as reading.
    transaction.batch_execute("SET LOCAL jit = off").await.map_err(of_driver("begin"))?;
    Ok(transaction)
}

async fn lock(transaction: &Transaction<'_>) -> Result<bool, AuditStoreError> {
    let statement = "-- lock\nSELECT pg_try_advisory_xact_lock($1)";
    let row = query_one(transaction, "lock", statement, &[(&FULL_RUN_LOCK, Type::INT8)]).await?;
    row.try_get(0).map_err(of_driver("lock"))
}

/// The first statement of a run: it fixes the snapshot.
async fn frame(transaction: &Transaction<'_>, kind: Kind) -> Result<Frame, AuditStoreError> {
    let statement = "-- frame\nSELECT pg_current_snapshot()::TEXT, clock_timestamp()";
    let row = query_one(transaction, "frame", statement, &[]).await?;
    let snapshot = row.try_get(0).map_err(of_driver("frame"))?;
    let started_at = row.try_get(1).map_err(of_driver("frame"))?;
    Ok(Frame { kind, snapshot, started_at, finished_at: started_at })
}

/// The oldest transaction under way, as numbers are stored: whatever lies below has ended and is seen.
pub(crate) async fn xmin(transaction: &Transaction<'_>) -> Result<i64, AuditStoreError> {
    let statement = "-- xmin
SELECT pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT + countersign.xid_offset()";
    let row = query_one(transaction, "xmin", statement, &[]).await?;
    row.try_get(0).map_err(of_driver("xmin"))
}

async fn oldest_above(
    transaction: &Transaction<'_>,
    xmin: i64,
) -> Result<Option<(Instant, i64)>, AuditStoreError> {
    let statement = "-- oldest_above
SELECT at, extract(EPOCH FROM now() - at)::BIGINT AS age_s
FROM (
  SELECT least(
    (SELECT min(recorded_at) FROM countersign.transaction WHERE xid >= $1),
    (SELECT min(recorded_at) FROM countersign.delivery WHERE xid >= $1)) AS at
) AS oldest
WHERE at IS NOT NULL";
    let rows = query(transaction, "oldest_above", statement, &[(&xmin, Type::INT8)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let columns = Columns { statement: "oldest_above", row };
    Ok(Some((columns.instant("at")?, columns.read("age_s")?)))
}
