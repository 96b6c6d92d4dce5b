//! The findings of all runs: one row from when a run first sees one until a run sees that it has healed.

use audit::{Check, Finding, Limits, Report};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Row};

use crate::error::{of_driver, unreadable};
use crate::query::{Columns, Parameters, query, query_one};
use crate::record::Frame;
use crate::{AuditStore, AuditStoreError};

/// What every statement here returns.
const COLUMNS: &str = "id, key, check_name, severity, summary, detail, opened_at, last_seen_at, runs, resolved_at, \
                       acknowledged_at, acknowledged_by, acknowledge_reason";

/// Findings of continuity that every run looks for, whatever it stands on.
const ALWAYS_SOUGHT: [&str; 3] = ["continuity/head", "continuity/horizon", "continuity/foreign-history"];

/// A finding as it stands in the books.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredFinding {
    /// Its number, for people.
    pub id: i64,
    /// What it is about: the same in every run.
    pub key: String,
    /// Whose it is.
    pub check: String,
    /// PagerDuty's word.
    pub severity: String,
    /// In one line.
    pub summary: String,
    /// In full: the `Finding` of the last run that saw it.
    pub detail: Value,
    /// When a run first saw it.
    pub opened_at: Timestamp,
    /// When a run last saw it.
    pub last_seen_at: Timestamp,
    /// How many runs have.
    pub runs: i64,
    /// When a run saw that it has healed.
    pub resolved_at: Option<Timestamp>,
    /// Who has taken note of it.
    pub acknowledged: Option<Acknowledged>,
}

/// That a person has taken note of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Acknowledged {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What the person says.
    pub reason: String,
}

/// Whether a finding means that history is in dispute: nothing is sealed and everything is read while it is open.
pub(crate) fn disputes_history(finding: &StoredFinding) -> bool {
    let of_history = Check::ALL.iter().any(|check| check.as_str() == finding.check && check.is_of_history());
    of_history && finding.acknowledged.is_none() && finding.key != "continuity/horizon"
}

/// Whether any open finding asks for a run that reads everything.
pub(crate) async fn ask_for_everything(client: &impl GenericClient) -> Result<bool, AuditStoreError> {
    let open = open(client).await?;
    let damaged = |finding: &&StoredFinding| !ALWAYS_SOUGHT.contains(&finding.key.as_str());
    Ok(open.iter().filter(|finding| disputes_history(finding)).any(|finding| damaged(&finding)))
}

/// All that are open, oldest first.
pub(crate) async fn open(client: &impl GenericClient) -> Result<Vec<StoredFinding>, AuditStoreError> {
    let statement = format!(
        "-- open\nSELECT {COLUMNS} FROM countersign.finding WHERE resolved_at IS NULL ORDER BY opened_at, id"
    );
    query(client, "open", &statement, &[]).await?.iter().map(stored).collect()
}

