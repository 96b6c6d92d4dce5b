//! The auditor's own table.

use audit::{Kind, Report};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio_postgres::types::{Json, Type};
use tokio_postgres::{Client, Transaction};

use crate::error::{of_driver, unreadable};
use crate::query::{Columns, query};
use crate::read::Horizon;
use crate::{AuditStore, AuditStoreError, RunId};

/// What every row of `audit_run` has.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) snapshot: String,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Timestamp,
}

/// Records a run that came to a verdict.
pub(crate) async fn record(
    client: &Client,
    frame: &Frame,
    report: &Report,
) -> Result<RunId, AuditStoreError> {
    insert(client, frame, report.verdict.as_str(), report).await
}

/// Records a run that did not.
pub(crate) async fn record_failure(
    client: &Client,
    frame: &Frame,
    error: &AuditStoreError,
) -> Result<RunId, AuditStoreError> {
    insert(client, frame, "failed", &json!({ "schema": audit::REPORT_SCHEMA, "error": error.to_string() }))
        .await
}

async fn insert(
    client: &Client,
    frame: &Frame,
    verdict: &str,
    report: &(impl Serialize + core::fmt::Debug + Sync),
) -> Result<RunId, AuditStoreError> {
    let statement = "-- record
INSERT INTO countersign.audit_run (kind, snapshot, started_at, finished_at, verdict, report)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING id";
    let rows = client
        .query_typed(
            statement,
            &[
                (&frame.kind.as_str(), Type::TEXT),
                (&frame.snapshot, Type::TEXT),
                (&frame.started_at, Type::TIMESTAMPTZ),
                (&frame.finished_at, Type::TIMESTAMPTZ),
                (&verdict, Type::TEXT),
                (&Json(report), Type::JSONB),
            ],
        )
        .await
        .map_err(of_driver("record"))?;
    let row = rows.first().ok_or_else(|| unreadable("record"))?;
    row.try_get(0).map(RunId).map_err(of_driver("record"))
}

/// How much a recorded run read, and of what.
pub(crate) async fn recorded(
    transaction: &Transaction<'_>,
    run: RunId,
) -> Result<(Kind, Horizon), AuditStoreError> {
    let statement = "-- recorded
SELECT
  kind,
  snapshot,
  (SELECT max(total) FROM countersign.xid_offset WHERE recorded_at <= audit_run.started_at)
FROM countersign.audit_run
WHERE id = $1";
    let rows =
        transaction.query_typed(statement, &[(&run.0, Type::INT8)]).await.map_err(of_driver("recorded"))?;
    let row = rows.first().ok_or(AuditStoreError::NoSuchRun(run))?;
    let kind: &str = row.try_get(0).map_err(of_driver("recorded"))?;
    let kind = if kind == Kind::Full.as_str() { Kind::Full } else { Kind::Incremental };
    let snapshot = row.try_get(1).map_err(of_driver("recorded"))?;
    let xid_offset: Option<i64> = row.try_get(2).map_err(of_driver("recorded"))?;
    Ok((kind, Horizon::Recorded { snapshot, xid_offset: xid_offset.unwrap_or_default() }))
}

/// A run that ended, as it stands in the books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// Its number.
    pub id: i64,
    /// `incremental` or `full`.
    pub kind: String,
    /// `balanced`, `imbalanced` or `failed`.
    pub verdict: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it had ended.
    pub finished_at: Timestamp,
    /// What it saw.
    pub snapshot: String,
    /// The checkpoint that it stood on; absent: it read everything.
    pub floor: Option<i64>,
    /// How many findings it listed; absent if it failed.
    pub findings: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
}

impl AuditStore {
    /// The newest runs first.
    pub async fn runs(&self, limit: i64) -> Result<Vec<RunSummary>, AuditStoreError> {
        let statement = "-- runs
SELECT
  id,
  kind,
  verdict,
  started_at,
  finished_at,
  snapshot,
  (report ->> 'floor')::BIGINT AS floor,
  jsonb_array_length(report -> 'findings')::BIGINT AS findings,
  report ->> 'error' AS error
FROM countersign.audit_run
ORDER BY id DESC
LIMIT $1";
        let client = self.client().await?;
        let rows = query(&**client, "runs", statement, &[(&limit, Type::INT8)]).await?;
        let summary = |columns: &Columns<'_>| {
            let text = |name| columns.text(name, str::to_owned);
            Ok(RunSummary {
                id: columns.read("id")?,
                kind: text("kind")?,
                verdict: text("verdict")?,
                started_at: columns.read("started_at")?,
                finished_at: columns.read("finished_at")?,
                snapshot: text("snapshot")?,
                floor: columns.read("floor")?,
                findings: columns.read("findings")?,
                error: columns.optional("error", str::to_owned)?,
            })
        };
        rows.iter().map(|row| summary(&Columns { statement: "runs", row })).collect()
    }
}
