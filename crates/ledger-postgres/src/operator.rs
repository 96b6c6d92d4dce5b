//! What an operator asks for: actions are put down here, as role `countersign_operator`, and carried out by the processor.

mod stated;

use core::fmt;
use std::collections::{BTreeMap, HashMap};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use ledger::{ActionId, ActionKind, EventId, Reason, Status, UnixMillis};
use ports::{BooksError, Handle};
use tokio_postgres::Row;
use wire::{InstanceId, Sequence};

use crate::Settings;
use crate::rows::{self, column};
use crate::session::{Session, query};

pub use stated::{BalanceAsserted, BalanceStated};

/// The books for whoever releases and dismisses.
pub struct PostgresOperator {
    session: Session,
}

impl fmt::Debug for PostgresOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresOperator")
    }
}

/// What an action can be about, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its row.
    pub row: TargetRow,
    /// Whose it is, where that is known.
    pub source: Option<String>,
    /// The provider's id of the event, where that is known.
    pub event_id: Option<String>,
    /// Where it stands. Evidence that waits for a person is parked.
    pub status: Status,
    /// Why, unless booked or dismissed.
    pub reason: Option<Reason>,
}

/// The row of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetRow {
    /// Of an event.
    Event(i64),
    /// Of a message that is evidence only.
    Delivery(i64),
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// About what, and where that stands.
    pub target: Target,
    /// The action to be carried out; `None` when its target does not stand parked: there is nothing to ask for.
    pub action: Option<ActionId>,
    /// Whether the action was put down before, and not carried out yet.
    pub again: bool,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Where its target stood then.
    pub status: Status,
    /// Why, unless booked or dismissed.
    pub reason: Option<Reason>,
    /// The id of the event that it came to; `None` for evidence that is none.
    pub event_id: Option<String>,
    /// When the processor carried it out.
    pub recorded_at: Timestamp,
}

// What waits under an id for being reused is another content: it is named by its message.
const TARGETS_OF_ID: &str = "-- targets_of_id
SELECT event.id AS event_row, NULL::BIGINT AS delivery_row, event.source, event.event_id, standing.status, standing.reason
FROM countersign.event
JOIN countersign.event_standing AS standing ON standing.event_row = event.id
WHERE event.event_id = $1
UNION ALL
SELECT NULL, delivery_row, source, event_id, 'parked', reason
FROM countersign.evidence_undecided
WHERE event_id = $1 AND reason <> 'event-id-reused'
ORDER BY event_row, delivery_row";

const TARGETS_OF_REASON: &str = "-- targets_of_reason
SELECT event.id AS event_row, NULL::BIGINT AS delivery_row, event.source, event.event_id, standing.status, standing.reason
FROM countersign.event
JOIN countersign.event_standing AS standing ON standing.event_row = event.id
WHERE event.outcome = 'parked' AND standing.status = 'parked' AND standing.reason = $1 AND event.recorded_at >= $2
UNION ALL
SELECT NULL, delivery_row, source, event_id, 'parked', reason
FROM countersign.evidence_undecided
WHERE reason = $1 AND recorded_at >= $2
ORDER BY event_row, delivery_row";

// Evidence that came to an event is that event from then on.
const TARGET_OF_DELIVERY: &str = "-- target_of_delivery
SELECT
  event.id AS event_row, delivery.id AS delivery_row, delivery.source, coalesce(event.event_id, delivery.event_id) AS event_id,
  coalesce(standing.status, decided.status, 'parked') AS status,
  CASE WHEN standing.status IS NOT NULL THEN standing.reason WHEN decided.status IS NULL THEN delivery.reason END AS reason
FROM countersign.delivery
LEFT JOIN LATERAL (
  SELECT effect.status, effect.event_row
  FROM countersign.operator_action AS action
  JOIN countersign.operator_effect AS effect ON effect.action_id = action.id
  WHERE action.delivery_row = delivery.id AND (effect.status <> 'parked' OR effect.event_row IS NOT NULL)
  ORDER BY action.id DESC
  LIMIT 1
) AS decided ON true
LEFT JOIN countersign.event ON event.id = coalesce(delivery.event_row, decided.event_row)
LEFT JOIN countersign.event_standing AS standing ON standing.event_row = event.id
WHERE delivery.instance = $1 AND delivery.sequence = $2";

// One at a time: who asks for the same twice at once asks once.
const LOCK_ASKING: &str = "-- lock_asking
SELECT pg_advisory_xact_lock(hashtextextended('countersign.operator_action', 0))";

