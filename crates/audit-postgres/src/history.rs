//! Everything that is sealed, verified again: in units of some ranges, each unit in a short transaction of its own, two at a
//! time. What is sealed does not change, so no common snapshot is needed, and no memory beyond a unit's checkpoints.

use audit::{
    CheckResult, Checkpoint, ContinuityRows, Height, Limits, LinkRow, RangeFacts, RangeRow, Totals,
    check_continuity,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use crate::error::unreadable;
use crate::query::{Columns, Parameters, query};
use crate::run::snapshot;
use crate::sealed::{facts, rewritten};
use crate::{AuditStore, AuditStoreError, chain};

/// About so many rows are one unit: the database sorts them in its default `work_mem`, or nearly.
const UNIT_ROWS: u64 = 50_000;

/// And at most so many checkpoints.
const UNIT_CHECKPOINTS: usize = 500;

/// Units under way at a time.
const UNITS_AT_ONCE: usize = 2;

/// How far the verification of what is sealed has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Rows verified.
    pub rows: u64,
    /// Of so many.
    pub rows_total: u64,
}

impl Progress {
    fn percent(self) -> u64 {
        self.rows.saturating_mul(100).checked_div(self.rows_total).unwrap_or(100)
    }
}

/// Some consecutive checkpoints: above one height, up to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unit {
    above: Height,
    to: Height,
    checkpoints: usize,
    rows: u64,
}

/// Verifies the chain and every range from where history begins up to `last`.
pub(crate) async fn verify(
    store: &AuditStore,
    last: &Checkpoint,
    limits: &Limits,
    progress: Option<fn(Progress)>,
) -> Result<Vec<CheckResult>, AuditStoreError> {
    let client = store.client().await?;
    let beginning = chain::beginning(&**client).await?;
    let units = units(&**client, beginning, last.height).await?;
    drop(client);
    let rows_total = units.iter().map(|unit| unit.rows).sum();
    let mut rows = 0_u64;
    stream::iter(units)
        .map(|unit| async move { Ok((unit.rows, verify_unit(store, unit, beginning, limits).await?)) })
        .buffered(UNITS_AT_ONCE)
        .inspect_ok(|(done, _)| {
            let before = Progress { rows, rows_total };
            rows = rows.saturating_add(*done);
            let now = Progress { rows, rows_total };
            if let Some(told) = progress.filter(|_| now.percent() > before.percent()) {
                told(now);
            }
        })
        .map_ok(|(_, result)| result)
        .try_collect()
        .await
}

async fn units(
    client: &impl GenericClient,
    beginning: Height,
    last: Height,
) -> Result<Vec<Unit>, AuditStoreError> {
    let statement = "-- units
SELECT height, rows_total FROM countersign.checkpoint WHERE height BETWEEN $1 AND $2 ORDER BY height";
    let parameters: Parameters<'_> = &[(&beginning.0, Type::INT8), (&last.0, Type::INT8)];
    let mut units: Vec<Unit> = Vec::new();
    let mut before = 0_u64;
    for row in &query(client, "units", statement, parameters).await? {
        let columns = Columns { statement: "units", row };
        let height = Height(columns.read("height")?);
        let rows_total = columns.count("rows_total")?;
        let rows = rows_total.saturating_sub(before);
        before = rows_total;
        match units.last_mut() {
            Some(unit)
                if unit.checkpoints < UNIT_CHECKPOINTS && unit.rows.saturating_add(rows) <= UNIT_ROWS =>
            {
                unit.to = height;
                unit.checkpoints = unit.checkpoints.saturating_add(1);
                unit.rows = unit.rows.saturating_add(rows);
            }
            Some(_) | None => {
                let above = units.last().map_or(Height(beginning.0.saturating_sub(1)), |unit| unit.to);
                units.push(Unit { above, to: height, checkpoints: 1, rows });
            }
        }
    }
    Ok(units)
}

async fn verify_unit(
    store: &AuditStore,
    unit: Unit,
    beginning: Height,
    limits: &Limits,
) -> Result<CheckResult, AuditStoreError> {
    let mut client = store.client().await?;
    let transaction = snapshot(&mut client).await?;
    // The one before too: its totals and its digest are what the first one of the unit goes on from.
    let from = if unit.above < beginning { unit.above } else { Height(unit.above.0.saturating_sub(1)) };
    let limit = i64::try_from(unit.checkpoints).unwrap_or(i64::MAX).saturating_add(1);
    let mut checkpoints = chain::above(&transaction, from, limit).await?;
    checkpoints.retain(|checkpoint| checkpoint.height <= unit.to);
    let chain = checkpoints.iter().map(link).collect();
    let before = match checkpoints.first() {
        Some(first) if first.height <= unit.above => Some(checkpoints.remove(0)),
        Some(_) | None => None,
    };
    let ranges = ranges(&transaction, before.as_ref(), checkpoints, &[]).await?.0;
    transaction.commit().await.map_err(|_| unreadable("commit"))?;
    Ok(check_continuity(&ContinuityRows { ranges, chain, ..ContinuityRows::default() }, limits))
}

/// These consecutive checkpoints with what their ranges hold now, and what those after the last one hold that end
/// at each of `ends`.
pub(crate) async fn ranges(
    transaction: &tokio_postgres::Transaction<'_>,
    before: Option<&Checkpoint>,
    checkpoints: Vec<Checkpoint>,
    ends: &[i64],
) -> Result<(Vec<RangeRow>, Vec<RangeFacts>), AuditStoreError> {
    let lo = checkpoints.first().map_or_else(|| before.map_or(0, |before| before.hi), |first| first.lo);
    let ends: Vec<i64> =
        checkpoints.iter().map(|checkpoint| checkpoint.hi).chain(ends.iter().copied()).collect();
    let mut found = facts(transaction, lo, &ends).await?;
    let unsealed = found.split_off(checkpoints.len());
    let mut totals = before.map(|before| before.totals.clone()).unwrap_or_default();
    let mut ranges = Vec::with_capacity(checkpoints.len());
    for (checkpoint, found) in checkpoints.into_iter().zip(found) {
        let next = checkpoint.totals.clone();
        // Whoever begins at the beginning goes on from nothing.
        let before = if checkpoint.lo == 0 { Totals::default() } else { totals };
        let mut range = RangeRow { checkpoint, before, found, rewritten: Vec::new() };
        rewritten(transaction, &mut range).await?;
        ranges.push(range);
        totals = next;
    }
    Ok((ranges, unsealed))
}

fn link(checkpoint: &Checkpoint) -> LinkRow {
    LinkRow {
        height: checkpoint.height,
        lo: checkpoint.lo,
        hi: checkpoint.hi,
        digest: checkpoint.digest,
        previous_digest: checkpoint.previous_digest,
        adopted: checkpoint.adopted.is_some(),
    }
}
