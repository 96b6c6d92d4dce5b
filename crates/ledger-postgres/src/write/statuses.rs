//! Rows of `event_status`.

use deadpool_postgres::Transaction;
use ledger::{Reason, TraceId};
use ports::BooksError;

use super::{Inserted, execute};
use crate::plan::{Cause, NewStatus, Plan};

const INSERT_STATUSES: &str = "-- insert_statuses
INSERT INTO countersign.event_status (event_row, rank, status, reason, cause, action_id, trace_id)
SELECT * FROM unnest(
  $1::BIGINT[], $2::INTEGER[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::BIGINT[], $7::TEXT[])
ON CONFLICT (event_row, rank) DO NOTHING";

/// How many went in.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    plan: &Plan<'_>,
    inserted: &Inserted,
) -> Result<usize, BooksError> {
    let statuses: Vec<&NewStatus<'_>> = plan.statuses.values().collect();
    if statuses.is_empty() {
        return Ok(0);
    }
    let event_rows = statuses.iter().map(|new| inserted.event(new.event)).collect::<Result<Vec<i64>, _>>()?;
    let ranks: Vec<i32> = statuses.iter().map(|new| new.rank).collect();
    let words: Vec<&str> = statuses.iter().map(|new| new.status.as_str()).collect();
    let reasons: Vec<Option<&str>> = statuses.iter().map(|new| new.reason.map(Reason::as_str)).collect();
    let causes: Vec<&str> = statuses.iter().map(|new| new.cause.as_str()).collect();
    let (actions, traces): (Vec<Option<i64>>, Vec<Option<&str>>) = statuses
        .iter()
        .map(|new| match new.cause {
            Cause::Delivery(trace_id) => (None, trace_id.map(TraceId::as_str)),
            Cause::Action(id) => (Some(id.0), None),
        })
        .unzip();
    execute(
        transaction,
        INSERT_STATUSES,
        &[&event_rows, &ranks, &words, &reasons, &causes, &actions, &traces],
    )
    .await
}