const STANDING_OF_EVENTS: &str = "-- standing_of_events
SELECT event_row, status, reason FROM countersign.event_standing WHERE event_row = ANY ($1::BIGINT[])";

const DECIDED_EVIDENCE: &str = "-- decided_evidence
SELECT action.delivery_row, coalesce(standing.status, effect.status) AS status, standing.reason
FROM countersign.operator_action AS action
JOIN countersign.operator_effect AS effect ON effect.action_id = action.id
LEFT JOIN countersign.event_standing AS standing ON standing.event_row = effect.event_row
WHERE action.delivery_row = ANY ($1::BIGINT[]) AND (effect.status <> 'parked' OR effect.event_row IS NOT NULL)
ORDER BY action.id";

// The last one of each target is the one that will be carried out: one before it of the same kind is none to wait for.
const PENDING_ACTIONS: &str = "-- pending_actions
SELECT id, event_row, delivery_row
FROM (
  SELECT DISTINCT ON (event_row, delivery_row) id, kind, event_row, delivery_row
  FROM countersign.operator_action AS action
  WHERE (event_row = ANY ($2::BIGINT[]) OR delivery_row = ANY ($3::BIGINT[]))
    AND NOT EXISTS (SELECT FROM countersign.operator_effect AS effect WHERE effect.action_id = action.id)
  ORDER BY event_row, delivery_row, id DESC) AS last
WHERE kind = $1";

const INSERT_ACTIONS: &str = "-- insert_actions
INSERT INTO countersign.operator_action (kind, event_row, delivery_row, reason)
SELECT $1::TEXT, event_row, delivery_row, $4::TEXT
FROM unnest($2::BIGINT[], $3::BIGINT[]) AS target (event_row, delivery_row)
RETURNING id, event_row, delivery_row";

const EFFECTS: &str = "-- effects
SELECT effect.action_id, effect.status, effect.reason, event.event_id, effect.recorded_at
FROM countersign.operator_effect AS effect
LEFT JOIN countersign.event ON event.id = effect.event_row
WHERE effect.action_id = ANY ($1::BIGINT[])";

impl PostgresOperator {
    /// Connects, and refuses a database whose schema this version does not know.
    pub async fn connect(settings: &Settings, handle: Handle) -> Result<Self, BooksError> {
        Ok(Self { session: Session::connect(settings, handle, "countersign-operator").await? })
    }

    /// What is known under an event's id: its events, of whatever source, account and mode, wherever they stand, and
    /// evidence of it that waits for a person. Another content under the id is not among them: see [`Self::delivery`].
    pub async fn events_of_id(&self, id: &EventId) -> Result<Vec<Target>, BooksError> {
        self.session
            .read(async |transaction: &Transaction<'_>| {
                query(transaction, TARGETS_OF_ID, &[&id.as_str()]).await?.iter().map(target).collect()
            })
            .await
    }

    /// What stands parked for this reason and was recorded since then, events and evidence.
    pub async fn parked_for(&self, reason: Reason, since: UnixMillis) -> Result<Vec<Target>, BooksError> {
        let since = rows::instant_nearest(since)?;
        self.session
            .read(async |transaction: &Transaction<'_>| {
                let found = query(transaction, TARGETS_OF_REASON, &[&reason.as_str(), &since]).await?;
                found.iter().map(target).collect()
            })
            .await
    }

    /// The event that a message belongs to, or the message itself where it is evidence only; `None`: there is no such
    /// message.
    pub async fn delivery(
        &self,
        instance: InstanceId,
        sequence: Sequence,
    ) -> Result<Option<Target>, BooksError> {
        let (instance, sequence) = (instance.to_string(), rows::sequence(sequence));
        self.session
            .read(async |transaction: &Transaction<'_>| {
                let found = query(transaction, TARGET_OF_DELIVERY, &[&instance, &sequence]).await?;
                found.first().map(target).transpose()
            })
            .await
    }

    /// Puts an action down for each of these that stands parked; for one that waits for the same action already, that one.
    /// `reason` is what the operator says why, and not empty. Nothing happens until the processor is told.
    pub async fn ask(
        &self,
        kind: ActionKind,
        targets: &[Target],
        reason: &str,
    ) -> Result<Vec<Asked>, BooksError> {
        self.session
            .write(async |transaction: &Transaction<'_>| {
                query(transaction, LOCK_ASKING, &[]).await?;
                let rows_now: Vec<TargetRow> = targets.iter().map(|target| target.row).collect();
                let decided = standing(transaction, &rows_now).await?;
                let parked =
                    |row: &TargetRow| decided.get(row).is_none_or(|(status, _)| *status == Status::Parked);
                let wanted: Vec<TargetRow> = rows_now.iter().copied().filter(|row| parked(row)).collect();
                let pending = actions(transaction, PENDING_ACTIONS, kind, &wanted, None).await?;
                let mut missing: Vec<TargetRow> =
                    wanted.into_iter().filter(|row| !pending.contains_key(row)).collect();
                missing.sort_unstable();
                missing.dedup();
                let new = actions(transaction, INSERT_ACTIONS, kind, &missing, Some(reason)).await?;
                Ok(targets
                    .iter()
                    .map(|target| {
                        let mut target = target.clone();
                        if let Some((status, reason)) = decided.get(&target.row) {
                            (target.status, target.reason) = (*status, *reason);
                        }
                        let before = pending.get(&target.row).copied();
                        let action = before.or_else(|| new.get(&target.row).copied());
                        Asked { target, action, again: before.is_some() }
                    })
                    .collect())
            })
            .await
    }

    /// What came of an action; `None`: it was not carried out yet.
    pub async fn effect(&self, action: ActionId) -> Result<Option<Effect>, BooksError> {
        Ok(self.effects(&[action]).await?.remove(&action))
    }

    /// What came of actions, of those that were carried out.
    pub async fn effects(&self, actions: &[ActionId]) -> Result<BTreeMap<ActionId, Effect>, BooksError> {
        let ids: Vec<i64> = actions.iter().map(|action| action.0).collect();
        self.session
            .read(async |transaction: &Transaction<'_>| {
                query(transaction, EFFECTS, &[&ids]).await?.iter().map(effect).collect()
            })
            .await
    }
}