/// Puts down what a run found: new findings are opened, known ones seen again, and those resolved that the run looked for
/// and did not find. `everything`: it read everything, sealed or not.
pub(crate) async fn settle(
    client: &impl GenericClient,
    frame: &Frame,
    report: &Report,
    everything: bool,
) -> Result<(), AuditStoreError> {
    const SEEN: &str = "-- seen
INSERT INTO countersign.finding (key, check_name, severity, summary, detail)
SELECT key, check_name, severity, summary, detail::JSONB
FROM unnest($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[]) AS seen (key, check_name, severity, summary, detail)
ON CONFLICT (key) WHERE resolved_at IS NULL DO UPDATE SET
  severity = EXCLUDED.severity,
  summary = EXCLUDED.summary,
  detail = EXCLUDED.detail,
  last_seen_at = clock_timestamp(),
  runs = finding.runs + 1";
    // What somebody has taken note of is another finding once it is another difference.
    const OUTGROWN: &str = "-- outgrown
UPDATE countersign.finding
SET resolved_at = clock_timestamp()
FROM unnest($1::TEXT[], $2::TEXT[]) AS seen (key, detail)
WHERE finding.key = seen.key
  AND resolved_at IS NULL
  AND acknowledged_at IS NOT NULL
  AND finding.detail -> 'difference_minor' IS DISTINCT FROM seen.detail::JSONB -> 'difference_minor'";
    const HEALED: &str = "-- healed
UPDATE countersign.finding
SET resolved_at = clock_timestamp()
WHERE resolved_at IS NULL
  AND last_seen_at < $1
  AND key <> ALL ($2::TEXT[])
  AND (check_name = ANY ($3::TEXT[])
    OR key = ANY ($4::TEXT[])
    OR ($5 AND check_name = 'completeness' AND acknowledged_at IS NULL))";
    let mut findings: Vec<&Finding> = report.findings.iter().collect();
    findings.sort_by(|a, b| a.key.cmp(&b.key));
    findings.dedup_by(|a, b| a.key == b.key);
    let keys: Vec<&str> = findings.iter().map(|finding| finding.key.as_str()).collect();
    let checks: Vec<&str> = findings.iter().map(|finding| finding.check.as_str()).collect();
    let severities: Vec<&str> = findings.iter().map(|finding| finding.severity.as_str()).collect();
    let summaries: Vec<String> = findings.iter().map(ToString::to_string).collect();
    // Texts: differences of damaged books are wider than the numbers that a JSON value in memory holds.
    let details: Vec<String> = findings
        .iter()
        .map(serde_json::to_string)
        .collect::<Result<_, _>>()
        .map_err(|_| unreadable("seen"))?;
    query(client, "outgrown", OUTGROWN, &[(&keys, Type::TEXT_ARRAY), (&details, Type::TEXT_ARRAY)]).await?;
    let parameters: Parameters<'_> = &[
        (&keys, Type::TEXT_ARRAY),
        (&checks, Type::TEXT_ARRAY),
        (&severities, Type::TEXT_ARRAY),
        (&summaries, Type::TEXT_ARRAY),
        (&details, Type::TEXT_ARRAY),
    ];
    query(client, "seen", SEEN, parameters).await?;
    let sought: Vec<&str> = sought(report, everything).map(Check::as_str).collect();
    let complete = in_full(report).any(|check| check == Check::Completeness);
    let always: &[&str] = &ALWAYS_SOUGHT;
    let parameters: Parameters<'_> = &[
        (&frame.started_at, Type::TIMESTAMPTZ),
        (&keys, Type::TEXT_ARRAY),
        (&sought, Type::TEXT_ARRAY),
        (&always, Type::TEXT_ARRAY),
        (&complete, Type::BOOL),
    ];
    query(client, "healed", HEALED, parameters).await.map(drop)
}

/// The checks that looked for all that they ever found. An incremental run reads what is new, and reads everything while
/// anything of history is open that nobody has acknowledged; so what it leaves open is what somebody has.
fn sought(report: &Report, everything: bool) -> impl Iterator<Item = Check> + '_ {
    let full = report.run.kind == audit::Kind::Full;
    in_full(report).filter(move |check| match check {
        Check::Balance | Check::Transactions | Check::Continuity | Check::Coverage => everything,
        Check::Completeness => full,
        // Of clearing and provider balance: at what has come due, and at all that stands open.
        Check::Backlog
        | Check::Clearing
        | Check::ProviderBalance
        | Check::Rejections
        | Check::Guards
        | Check::Silence => true,
    })
}

/// The checks that listed all that they found.
fn in_full(report: &Report) -> impl Iterator<Item = Check> + '_ {
    report.checks.iter().filter(|check| check.left_out == 0).map(|check| check.check)
}

impl AuditStore {
    /// The findings that are open, oldest first; or the newest of all.
    pub async fn findings(&self, only_open: bool, limit: i64) -> Result<Vec<StoredFinding>, AuditStoreError> {
        let client = self.client().await?;
        if only_open {
            return open(&**client).await;
        }
        let statement = format!(
            "-- findings\nSELECT {COLUMNS} FROM countersign.finding ORDER BY opened_at DESC, id DESC LIMIT $1"
        );
        let rows = query(&**client, "findings", &statement, &[(&limit, Type::INT8)]).await?;
        rows.iter().map(stored).collect()
    }

    /// Takes note of an open finding, as whoever is connected: an operator. `None`: no such finding is open. One that was
    /// acknowledged before stays so, by whom and why it was.
    pub async fn acknowledge(&self, id: i64, reason: &str) -> Result<Option<StoredFinding>, AuditStoreError> {
        let client = self.client().await?;
        let update = "-- acknowledge
UPDATE countersign.finding
SET acknowledged_at = clock_timestamp(), acknowledged_by = session_user, acknowledge_reason = $2
WHERE id = $1 AND resolved_at IS NULL AND acknowledged_at IS NULL";
        let parameters: &[(&(dyn ToSql + Sync), Type)] = &[(&id, Type::INT8), (&reason, Type::TEXT)];
        query(&**client, "acknowledge", update, parameters).await?;
        let statement = format!(
            "-- acknowledged\nSELECT {COLUMNS} FROM countersign.finding WHERE id = $1 AND resolved_at IS NULL"
        );
        let rows = query(&**client, "acknowledged", &statement, &[(&id, Type::INT8)]).await?;
        rows.first().map(stored).transpose()
    }
}

