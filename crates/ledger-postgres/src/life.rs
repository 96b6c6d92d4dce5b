//! The life of an event: its story, and what the auditor has made of each batch that it was recorded in.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use ledger::TraceId;
use ports::BooksError;
use serde::Serialize;
use tokio_postgres::Row;

use crate::rows::column;
use crate::session::query;
use crate::story::{self, Story};

/// All that happened to some events.
#[derive(Debug, Serialize)]
pub struct Life {
    /// What the books hold of them.
    #[serde(flatten)]
    pub story: Story,
    /// The database transactions in which that was recorded, the first first.
    pub batches: Vec<Batch>,
}

/// A database transaction of the processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Batch {
    /// Its number: everything recorded in it has it.
    pub batch: i64,
    /// When it began.
    pub recorded_at: Timestamp,
    /// How many deliveries it recorded, of whatever events.
    pub deliveries: u64,
    /// The first run of the auditor that saw it and came to a verdict.
    pub audit: Option<AuditSeen>,
    /// The checkpoint that sealed it.
    pub sealed: Option<Sealed>,
}

/// A run of the auditor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditSeen {
    /// Its number.
    pub run: i64,
    /// `incremental` or `full`.
    pub kind: String,
    /// `balanced` or `imbalanced`: of all that it saw.
    pub verdict: String,
    /// When it began.
    pub started_at: Timestamp,
}

/// A checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// Its place in the chain.
    pub height: i64,
    /// Its digest, in hex.
    pub digest: String,
    /// When it was sealed.
    pub sealed_at: Timestamp,
}

// By the index on recorded_at first: a trace is seldom asked for later than the day after.
const OF_TRACE: &str = "-- of_trace
SELECT delivery.id, delivery.event_row, coalesce(event.event_id, delivery.event_id) AS event_id
FROM countersign.delivery
LEFT JOIN countersign.event ON event.id = delivery.event_row
WHERE delivery.trace_id = $1 AND delivery.recorded_at >= now() - make_interval(hours => $2)
ORDER BY delivery.id";

const DAY_H: i32 = 24;
/// Longer than any books are kept.
const EVER_H: i32 = 24 * 366 * 200;

// A run sees what its snapshot shows. Numbers carry the offset that the cluster had when it began; rows of an earlier cluster
// come out below the first number, 3, and were seen by whoever has read the restored database.
const BATCHES: &str = "-- batches
SELECT
  batch.xid, batch.recorded_at,
  (SELECT count(*) FROM countersign.delivery WHERE delivery.xid = batch.xid) AS deliveries,
  run.id AS run, run.kind, run.verdict, run.started_at,
  checkpoint.height, encode(checkpoint.digest, 'hex') AS digest, checkpoint.sealed_at
FROM unnest($1::BIGINT[], $2::TIMESTAMPTZ[]) AS batch (xid, recorded_at)
LEFT JOIN LATERAL (
  SELECT id, kind, verdict, started_at
  FROM countersign.audit_run
  WHERE audit_run.xid > batch.xid AND CASE
    WHEN verdict = 'failed' THEN false
    ELSE pg_visible_in_snapshot(
      greatest(batch.xid - coalesce(
        (SELECT max(total) FROM countersign.xid_offset WHERE xid_offset.recorded_at <= audit_run.started_at), 0), 3)::TEXT::XID8,
      snapshot::PG_SNAPSHOT)
  END
  ORDER BY id
  LIMIT 1) AS run ON true
LEFT JOIN LATERAL (
  SELECT height, digest, sealed_at
  FROM countersign.checkpoint
  WHERE xid_lo <= batch.xid AND batch.xid < xid_hi
  ORDER BY height
  LIMIT 1) AS checkpoint ON true
ORDER BY batch.xid";

/// The lives of these ids, and of these rows of messages that are evidence only.
pub(crate) async fn read(
    transaction: &Transaction<'_>,
    ids: &[String],
    messages: &[i64],
) -> Result<Life, BooksError> {
    let story = story::read(transaction, ids, messages).await?;
    let (numbers, instants): (Vec<i64>, Vec<Timestamp>) = recorded(&story).into_iter().unzip();
    let batches = query(transaction, BATCHES, &[&numbers, &instants]).await?;
    Ok(Life { story, batches: batches.iter().map(batch).collect::<Result<_, _>>()? })
}

pub(crate) async fn of_trace(transaction: &Transaction<'_>, trace_id: &TraceId) -> Result<Life, BooksError> {
    let mut found = query(transaction, OF_TRACE, &[&trace_id.as_str(), &DAY_H]).await?;
    if found.is_empty() {
        found = query(transaction, OF_TRACE, &[&trace_id.as_str(), &EVER_H]).await?;
    }
    let (mut ids, mut messages) = (BTreeSet::new(), Vec::new());
    for row in &found {
        ids.extend(column::<Option<String>>(row, "event_id")?);
        if column::<Option<i64>>(row, "event_row")?.is_none() {
            messages.push(column(row, "id")?);
        }
    }
    read(transaction, &ids.into_iter().collect::<Vec<_>>(), &messages).await
}

/// Every batch of a story, and when it began.
fn recorded(story: &Story) -> BTreeMap<i64, Timestamp> {
    let mut batches = BTreeMap::new();
    let actions = |actions: &[story::ActionRow]| {
        actions
            .iter()
            .filter_map(|action| Some((action.effect.as_ref()?.batch, action.effect.as_ref()?.recorded_at)))
            .collect::<Vec<_>>()
    };
    for event in &story.events {
        batches.insert(event.batch, event.event.recorded_at);
        batches.extend(event.deliveries.iter().map(|delivery| (delivery.batch, delivery.recorded_at)));
        batches.extend(event.statuses.iter().map(|status| (status.batch, status.recorded_at)));
        batches.extend(actions(&event.actions));
    }
    for message in &story.evidence {
        batches.insert(message.batch, message.recorded_at);
        batches.extend(actions(&message.actions));
    }
    batches
}

fn batch(row: &Row) -> Result<Batch, BooksError> {
    let audit = match column::<Option<i64>>(row, "run")? {
        None => None,
        Some(run) => Some(AuditSeen {
            run,
            kind: column(row, "kind")?,
            verdict: column(row, "verdict")?,
            started_at: column(row, "started_at")?,
        }),
    };
    let sealed = match column::<Option<i64>>(row, "height")? {
        None => None,
        Some(height) => {
            Some(Sealed { height, digest: column(row, "digest")?, sealed_at: column(row, "sealed_at")? })
        }
    };
    Ok(Batch {
        batch: column(row, "xid")?,
        recorded_at: column(row, "recorded_at")?,
        deliveries: column::<i64>(row, "deliveries")?.unsigned_abs(),
        audit,
        sealed,
    })
}
