//! One event's whole story.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use ports::BooksError;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;

use crate::reads::{EventSummary, event_summary};
use crate::rows::column;
use crate::session::query;

/// All that the books hold under one event id, or some.
#[derive(Debug, Serialize)]
pub struct Story {
    /// The events of these ids, the first first.
    pub events: Vec<EventStory>,
    /// Messages of these ids that belong to no event: undecodable ones, another content under the same id. A refused delivery
    /// of an event is among the event's own.
    pub evidence: Vec<DeliveryRow>,
}

/// One event, how it came and what it did.
#[derive(Debug, Serialize)]
pub struct EventStory {
    /// The event.
    #[serde(flatten)]
    pub event: EventSummary,
    /// The database transaction that took it.
    pub batch: i64,
    /// Its minimised content; `None` if that is no JSON.
    pub payload: Option<Box<RawValue>>,
    /// Every message that brought it, the first first.
    pub deliveries: Vec<DeliveryRow>,
    /// What became of it after its first processing, step by step.
    pub statuses: Vec<StatusRow>,
    /// What operators asked for, the first first.
    pub actions: Vec<ActionRow>,
    /// Every transaction that it asserts or contradicts.
    pub transactions: Vec<TransactionStory>,
}

/// What became of an event after its first processing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusRow {
    /// From 1.
    pub rank: i32,
    /// `booked`, `ignored`, `parked` or `dismissed`.
    pub status: String,
    /// Why, where it was ignored or parked.
    pub reason: Option<String>,
    /// `delivery`, one that the gate accepted, or `action`, an operator's.
    pub cause: String,
    /// The action.
    pub action: Option<i64>,
    /// The trace of the delivery.
    pub trace_id: Option<String>,
    /// When the books took it.
    pub recorded_at: Timestamp,
    /// The database transaction that took it.
    pub batch: i64,
}

/// What an operator asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActionRow {
    /// Its number.
    pub action: i64,
    /// `release` or `dismiss`.
    pub kind: String,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who: the login at the database.
    pub operator: String,
    /// When.
    pub recorded_at: Timestamp,
    /// What came of it; `None` until the processor carries it out.
    pub effect: Option<EffectRow>,
}

/// What came of an operator's action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EffectRow {
    /// Where its target stood then.
    pub status: String,
    /// Why, where it was ignored or parked.
    pub reason: Option<String>,
    /// The id of the event that it came to.
    pub event_id: Option<String>,
    /// When.
    pub recorded_at: Timestamp,
    /// The database transaction that took it.
    pub batch: i64,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryRow {
    /// The ingress process that sent it.
    pub instance: String,
    /// Its number there.
    pub sequence: u64,
    /// `booked`, `hit`, `ignored`, `parked` or `refused`.
    pub outcome: String,
    /// Why, where it was ignored, parked or refused.
    pub reason: Option<String>,
    /// The id that it names, if it names one.
    pub event_id: Option<String>,
    /// Whether the cache was asked before it was sent.
    pub replay_checked: bool,
    /// When the ingress received it.
    pub received_at: Timestamp,
    /// When the books took it.
    pub recorded_at: Timestamp,
    /// Its trace.
    pub trace_id: Option<String>,
    /// The database transaction that took it: the number that everything recorded together has.
    pub batch: i64,
    /// What operators asked for, of a message that is evidence only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionRow>,
}

/// A transaction, seen from an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransactionStory {
    /// `first`, `describer` or `conflict`.
    pub role: String,
    /// The row's number.
    pub row: i64,
    /// The movement's identity.
    pub movement_key: String,
    /// When the money moved.
    pub occurred_at: Timestamp,
    /// When the books took it.
    pub recorded_at: Timestamp,
    /// The trace of the delivery that brought the first event.
    pub trace_id: Option<String>,
    /// The database transaction in which the event was linked to it.
    pub batch: i64,
    /// Its legs, in their order.
    pub entries: Vec<EntryRow>,
}

/// A leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryRow {
    /// The account of the chart.
    pub account: String,
    /// Minor units; debit positive, credit negative.
    pub amount_minor: i64,
    /// The currency's code.
    pub currency: String,
}

