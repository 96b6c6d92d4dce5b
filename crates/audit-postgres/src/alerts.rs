//! The auditor's outbox: what each route was told, and is to be told, about each finding.
//!
//! One row for each finding and route, reused when the finding comes back. Whoever sends claims a row for a while; what a
//! crash leaves claimed is due again when that time is over. So an alert is sent at least once, under a key that tells
//! the receiver that it is the same.

use core::time::Duration;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql, Type};

use crate::error::{of_driver, unreadable};
use crate::{AuditStore, AuditStoreError};

/// What the receiver is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertAction {
    /// That the finding stands.
    Trigger,
    /// That it has healed.
    Resolve,
}

impl AlertAction {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Resolve => "resolve",
        }
    }
}

/// A finding that a route is to hear of.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertWanted {
    /// Which finding: the same for every run and every auditor.
    pub finding_key: String,
    /// Which route.
    pub route: String,
    /// What receivers know it by.
    pub dedup_key: String,
    /// What to say. A change of its member `head` alone is none; with `acknowledged` true nobody is reminded.
    pub content: Value,
}

/// What was sent without this table while it could not be written.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertHanded {
    /// About what, to whom, and what.
    pub wanted: AlertWanted,
    /// How long ago the finding was first seen.
    pub age: Duration,
    /// Whether the receiver has taken it; otherwise it may have.
    pub told: bool,
    /// When it is due again.
    pub again: Option<Duration>,
}

/// What every auditor has done for what stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertsStanding {
    /// Which finding each route has been told of: pairs of finding key and route.
    pub told: BTreeSet<(String, String)>,
    /// The routes on which the last attempt, whoever made it, did not deliver.
    pub failing: BTreeSet<String>,
}

/// A row that is due, and whose it is for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertDue {
    /// What receivers know it by.
    pub dedup_key: String,
    /// What to tell.
    pub action: AlertAction,
    /// What to say.
    pub content: Value,
    /// This attempt is the first, the second, ….
    pub attempts: u32,
    /// How often the receiver has taken something about this finding.
    pub notifications: u32,
    /// Since when the finding stands, this time.
    pub opened_at: Timestamp,
    /// Whether the receiver knows already that it stands.
    pub told: bool,
    claim: Claim,
}

/// Which row, and under which number it was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    id: i64,
    number: i64,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertSettled {
    /// The receiver took it; due again after this time, if ever.
    Sent {
        /// When to remind.
        again: Option<Duration>,
    },
    /// It may be taken later.
    Retry {
        /// When to try again.
        after: Duration,
        /// Why; no secret.
        failure: String,
    },
    /// It will not be taken as it is; due again after this time, if ever.
    Failed {
        /// When to try all the same: a person may have corrected the configuration.
        again: Option<Duration>,
        /// Why; no secret.
        failure: String,
    },
}