/// The columns of targets: a target's own, NULL in the other.
fn columns(targets: &[TargetRow]) -> (Vec<Option<i64>>, Vec<Option<i64>>) {
    targets
        .iter()
        .map(|row| match row {
            TargetRow::Event(row) => (Some(*row), None),
            TargetRow::Delivery(row) => (None, Some(*row)),
        })
        .unzip()
}

/// Where events stand, and evidence that is decided.
async fn standing(
    transaction: &Transaction<'_>,
    targets: &[TargetRow],
) -> Result<HashMap<TargetRow, (Status, Option<Reason>)>, BooksError> {
    let (events, deliveries) = columns(targets);
    let mut standing = HashMap::new();
    for row in query(transaction, STANDING_OF_EVENTS, &[&events]).await? {
        standing.insert(TargetRow::Event(column(&row, "event_row")?), stands(&row)?);
    }
    for row in query(transaction, DECIDED_EVIDENCE, &[&deliveries]).await? {
        standing.insert(TargetRow::Delivery(column(&row, "delivery_row")?), stands(&row)?);
    }
    Ok(standing)
}

/// The actions that a statement gives of these targets.
async fn actions(
    transaction: &Transaction<'_>,
    statement: &'static str,
    kind: ActionKind,
    targets: &[TargetRow],
    reason: Option<&str>,
) -> Result<HashMap<TargetRow, ActionId>, BooksError> {
    if targets.is_empty() {
        return Ok(HashMap::new());
    }
    let (events, deliveries) = columns(targets);
    let kind = kind.as_str();
    let found = match &reason {
        Some(reason) => query(transaction, statement, &[&kind, &events, &deliveries, reason]).await?,
        None => query(transaction, statement, &[&kind, &events, &deliveries]).await?,
    };
    found.iter().map(|row| Ok((target_row(row)?, ActionId(column(row, "id")?)))).collect()
}

fn target_row(row: &Row) -> Result<TargetRow, BooksError> {
    Ok(match column::<Option<i64>>(row, "event_row")? {
        Some(event_row) => TargetRow::Event(event_row),
        None => TargetRow::Delivery(column(row, "delivery_row")?),
    })
}

fn stands(row: &Row) -> Result<(Status, Option<Reason>), BooksError> {
    Ok((rows::word(row, "status", Status::parse)?, rows::word_or_null(row, "reason", Reason::parse)?))
}

fn target(row: &Row) -> Result<Target, BooksError> {
    let (status, reason) = stands(row)?;
    Ok(Target {
        row: target_row(row)?,
        source: column(row, "source")?,
        event_id: column(row, "event_id")?,
        status,
        reason,
    })
}

fn effect(row: &Row) -> Result<(ActionId, Effect), BooksError> {
    let (status, reason) = stands(row)?;
    let effect = Effect {
        status,
        reason,
        event_id: column(row, "event_id")?,
        recorded_at: column(row, "recorded_at")?,
    };
    Ok((ActionId(column(row, "action_id")?), effect))
}