const EVENTS_OF_IDS: &str = "-- events_of_ids
SELECT id, source, provider_account, livemode, event_id, event_type, object_id, object_amount, object_currency,
  standing.status, standing.reason AS status_reason, standing.since, outcome, event.reason, occurred_at,
  event.recorded_at, trace_id, payload, event.xid AS batch
FROM countersign.event
JOIN countersign.event_standing AS standing ON standing.event_row = event.id
WHERE event_id = ANY ($1::TEXT[])
ORDER BY id";

const STATUSES_OF_EVENTS: &str = "-- statuses_of_events
SELECT event_row, rank, status, reason, cause, action_id, trace_id, recorded_at, xid AS batch
FROM countersign.event_status
WHERE event_row = ANY ($1::BIGINT[])
ORDER BY event_row, rank";

const ACTIONS: &str = "-- actions
SELECT
  action.id, action.event_row, action.delivery_row, action.kind, action.reason, action.operator, action.recorded_at,
  effect.status, effect.reason AS effect_reason, event.event_id, effect.recorded_at AS effect_at,
  effect.xid AS batch
FROM countersign.operator_action AS action
LEFT JOIN countersign.operator_effect AS effect ON effect.action_id = action.id
LEFT JOIN countersign.event ON event.id = effect.event_row
WHERE action.event_row = ANY ($1::BIGINT[]) OR action.delivery_row = ANY ($2::BIGINT[])
ORDER BY action.id";

const DELIVERIES_OF_EVENTS: &str = "-- deliveries_of_events
SELECT
  event_row, instance, sequence, outcome, reason, event_id, replay_checked, received_at, recorded_at, trace_id, xid AS batch
FROM countersign.delivery
WHERE event_row = ANY ($1::BIGINT[])
ORDER BY id";

const EVIDENCE: &str = "-- evidence
SELECT
  id, instance, sequence, outcome, reason, event_id, replay_checked, received_at, recorded_at, trace_id, xid AS batch
FROM countersign.delivery
WHERE (event_id = ANY ($1::TEXT[]) OR id = ANY ($2::BIGINT[])) AND event_row IS NULL
ORDER BY id";

const TRANSACTIONS_OF_EVENTS: &str = "-- transactions_of_events
SELECT link.event_row, link.role, transaction.id, movement_key, occurred_at, transaction.recorded_at, trace_id,
  link.xid AS batch
FROM countersign.event_transaction AS link
JOIN countersign.transaction ON transaction.id = link.transaction_id
WHERE link.event_row = ANY ($1::BIGINT[])
ORDER BY transaction.id";

const ENTRIES_OF_TRANSACTIONS: &str = "-- entries_of_transactions
SELECT transaction_id, name AS account, amount_minor, currency
FROM countersign.entry
JOIN countersign.account ON account.id = entry.account_id
WHERE transaction_id = ANY ($1::BIGINT[])
ORDER BY transaction_id, leg";

/// What there is under these ids, and these rows of messages that are evidence only.
pub(crate) async fn read(
    transaction: &Transaction<'_>,
    ids: &[String],
    messages: &[i64],
) -> Result<Story, BooksError> {
    let events = query(transaction, EVENTS_OF_IDS, &[&ids]).await?;
    let evidence = query(transaction, EVIDENCE, &[&ids, &messages]).await?;
    let event_rows = numbers(&events, "id")?;
    let deliveries = query(transaction, DELIVERIES_OF_EVENTS, &[&event_rows]).await?;
    let mut deliveries = grouped(&deliveries, "event_row", delivery)?;
    let statuses = query(transaction, STATUSES_OF_EVENTS, &[&event_rows]).await?;
    let mut statuses = grouped(&statuses, "event_row", status)?;
    let actions = query(transaction, ACTIONS, &[&event_rows, &numbers(&evidence, "id")?]).await?;
    let mut of_events = grouped(&actions, "event_row", action)?;
    let mut of_evidence = grouped(&actions, "delivery_row", action)?;
    let links = query(transaction, TRANSACTIONS_OF_EVENTS, &[&event_rows]).await?;
    let entries = query(transaction, ENTRIES_OF_TRANSACTIONS, &[&numbers(&links, "id")?]).await?;
    let entries = grouped(&entries, "transaction_id", entry)?;
    let mut transactions = grouped(&links, "event_row", |row| transaction_story(row, &entries))?;
    let events = events.iter().map(|row| {
        let event = event_summary(row)?;
        let payload: String = column(row, "payload")?;
        Ok(EventStory {
            batch: column(row, "batch")?,
            payload: RawValue::from_string(payload).ok(),
            deliveries: deliveries.remove(&event.row).unwrap_or_default(),
            statuses: statuses.remove(&event.row).unwrap_or_default(),
            actions: of_events.remove(&event.row).unwrap_or_default(),
            transactions: transactions.remove(&event.row).unwrap_or_default(),
            event,
        })
    });
    let evidence = evidence.iter().map(|row| {
        let actions = of_evidence.remove(&column::<i64>(row, "id")?).unwrap_or_default();
        Ok(DeliveryRow { actions, ..delivery(row)? })
    });
    Ok(Story {
        events: events.collect::<Result<_, BooksError>>()?,
        evidence: evidence.collect::<Result<_, BooksError>>()?,
    })
}