impl AuditStore {
    /// Takes over what was sent directly, raises what is wanted, and resolves what stands open and is not wanted any more.
    /// What was opened or resolved after `as_of`, when the list was read, is left alone: somebody knows more.
    pub async fn stand_alerts(
        &self,
        as_of: Timestamp,
        wanted: &[AlertWanted],
        handed: &[AlertHanded],
    ) -> Result<AlertsStanding, AuditStoreError> {
        const NAME: &str = "stand_alerts";
        let of = of_driver(NAME);
        let mut client = self.client().await?;
        let work = client.transaction().await.map_err(&of)?;
        work.query_typed(LOCK, &[]).await.map_err(&of)?;

        let rows: Vec<&AlertWanted> = handed.iter().map(|handed| &handed.wanted).collect();
        let columns = Columns::of(&rows);
        let ages: Vec<i64> = handed.iter().map(|handed| millis(handed.age)).collect();
        let told: Vec<bool> = handed.iter().map(|handed| handed.told).collect();
        let agains: Vec<Option<i64>> = handed.iter().map(|handed| handed.again.map(millis)).collect();
        let mut parameters = columns.parameters();
        parameters.push((&ages, Type::INT8_ARRAY));
        parameters.push((&told, Type::BOOL_ARRAY));
        parameters.push((&agains, Type::INT8_ARRAY));
        work.query_typed(TAKE_OVER, &parameters).await.map_err(&of)?;

        let rows: Vec<&AlertWanted> = wanted.iter().collect();
        let columns = Columns::of(&rows);
        let mut parameters = columns.parameters();
        parameters.push((&as_of, Type::TIMESTAMPTZ));
        work.query_typed(RAISE, &parameters).await.map_err(&of)?;

        let parameters: &[(&(dyn ToSql + Sync), Type)] =
            &[(&columns.finding_keys, Type::TEXT_ARRAY), (&as_of, Type::TIMESTAMPTZ)];
        work.query_typed(RESOLVE, parameters).await.map_err(&of)?;

        let told = work.query_typed(TOLD, &[]).await.map_err(&of)?;
        let failing = work.query_typed(FAILING, &[]).await.map_err(&of)?;
        work.commit().await.map_err(&of)?;
        let told = told.iter().map(|row| Ok((read(NAME, row, "finding_key")?, read(NAME, row, "route")?)));
        Ok(AlertsStanding {
            told: told.collect::<Result<_, AuditStoreError>>()?,
            failing: failing.iter().map(|row| read(NAME, row, "route")).collect::<Result<_, _>>()?,
        })
    }

    /// The row of this route that has been due longest, for `lease`. `number` is random: it tells this claim from others.
    pub async fn claim_alert(
        &self,
        route: &str,
        number: i64,
        lease: Duration,
    ) -> Result<Option<AlertDue>, AuditStoreError> {
        const NAME: &str = "claim_alert";
        let client = self.client().await?;
        let lease = millis(lease);
        let parameters: &[(&(dyn ToSql + Sync), Type)] =
            &[(&route, Type::TEXT), (&number, Type::INT8), (&lease, Type::INT8)];
        let rows = client.query_typed(CLAIM, parameters).await.map_err(of_driver(NAME))?;
        rows.first().map(|row| due(NAME, row, number)).transpose()
    }

    /// Says what became of an attempt. Of no effect if the row has changed or somebody else has claimed it since.
    pub async fn settle_alert(&self, due: &AlertDue, settled: &AlertSettled) -> Result<(), AuditStoreError> {
        let (state, again, failure) = match settled {
            AlertSettled::Sent { again } => ("sent", *again, None),
            AlertSettled::Retry { after, failure } => ("pending", Some(*after), Some(failure)),
            AlertSettled::Failed { again, failure } => ("failed", *again, Some(failure)),
        };
        let again = again.map(millis);
        let parameters: &[(&(dyn ToSql + Sync), Type)] = &[
            (&due.claim.id, Type::INT8),
            (&due.claim.number, Type::INT8),
            (&state, Type::TEXT),
            (&again, Type::INT8),
            (&failure, Type::TEXT),
        ];
        let client = self.client().await?;
        client.query_typed(SETTLE, parameters).await.map(drop).map_err(of_driver("settle_alert"))
    }
}

/// Auditors that write at once would lock rows in different orders.
const LOCK: &str = "-- lock
SELECT pg_advisory_xact_lock(hashtext('countersign.alert'))";

/// What was taken, or may have been, is an alert like any other from now on.
const TAKE_OVER: &str = "-- take_over
INSERT INTO countersign.alert AS alert (finding_key, route, dedup_key, action, state, content, next_attempt_at, opened_at,
  notified_at, notifications, attempts, delivered_at, undelivered_at)
