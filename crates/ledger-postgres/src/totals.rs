//! Control totals and the counts of refusals that come with them.

use std::collections::BTreeSet;

use deadpool_postgres::{Object, Transaction};
use ports::BooksError;
use tokio_postgres::types::ToSql;
use wire::{ControlTotal, Listed, RefusalCount};

use crate::books::begin;
use crate::error::of_driver;
use crate::rows;

const INSERT_TOTAL: &str = "-- insert_total
INSERT INTO countersign.control_total (
  instance, window_number, closed_at, confirmed, final, sequences, sources, event_ids, restated)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (instance, window_number) DO NOTHING";

// The same total, if both tell of it by themselves; else only what the later one repeats can be compared.
const IS_RECORDED: &str = "-- is_recorded
SELECT
  confirmed = $4 AND sequences = $6 AND sources = $7 AND event_ids = $8
    AND (restated OR $9 OR (closed_at = $3 AND final = $5)) AS same
FROM countersign.control_total
WHERE instance = $1 AND window_number = $2";

const INSERT_REFUSALS: &str = "-- insert_refusals
INSERT INTO countersign.refusal_count (instance, window_number, source, reason, minute, count)
SELECT $1, $2, * FROM unnest($3::TEXT[], $4::TEXT[], $5::TIMESTAMPTZ[], $6::BIGINT[])
ON CONFLICT (instance, window_number, source, reason, minute) DO NOTHING";

const ARE_COUNTED: &str = "-- are_counted
SELECT count(*) = cardinality($3) AS same
FROM unnest($3::TEXT[], $4::TEXT[], $5::TIMESTAMPTZ[], $6::BIGINT[]) AS told (source, reason, minute, count)
JOIN countersign.refusal_count AS counted
  ON counted.instance = $1 AND counted.window_number = $2 AND counted.source = told.source
    AND counted.reason = told.reason AND counted.minute = told.minute AND counted.count = told.count";

/// Inserts a total; and after it, from what it repeats, the one before, should that have been lost. Of a total that says
/// something else than is recorded of its windows nothing is recorded: it is refused.
pub(crate) async fn count(client: &mut Object, total: &ControlTotal) -> Result<(), BooksError> {
    let transaction = begin(client).await?;
    let own = Row { total, listed: &total.listed, restated: false };
    insert(&transaction, &own).await?;
    if total.window > 1 {
        let before = Row { listed: &total.previous, restated: true, ..own };
        insert(&transaction, &before).await?;
    }
    insert_refusals(&transaction, total).await?;
    transaction.commit().await.map_err(|error| of_driver(&error))
}

#[derive(Clone, Copy)]
struct Row<'a> {
    /// The total that tells of it: its own, or the next one.
    total: &'a ControlTotal,
    listed: &'a [Listed],
    restated: bool,
}

async fn insert(transaction: &Transaction<'_>, row: &Row<'_>) -> Result<(), BooksError> {
    let Row { total, listed, restated } = *row;
    let instance = total.instance.to_string();
    let (window, confirmed) = if restated {
        let later = u64::try_from(total.listed.len()).unwrap_or(u64::MAX);
        (total.window.saturating_sub(1), total.confirmed.saturating_sub(later))
    } else {
        (total.window, total.confirmed)
    };
    let sequences: Vec<i64> = listed.iter().map(|one| rows::sequence(one.sequence)).collect();
    let sources: Vec<&str> = listed.iter().map(|one| one.source.as_str()).collect();
    let ids: Vec<&str> = listed.iter().map(|one| one.event_id.as_str()).collect();
    let columns: [&(dyn ToSql + Sync); 9] = [
        &instance,
        &number(window)?,
        &rows::instant_nearest(total.closed_at)?,
        &number(confirmed)?,
        &(total.last && !restated),
        &sequences,
        &sources,
        &ids,
        &restated,
    ];
    let inserted = execute(transaction, INSERT_TOTAL, &columns).await?;
    if inserted == 0 { same(transaction, IS_RECORDED, &columns).await } else { Ok(()) }
}

async fn insert_refusals(transaction: &Transaction<'_>, total: &ControlTotal) -> Result<(), BooksError> {
    if total.refusals.is_empty() {
        return Ok(());
    }
    let refusals: BTreeSet<&RefusalCount> = total.refusals.iter().collect();
    let sources: Vec<&str> = refusals.iter().map(|one| one.source.as_str()).collect();
    let reasons: Vec<&str> = refusals.iter().map(|one| one.reason.as_str()).collect();
    let minutes =
        refusals.iter().map(|one| rows::instant_nearest(one.minute)).collect::<Result<Vec<_>, _>>()?;
    let counts = refusals.iter().map(|one| number(one.count)).collect::<Result<Vec<i64>, _>>()?;
    let (instance, window) = (total.instance.to_string(), number(total.window)?);
    let columns: [&(dyn ToSql + Sync); 6] = [&instance, &window, &sources, &reasons, &minutes, &counts];
    let inserted = execute(transaction, INSERT_REFUSALS, &columns).await?;
    if usize::try_from(inserted) == Ok(refusals.len()) {
        return Ok(());
    }
    same(transaction, ARE_COUNTED, &columns).await
}

/// Whether what stands under these names is what is told: else somebody else has taken the window.
async fn same(
    transaction: &Transaction<'_>,
    statement: &'static str,
    columns: &[&(dyn ToSql + Sync)],
) -> Result<(), BooksError> {
    let prepared = transaction.prepare_cached(statement).await.map_err(|error| of_driver(&error))?;
    let row = transaction.query_one(&prepared, columns).await.map_err(|error| of_driver(&error))?;
    if rows::column(&row, "same")? {
        Ok(())
    } else {
        Err(BooksError::Refused("another control total has its window".to_owned()))
    }
}

/// A number as a column holds it.
fn number(number: u64) -> Result<i64, BooksError> {
    number.try_into().map_err(|_| BooksError::Refused("a count is beyond 2^63".to_owned()))
}

async fn execute(
    transaction: &Transaction<'_>,
    statement: &'static str,
    columns: &[&(dyn ToSql + Sync)],
) -> Result<u64, BooksError> {
    let prepared = transaction.prepare_cached(statement).await.map_err(|error| of_driver(&error))?;
    transaction.execute(&prepared, columns).await.map_err(|error| of_driver(&error))
}