fn numbers(rows: &[Row], name: &str) -> Result<Vec<i64>, BooksError> {
    rows.iter().map(|row| column(row, name)).collect()
}

/// By a column; the rows where it is NULL are left out.
fn grouped<T>(
    rows: &[Row],
    name: &str,
    convert: impl Fn(&Row) -> Result<T, BooksError>,
) -> Result<BTreeMap<i64, Vec<T>>, BooksError> {
    let mut groups: BTreeMap<i64, Vec<T>> = BTreeMap::new();
    for row in rows {
        if let Some(number) = column::<Option<i64>>(row, name)? {
            groups.entry(number).or_default().push(convert(row)?);
        }
    }
    Ok(groups)
}

fn status(row: &Row) -> Result<StatusRow, BooksError> {
    Ok(StatusRow {
        rank: column(row, "rank")?,
        status: column(row, "status")?,
        reason: column(row, "reason")?,
        cause: column(row, "cause")?,
        action: column(row, "action_id")?,
        trace_id: column(row, "trace_id")?,
        recorded_at: column(row, "recorded_at")?,
        batch: column(row, "batch")?,
    })
}

fn action(row: &Row) -> Result<ActionRow, BooksError> {
    let effect = match column::<Option<String>>(row, "status")? {
        None => None,
        Some(status) => Some(EffectRow {
            status,
            reason: column(row, "effect_reason")?,
            event_id: column(row, "event_id")?,
            recorded_at: column(row, "effect_at")?,
            batch: column(row, "batch")?,
        }),
    };
    Ok(ActionRow {
        action: column(row, "id")?,
        kind: column(row, "kind")?,
        reason: column(row, "reason")?,
        operator: column(row, "operator")?,
        recorded_at: column(row, "recorded_at")?,
        effect,
    })
}

fn delivery(row: &Row) -> Result<DeliveryRow, BooksError> {
    Ok(DeliveryRow {
        instance: column(row, "instance")?,
        sequence: column::<i64>(row, "sequence")?.cast_unsigned(),
        outcome: column(row, "outcome")?,
        reason: column(row, "reason")?,
        event_id: column(row, "event_id")?,
        replay_checked: column(row, "replay_checked")?,
        received_at: column(row, "received_at")?,
        recorded_at: column(row, "recorded_at")?,
        trace_id: column(row, "trace_id")?,
        batch: column(row, "batch")?,
        actions: Vec::new(),
    })
}

fn transaction_story(
    row: &Row,
    entries: &BTreeMap<i64, Vec<EntryRow>>,
) -> Result<TransactionStory, BooksError> {
    let number = column(row, "id")?;
    Ok(TransactionStory {
        role: column(row, "role")?,
        row: number,
        movement_key: column(row, "movement_key")?,
        occurred_at: column(row, "occurred_at")?,
        recorded_at: column(row, "recorded_at")?,
        trace_id: column(row, "trace_id")?,
        batch: column(row, "batch")?,
        entries: entries.get(&number).cloned().unwrap_or_default(),
    })
}

fn entry(row: &Row) -> Result<EntryRow, BooksError> {
    Ok(EntryRow {
        account: column(row, "account")?,
        amount_minor: column(row, "amount_minor")?,
        currency: column(row, "currency")?,
    })
}