SELECT
  finding_key,
  route,
  dedup_key,
  'trigger',
  CASE WHEN told THEN 'sent' ELSE 'pending' END,
  content,
  clock_timestamp() + again * INTERVAL '1 millisecond',
  clock_timestamp() - age * INTERVAL '1 millisecond',
  CASE WHEN told THEN clock_timestamp() END,
  CASE WHEN told THEN 1 ELSE 0 END,
  CASE WHEN told THEN 0 ELSE 1 END,
  CASE WHEN told THEN clock_timestamp() END,
  CASE WHEN NOT told THEN clock_timestamp() END
FROM unnest($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::JSONB[], $5::BIGINT[], $6::BOOLEAN[], $7::BIGINT[])
  AS handed (finding_key, route, dedup_key, content, age, told, again)
ON CONFLICT (finding_key, route) DO UPDATE SET
  action = 'trigger',
  state = EXCLUDED.state,
  content = EXCLUDED.content,
  next_attempt_at = EXCLUDED.next_attempt_at,
  opened_at = EXCLUDED.opened_at,
  notified_at = coalesce(EXCLUDED.notified_at, alert.notified_at),
  notifications = alert.notifications + EXCLUDED.notifications,
  attempts = EXCLUDED.attempts,
  delivered_at = coalesce(EXCLUDED.delivered_at, alert.delivered_at),
  undelivered_at = coalesce(EXCLUDED.undelivered_at, alert.undelivered_at),
  resolved_at = NULL,
  claim = NULL";

/// A row that was resolved is opened again; of one that stands, the content is brought up to date. What is in flight keeps
/// its time, so that the answer to it does not overtake what follows.
const RAISE: &str = "-- raise
INSERT INTO countersign.alert AS alert (finding_key, route, dedup_key, action, state, content, next_attempt_at)
SELECT finding_key, route, dedup_key, 'trigger', 'pending', content, clock_timestamp()
FROM unnest($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::JSONB[]) AS wanted (finding_key, route, dedup_key, content)
ON CONFLICT (finding_key, route) DO UPDATE SET
  action = 'trigger',
  content = EXCLUDED.content,
  dedup_key = CASE alert.action WHEN 'resolve' THEN EXCLUDED.dedup_key ELSE alert.dedup_key END,
  state = CASE alert.action WHEN 'resolve' THEN 'pending' ELSE alert.state END,
  opened_at = CASE alert.action WHEN 'resolve' THEN clock_timestamp() ELSE alert.opened_at END,
  notified_at = CASE alert.action WHEN 'resolve' THEN NULL ELSE alert.notified_at END,
  attempts = CASE alert.action WHEN 'resolve' THEN 0 ELSE alert.attempts END,
  resolved_at = NULL,
  claim = CASE alert.action WHEN 'resolve' THEN NULL ELSE alert.claim END,
  next_attempt_at = CASE
    WHEN alert.action = 'resolve' AND alert.claim IS NULL THEN clock_timestamp()
    -- Something has joined what somebody has taken note of.
    WHEN alert.claim IS NULL AND (alert.content ->> 'acknowledged')::BOOLEAN
      AND NOT (EXCLUDED.content ->> 'acknowledged')::BOOLEAN THEN clock_timestamp()
    WHEN alert.action = 'trigger' AND alert.claim IS NULL AND alert.state <> 'pending'
      AND (EXCLUDED.content ->> 'acknowledged')::BOOLEAN THEN NULL
    ELSE alert.next_attempt_at
  END
WHERE CASE alert.action
  WHEN 'resolve' THEN alert.resolved_at < $5
  ELSE alert.content - 'head' <> EXCLUDED.content - 'head' OR alert.next_attempt_at <= clock_timestamp()
END";

/// A receiver that has heard nothing, for certain, is told nothing.
const RESOLVE: &str = "-- resolve
UPDATE countersign.alert
SET
  action = 'resolve',
  resolved_at = clock_timestamp(),
  state = CASE WHEN notified_at IS NULL AND attempts = 0 THEN 'sent' ELSE 'pending' END,
  next_attempt_at = CASE
    WHEN notified_at IS NULL AND attempts = 0 THEN NULL
    WHEN claim IS NULL THEN clock_timestamp()
    ELSE next_attempt_at
  END,
  attempts = 0,
  claim = NULL,
  last_failure = NULL
