//! One event's whole story.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use ledger::EventId;
use ports::BooksError;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;

use crate::reads::{EventSummary, event_summary, query};
use crate::rows::column;

/// All that the books hold under one event id.
#[derive(Debug, Serialize)]
pub struct Story {
    /// The events of that id, the first first.
    pub events: Vec<EventStory>,
    /// Messages of that id that belong to no event: undecodable ones, another content under the same id.
    pub evidence: Vec<DeliveryRow>,
}

/// One event, how it came and what it did.
#[derive(Debug, Serialize)]
pub struct EventStory {
    /// The event.
    #[serde(flatten)]
    pub event: EventSummary,
    /// Its minimised content; `None` if that is no JSON.
    pub payload: Option<Box<RawValue>>,
    /// Every message that brought it, the first first.
    pub deliveries: Vec<DeliveryRow>,
    /// Every transaction that it asserts or contradicts.
    pub transactions: Vec<TransactionStory>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryRow {
    /// The ingress process that sent it.
    pub instance: String,
    /// Its number there.
    pub sequence: u64,
    /// `booked`, `hit`, `ignored` or `parked`.
    pub outcome: String,
    /// Why, where it was ignored or parked.
    pub reason: Option<String>,
    /// Whether the cache was asked before it was sent.
    pub replay_checked: bool,
    /// When the ingress received it.
    pub received_at: Timestamp,
    /// When the books took it.
    pub recorded_at: Timestamp,
    /// Its trace.
    pub trace_id: Option<String>,
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

const EVENTS_OF_ID: &str = "-- events_of_id
SELECT id, source, provider_account, livemode, event_id, event_type, object_id, outcome, reason, occurred_at,
  recorded_at, trace_id, payload
FROM countersign.event
WHERE event_id = $1
ORDER BY id";

const DELIVERIES_OF_EVENTS: &str = "-- deliveries_of_events
SELECT event_row, instance, sequence, outcome, reason, replay_checked, received_at, recorded_at, trace_id
FROM countersign.delivery
WHERE event_row = ANY ($1::BIGINT[])
ORDER BY id";

const EVIDENCE_OF_ID: &str = "-- evidence_of_id
SELECT instance, sequence, outcome, reason, replay_checked, received_at, recorded_at, trace_id
FROM countersign.delivery
WHERE event_id = $1 AND event_row IS NULL
ORDER BY id";

const TRANSACTIONS_OF_EVENTS: &str = "-- transactions_of_events
SELECT link.event_row, link.role, transaction.id, movement_key, occurred_at, transaction.recorded_at, trace_id
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

pub(crate) async fn read(transaction: &Transaction<'_>, id: &EventId) -> Result<Story, BooksError> {
    let events = query(transaction, EVENTS_OF_ID, &[&id.as_str()]).await?;
    let evidence = query(transaction, EVIDENCE_OF_ID, &[&id.as_str()]).await?;
    let event_rows = numbers(&events, "id")?;
    let deliveries = query(transaction, DELIVERIES_OF_EVENTS, &[&event_rows]).await?;
    let mut deliveries = grouped(&deliveries, "event_row", delivery)?;
    let links = query(transaction, TRANSACTIONS_OF_EVENTS, &[&event_rows]).await?;
    let entries = query(transaction, ENTRIES_OF_TRANSACTIONS, &[&numbers(&links, "id")?]).await?;
    let entries = grouped(&entries, "transaction_id", entry)?;
    let mut transactions = grouped(&links, "event_row", |row| transaction_story(row, &entries))?;
    let events = events.iter().map(|row| {
        let event = event_summary(row)?;
        let payload: String = column(row, "payload")?;
        Ok(EventStory {
            payload: RawValue::from_string(payload).ok(),
            deliveries: deliveries.remove(&event.row).unwrap_or_default(),
            transactions: transactions.remove(&event.row).unwrap_or_default(),
            event,
        })
    });
    Ok(Story {
        events: events.collect::<Result<_, BooksError>>()?,
        evidence: evidence.iter().map(delivery).collect::<Result<_, _>>()?,
    })
}

fn numbers(rows: &[Row], name: &str) -> Result<Vec<i64>, BooksError> {
    rows.iter().map(|row| column(row, name)).collect()
}

fn grouped<T>(
    rows: &[Row],
    name: &str,
    convert: impl Fn(&Row) -> Result<T, BooksError>,
) -> Result<BTreeMap<i64, Vec<T>>, BooksError> {
    let mut groups: BTreeMap<i64, Vec<T>> = BTreeMap::new();
    for row in rows {
        groups.entry(column(row, name)?).or_default().push(convert(row)?);
    }
    Ok(groups)
}

fn delivery(row: &Row) -> Result<DeliveryRow, BooksError> {
    Ok(DeliveryRow {
        instance: column(row, "instance")?,
        sequence: column::<i64>(row, "sequence")?.cast_unsigned(),
        outcome: column(row, "outcome")?,
        reason: column(row, "reason")?,
        replay_checked: column(row, "replay_checked")?,
        received_at: column(row, "received_at")?,
        recorded_at: column(row, "recorded_at")?,
        trace_id: column(row, "trace_id")?,
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