/// Up to where earlier runs have looked for what comes due, by the name of a mark.
pub(crate) async fn reached(
    client: &impl GenericClient,
    name: &'static str,
) -> Result<Option<Timestamp>, AuditStoreError> {
    let statement = "-- reached\nSELECT reached_at FROM countersign.audit_mark WHERE name = $1";
    let rows = query(client, "reached", statement, &[(&name, Type::TEXT)]).await?;
    rows.first().map(|row| Columns { statement: "reached", row }.read("reached_at")).transpose()
}

/// Notes down what the next incremental run need not look for again: nothing of a check that found more than it could list.
pub(crate) async fn mark(
    client: &impl GenericClient,
    frame: &Frame,
    report: &Report,
    limits: &Limits,
    lo: i64,
    prune: bool,
) -> Result<(), AuditStoreError> {
    const MARK: &str = "-- mark
INSERT INTO countersign.audit_mark (name, reached_at)
SELECT *
FROM (
  VALUES
    ('completeness', $1::TIMESTAMPTZ - make_interval(secs => $2::BIGINT)),
    ('clearing', $1::TIMESTAMPTZ - make_interval(secs => $3::BIGINT)),
    -- What is being stated just now is seen by the next run.
    ('provider-balance', $1::TIMESTAMPTZ - INTERVAL '1 minute')
) AS mark (name, reached_at)
WHERE name = ANY ($4::TEXT[])
ON CONFLICT (name) DO UPDATE SET reached_at = greatest(audit_mark.reached_at, EXCLUDED.reached_at)";
    const HOURS: &str = "-- hours
INSERT INTO countersign.source_hour (source, hour)
SELECT DISTINCT source, date_trunc('hour', received_at, 'UTC')
FROM countersign.delivery
WHERE xid >= $1::BIGINT AND source IS NOT NULL AND received_at > now() - INTERVAL '60 days'
ON CONFLICT DO NOTHING";
    const PRUNE: &str = "-- prune
DELETE FROM countersign.source_hour WHERE hour < now() - INTERVAL '60 days'";
    let listed: Vec<&str> = in_full(report).map(Check::as_str).collect();
    let parameters: Parameters<'_> = &[
        (&frame.started_at, Type::TIMESTAMPTZ),
        (&limits.delivery_due_s, Type::INT8),
        (&limits.clearing_due_s, Type::INT8),
        (&listed, Type::TEXT_ARRAY),
    ];
    query(client, "mark", MARK, parameters).await?;
    query(client, "hours", HOURS, &[(&lo, Type::INT8)]).await?;
    if prune {
        query(client, "prune", PRUNE, &[]).await?;
    }
    Ok(())
}

/// The database's clock.
pub(crate) async fn now(client: &impl GenericClient) -> Result<Timestamp, AuditStoreError> {
    let row = query_one(client, "now", "-- now\nSELECT clock_timestamp()", &[]).await?;
    row.try_get(0).map_err(of_driver("now"))
}

fn stored(row: &Row) -> Result<StoredFinding, AuditStoreError> {
    let columns = Columns { statement: "finding", row };
    let text = |name| columns.text(name, str::to_owned);
    let acknowledged = match columns.read::<Option<Timestamp>>("acknowledged_at")? {
        Some(at) => {
            Some(Acknowledged { at, by: text("acknowledged_by")?, reason: text("acknowledge_reason")? })
        }
        None => None,
    };
    Ok(StoredFinding {
        id: columns.read("id")?,
        key: text("key")?,
        check: text("check_name")?,
        severity: text("severity")?,
        summary: text("summary")?,
        detail: columns.read("detail")?,
        opened_at: columns.read("opened_at")?,
        last_seen_at: columns.read("last_seen_at")?,
        runs: columns.read("runs")?,
        resolved_at: columns.read("resolved_at")?,
        acknowledged,
    })
}