WHERE action = 'trigger' AND opened_at < $2 AND finding_key <> ALL ($1)";

const TOLD: &str = "-- told
SELECT finding_key, route FROM countersign.alert WHERE action = 'trigger' AND notified_at IS NOT NULL";

/// Of a route that was never tried nothing is known.
const FAILING: &str = "-- failing
SELECT route
FROM countersign.alert
GROUP BY route
HAVING max(undelivered_at) > coalesce(max(delivered_at), '-infinity')";

const CLAIM: &str = "-- claim
UPDATE countersign.alert
SET claim = $2, attempts = attempts + 1, next_attempt_at = clock_timestamp() + $3 * INTERVAL '1 millisecond'
WHERE id = (
  SELECT id
  FROM countersign.alert
  WHERE route = $1 AND next_attempt_at <= clock_timestamp()
  ORDER BY next_attempt_at, id
  LIMIT 1
  FOR UPDATE SKIP LOCKED)
RETURNING id, dedup_key, action, content, attempts, notifications, opened_at, notified_at IS NOT NULL AS told";

const SETTLE: &str = "-- settle
UPDATE countersign.alert
SET
  state = $3,
  claim = NULL,
  attempts = CASE $3 WHEN 'pending' THEN attempts ELSE 0 END,
  notifications = notifications + CASE $3 WHEN 'sent' THEN 1 ELSE 0 END,
  notified_at = CASE $3 WHEN 'sent' THEN clock_timestamp() ELSE notified_at END,
  delivered_at = CASE $3 WHEN 'sent' THEN clock_timestamp() ELSE delivered_at END,
  undelivered_at = CASE $3 WHEN 'sent' THEN undelivered_at ELSE clock_timestamp() END,
  next_attempt_at = clock_timestamp() + $4 * INTERVAL '1 millisecond',
  last_failure = $5
WHERE id = $1 AND claim = $2";

/// Rows as the arrays of a statement.
struct Columns<'w> {
    finding_keys: Vec<&'w str>,
    routes: Vec<&'w str>,
    dedup_keys: Vec<&'w str>,
    contents: Vec<&'w Value>,
}

impl<'w> Columns<'w> {
    fn of(rows: &[&'w AlertWanted]) -> Self {
        Self {
            finding_keys: rows.iter().map(|row| row.finding_key.as_str()).collect(),
            routes: rows.iter().map(|row| row.route.as_str()).collect(),
            dedup_keys: rows.iter().map(|row| row.dedup_key.as_str()).collect(),
            contents: rows.iter().map(|row| &row.content).collect(),
        }
    }

    fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        vec![
            (&self.finding_keys, Type::TEXT_ARRAY),
            (&self.routes, Type::TEXT_ARRAY),
            (&self.dedup_keys, Type::TEXT_ARRAY),
            (&self.contents, Type::JSONB_ARRAY),
        ]
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn due(name: &'static str, row: &Row, number: i64) -> Result<AlertDue, AuditStoreError> {
    let action = match read(name, row, "action")? {
        "trigger" => AlertAction::Trigger,
        "resolve" => AlertAction::Resolve,
        _ => return Err(unreadable(name)),
    };
    let count = |column| u32::try_from(read::<i32>(name, row, column)?).map_err(|_| unreadable(name));
    Ok(AlertDue {
        dedup_key: read(name, row, "dedup_key")?,
        action,
        content: read(name, row, "content")?,
        attempts: count("attempts")?,
        notifications: count("notifications")?,
        opened_at: read(name, row, "opened_at")?,
        told: read(name, row, "told")?,
        claim: Claim { id: read(name, row, "id")?, number },
    })
}

fn read<'r, T: FromSql<'r>>(name: &'static str, row: &'r Row, column: &str) -> Result<T, AuditStoreError> {
    row.try_get(column).map_err(|_| unreadable(name))
}
