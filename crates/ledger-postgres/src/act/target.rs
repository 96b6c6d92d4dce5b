//! What an action is about.

use std::collections::BTreeSet;

use deadpool_postgres::Transaction;
use ledger::{Reason, Status, TraceId};
use ports::BooksError;
use wire::Event;

use super::row;
use crate::error::of_driver;
use crate::{rows, standing};

// Two actions on one target come one after the other, whoever carries them out: nothing else stops a release and a
// dismissal of one piece of evidence, which has no statuses.
const LOCK_TARGET: &str = "-- lock_target
SELECT pg_advisory_xact_lock(hashtextextended('countersign.' || $1::TEXT || '.' || $2::BIGINT, 0))";

const EVENT: &str = "-- event
SELECT
  id, source, provider, provider_account, livemode, event_id, event_type, object_id, own_account, occurred_at, fingerprint,
  fingerprint_version, payload, keep_list_version, trace_id
FROM countersign.event
WHERE id = $1";

const EVIDENCE: &str = "-- evidence
SELECT event_row, reason, evidence, trace_id FROM countersign.delivery WHERE id = $1";

const DECIDED: &str = "-- decided
SELECT effect.status, effect.reason, effect.event_row
FROM countersign.operator_action AS action
JOIN countersign.operator_effect AS effect ON effect.action_id = action.id
WHERE action.delivery_row = $1 AND (effect.status <> 'parked' OR effect.event_row IS NOT NULL)
ORDER BY action.id DESC
LIMIT 1";

/// What an action is about.
pub(super) enum Subject {
    /// An event.
    Event(Box<Case>),
    /// Evidence, kept for this reason, and the event that it holds.
    Evidence { reason: Reason, case: Option<Box<Case>> },
    /// Evidence that was decided before and is no event.
    Decided { status: Status, reason: Option<Reason> },
}

/// An event to be processed again.
pub(super) struct Case {
    pub(super) event: Event,
    pub(super) trace_id: Option<TraceId>,
    /// `None` when it is not in the books yet.
    pub(super) row: Option<i64>,
    /// The reason to bring it with, if it is not.
    pub(super) kept_for: Reason,
}

/// Waits for whoever acts on the same.
pub(super) async fn lock(
    transaction: &Transaction<'_>,
    targets: (Option<i64>, Option<i64>),
) -> Result<(), BooksError> {
    let (kind, number) = match targets {
        (Some(event_row), _) => ("event", event_row),
        (None, delivery_row) => ("delivery", delivery_row.unwrap_or_default()),
    };
    transaction.execute(LOCK_TARGET, &[&kind, &number]).await.map_err(|error| of_driver(&error)).map(drop)
}

/// Reads it. Evidence that came to an event is that event from then on.
pub(super) async fn read(
    transaction: &Transaction<'_>,
    targets: (Option<i64>, Option<i64>),
) -> Result<Subject, BooksError> {
    let delivery_row = match targets {
        (Some(event_row), _) => return event(transaction, event_row).await.map(Box::new).map(Subject::Event),
        (None, delivery_row) => delivery_row,
    };
    let Some(delivery) = row(transaction, EVIDENCE, &[&delivery_row]).await? else { return Err(missing()) };
    let decided = row(transaction, DECIDED, &[&delivery_row]).await?;
    let own: Option<i64> = rows::column(&delivery, "event_row")?;
    let came_to = decided.as_ref().map(|decided| rows::column(decided, "event_row")).transpose()?.flatten();
    if let Some(event_row) = own.or(came_to) {
        lock(transaction, (Some(event_row), None)).await?;
        return event(transaction, event_row).await.map(Box::new).map(Subject::Event);
    }
    if let Some(decided) = decided {
        let status = rows::word(&decided, "status", Status::parse)?;
        return Ok(Subject::Decided {
            status,
            reason: rows::word_or_null(&decided, "reason", Reason::parse)?,
        });
    }
    let reason = rows::word(&delivery, "reason", Reason::parse)?;
    let message: Option<&[u8]> = rows::column(&delivery, "evidence")?;
    let Some(mut event) = message.and_then(rows::event_in) else {
        return Ok(Subject::Evidence { reason, case: None });
    };
    let mut row = None;
    if reason != Reason::EventIdReused {
        row = standing_row(transaction, &event).await?;
    }
    // Another content than the books have under that id: it is a content of its own.
    if reason == Reason::EventIdReused || matches!(row, Some(There::Contradicts)) {
        event.key = event.key_of_content();
        row = standing_row(transaction, &event).await?;
    }
    let row = match row {
        Some(There::Same(row)) => {
            lock(transaction, (Some(row), None)).await?;
            Some(row)
        }
        Some(There::Contradicts) | None => None,
    };
    let trace_id = trace_id(&delivery)?;
    Ok(Subject::Evidence { reason, case: Some(Box::new(Case { event, trace_id, row, kept_for: reason })) })
}

/// An event of the books.
pub(super) async fn event(transaction: &Transaction<'_>, event_row: i64) -> Result<Case, BooksError> {
    let Some(found) = row(transaction, EVENT, &[&event_row]).await? else { return Err(missing()) };
    Ok(Case {
        event: rows::event(&found)?,
        trace_id: trace_id(&found)?,
        row: Some(event_row),
        kept_for: Reason::RefusedByBooks,
    })
}

enum There {
    Same(i64),
    Contradicts,
}

async fn standing_row(transaction: &Transaction<'_>, event: &Event) -> Result<Option<There>, BooksError> {
    let found = standing::rows_of_events(transaction, BTreeSet::from([&event.key])).await?;
    let there = standing::events(transaction, found.into_iter().collect()).await?;
    Ok(there.get(&event.key).map(|there| {
        if there.fingerprint.contradicts(&event.fingerprint) {
            There::Contradicts
        } else {
            There::Same(there.row)
        }
    }))
}

fn trace_id(row: &tokio_postgres::Row) -> Result<Option<TraceId>, BooksError> {
    rows::word_or_null(row, "trace_id", |text| TraceId::parse(text).ok())
}

fn missing() -> BooksError {
    BooksError::Incompatible("an action's target is not in the books".to_owned())
}
