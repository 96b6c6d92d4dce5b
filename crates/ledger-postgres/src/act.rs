//! Carrying out what an operator has put down: one database transaction with its effect.

mod target;

use std::collections::{BTreeSet, HashMap};

use deadpool_postgres::{Object, Transaction};
use ledger::{Account, ActionId, ActionKind, Reason, Status};
use ports::{Acted, Assess, BooksError, Decision, EventRecord};
use tokio_postgres::types::ToSql;

use crate::books::begin;
use crate::error::of_driver;
use crate::plan::{Cause, Decided, EventRow, Plan, Standing};
use crate::{rows, standing, write};
use target::{Case, Subject};

const ACTION: &str = "-- action
SELECT event_row, delivery_row FROM countersign.operator_action WHERE id = $1";

const EFFECT: &str = "-- effect
SELECT status, reason, event_row FROM countersign.operator_effect WHERE action_id = $1";

// The last one is what the operators want now.
const PENDING: &str = "-- pending
SELECT id, kind
FROM countersign.operator_action AS action
WHERE (event_row = $1 OR delivery_row = $2)
  AND NOT EXISTS (SELECT FROM countersign.operator_effect AS effect WHERE effect.action_id = action.id)
ORDER BY id";

const INSERT_EFFECTS: &str = "-- insert_effects
INSERT INTO countersign.operator_effect (action_id, status, reason, event_row)
SELECT action_id, $2, $3, $4 FROM unnest($1::BIGINT[]) AS pending (action_id)
ON CONFLICT (action_id) DO NOTHING";

/// An action to be carried out.
pub(crate) struct Errand<'a> {
    pub(crate) id: ActionId,
    pub(crate) assess: &'a Assess,
    pub(crate) accounts: &'a HashMap<Account, i64>,
    /// Whether the database has refused what it comes to.
    pub(crate) refused: bool,
}

/// What an action comes to.
struct Effect {
    status: Status,
    reason: Option<Reason>,
    event_row: Option<i64>,
}

/// One transaction. `None` when another writer was faster, `Some(None)` when there is no such action.
///
/// Of all that wait for the same target the last one is carried out, and its effect is that of all: who dismisses what
/// somebody's release still waits for must not lose to it, and the other way round.
pub(crate) async fn attempt(
    client: &mut Object,
    errand: &Errand<'_>,
) -> Result<Option<Option<Acted>>, BooksError> {
    let transaction = begin(client).await?;
    let Some(action) = row(&transaction, ACTION, &[&errand.id.0]).await? else {
        return Ok(Some(None));
    };
    let targets = (rows::column(&action, "event_row")?, rows::column(&action, "delivery_row")?);
    target::lock(&transaction, targets).await?;
    if let Some(effect) = row(&transaction, EFFECT, &[&errand.id.0]).await? {
        let effect = Effect {
            status: rows::word(&effect, "status", Status::parse)?,
            reason: rows::word_or_null(&effect, "reason", Reason::parse)?,
            event_row: rows::column(&effect, "event_row")?,
        };
        return acted(&transaction, &effect).await.map(|acted| Some(Some(acted)));
    }
    let pending = transaction.query(PENDING, &[&targets.0, &targets.1]).await;
    let pending = pending.map_err(|error| of_driver(&error))?;
    let Some(last) = pending.last() else { return Ok(None) };
    let id = ActionId(rows::column(last, "id")?);
    let kind = rows::word(last, "kind", ActionKind::parse)?;
    let errand = &Errand { id, ..*errand };
    let effect = match target::read(&transaction, targets).await? {
        Subject::Decided { status, reason } => Some(Effect { status, reason, event_row: None }),
        Subject::Evidence { reason, case } => match (kind, case) {
            (ActionKind::Dismiss, _) => {
                Some(Effect { status: Status::Dismissed, reason: None, event_row: None })
            }
            (ActionKind::Release, Some(case)) if case.row.is_some() || !errand.refused => {
                on_event(&transaction, errand, kind, *case).await?
            }
            (ActionKind::Release, case) => {
                // It holds no event, or one that the database does not take.
                let reason = if case.is_some() { Reason::RefusedByBooks } else { reason };
                Some(Effect { status: Status::Parked, reason: Some(reason), event_row: None })
            }
        },
        Subject::Event(case) => on_event(&transaction, errand, kind, *case).await?,
    };
    let Some(effect) = effect else { return Ok(None) };
    let (status, reason) = (effect.status.as_str(), effect.reason.map(Reason::as_str));
    let settled = pending.iter().map(|row| rows::column(row, "id")).collect::<Result<Vec<i64>, _>>()?;
    let columns: [&(dyn ToSql + Sync); 4] = [&settled, &status, &reason, &effect.event_row];
    let inserted = transaction.execute(INSERT_EFFECTS, &columns).await.map_err(|error| of_driver(&error))?;
    if usize::try_from(inserted) != Ok(settled.len()) {
        return Ok(None);
    }
    let acted = acted(&transaction, &effect).await?;
    transaction.commit().await.map_err(|error| of_driver(&error))?;
    Ok(Some(Some(acted)))
}

/// What becomes of an event that is there, or is brought as parked. `None` when another writer was faster.
async fn on_event(
    transaction: &Transaction<'_>,
    errand: &Errand<'_>,
    kind: ActionKind,
    case: Case,
) -> Result<Option<Effect>, BooksError> {
    let Case { event, trace_id, row, kept_for } = case;
    let events = standing::events(transaction, row.into_iter().collect()).await?;
    if let Some(there) = events.get(&event.key).filter(|there| there.status.is_final()) {
        let reason = there.reason.filter(|_| there.status == Status::Ignored);
        return Ok(Some(Effect { status: there.status, reason, event_row: Some(there.row) }));
    }
    let record = match kind {
        ActionKind::Release if !errand.refused => {
            // Under the key that the books know it by, whatever the assessment made of it.
            EventRecord { event: event.clone(), ..(errand.assess)(event) }
        }
        ActionKind::Release | ActionKind::Dismiss => {
            EventRecord { event, money: None, decision: Decision::Keep(Reason::RefusedByBooks) }
        }
    };
    let transactions = standing::transactions(transaction, core::iter::once(&record.decision)).await?;
    let standing = Standing { events, transactions, ..Standing::default() };
    let key = &record.event.key;
    let mut plan = Plan::default();
    let there = match plan.now(key, &standing) {
        Some(there) => there,
        None => plan.bring_parked(&record, trace_id.as_ref(), kept_for),
    };
    let decided = match kind {
        ActionKind::Release => plan.decide(&record, there.row, trace_id.as_ref(), &standing)?,
        ActionKind::Dismiss => Decided::dismissed(),
    };
    let now = if decided.is_parked_for(there.reason) {
        there
    } else {
        plan.follow(key, &there, decided, Cause::Action(errand.id))?
    };
    let event_row = match (now.row, plan.is_empty()) {
        (EventRow::Standing(row), true) => row,
        (row, _) => match write::write(transaction, &plan, errand.accounts).await? {
            Some(inserted) => inserted.event(row)?,
            None => return Ok(None),
        },
    };
    Ok(Some(Effect { status: now.status, reason: now.reason, event_row: Some(event_row) }))
}

/// The answer: of an event, where it stands now.
async fn acted(transaction: &Transaction<'_>, effect: &Effect) -> Result<Acted, BooksError> {
    let Effect { status, reason, event_row: Some(event_row) } = *effect else {
        let Effect { status, reason, .. } = *effect;
        return Ok(Acted { event: None, status, reason, movements: Vec::new(), trace_id: None });
    };
    let Case { event, trace_id, .. } = target::event(transaction, event_row).await?;
    let mut events = standing::events(transaction, BTreeSet::from([event_row])).await?;
    let Some(there) = events.remove(&event.key) else {
        return Ok(Acted { event: Some(event), status, reason, movements: Vec::new(), trace_id });
    };
    let reason = there.reason.filter(|_| there.status != Status::Dismissed);
    let (status, movements) = (there.status, there.movements);
    Ok(Acted { event: Some(event), status, reason, movements, trace_id })
}

async fn row(
    transaction: &Transaction<'_>,
    statement: &'static str,
    columns: &[&(dyn ToSql + Sync)],
) -> Result<Option<tokio_postgres::Row>, BooksError> {
    transaction.query_opt(statement, columns).await.map_err(|error| of_driver(&error))
}
