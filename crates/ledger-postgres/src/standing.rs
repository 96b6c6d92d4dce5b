//! What stands in the books of all that a batch names: read before anything is written.

use std::collections::{BTreeSet, HashMap};

use deadpool_postgres::Transaction;
use futures_util::future::{try_join, try_join3};
use ledger::{EventKey, MovementKey, Reason, Status};
use ports::{BooksError, Decision, Filing, Record};
use tokio_postgres::Row;

use crate::error::of_driver;
use crate::plan::{Standing, StandingDelivery, StandingEvent, StandingTransaction, delivery_key};
use crate::rows;

// LATERAL with LIMIT: each key is looked up in its index, whatever the planner believes about the size of the table.

const STANDING_DELIVERIES: &str = "-- standing_deliveries
SELECT asked.instance, asked.sequence, delivery.event_row, delivery.reason, delivery.evidence
FROM unnest($1::TEXT[], $2::BIGINT[]) AS asked (instance, sequence)
CROSS JOIN LATERAL (
  SELECT event_row, reason, CASE WHEN event_row IS NULL THEN evidence END AS evidence
  FROM countersign.delivery
  WHERE delivery.instance = asked.instance AND delivery.sequence = asked.sequence
  LIMIT 1) AS delivery";

const ROWS_OF_EVENTS: &str = "-- rows_of_events
SELECT event.id
FROM unnest($1::TEXT[], $2::TEXT[], $3::BOOLEAN[], $4::TEXT[]) AS asked (source, provider_account, livemode, event_id)
CROSS JOIN LATERAL (
  SELECT id
  FROM countersign.event
  WHERE event.event_id = asked.event_id AND event.source = asked.source
    AND event.provider_account = asked.provider_account AND event.livemode = asked.livemode
  LIMIT 1) AS event";

// Of what is dismissed: why it had been parked.
const STANDING_EVENTS: &str = "-- standing_events
SELECT
  event.id, event.source, event.provider_account, event.livemode, event.event_id, event.fingerprint,
  event.fingerprint_version, coalesce(last.status, event.outcome) AS status, coalesce(last.rank, 0) AS rank,
  CASE last.status
    WHEN 'booked' THEN NULL
    WHEN 'dismissed' THEN coalesce(before.reason, event.reason)
    ELSE coalesce(last.reason, event.reason)
  END AS reason
FROM unnest($1::BIGINT[]) AS asked (event_row)
CROSS JOIN LATERAL (
  SELECT id, source, provider_account, livemode, event_id, fingerprint, fingerprint_version, outcome, reason
  FROM countersign.event
  WHERE event.id = asked.event_row
  LIMIT 1) AS event
LEFT JOIN LATERAL (
  SELECT status, reason, rank
  FROM countersign.event_status
  WHERE event_status.event_row = asked.event_row
  ORDER BY rank DESC
  LIMIT 1) AS last ON true
LEFT JOIN LATERAL (
  SELECT reason
  FROM countersign.event_status
  WHERE event_status.event_row = asked.event_row AND event_status.rank = last.rank - 1
  LIMIT 1) AS before ON true";

const STANDING_TRANSACTIONS: &str = "-- standing_transactions
SELECT
  transaction.id, transaction.provider, transaction.provider_account, transaction.livemode, transaction.object_id,
  transaction.kind, transaction.digest, transaction.digest_version
FROM unnest($1::TEXT[]) AS asked (movement_key)
CROSS JOIN LATERAL (
  SELECT id, provider, provider_account, livemode, object_id, kind, digest, digest_version
  FROM countersign.transaction
  WHERE transaction.movement_key = asked.movement_key
  LIMIT 1) AS transaction";

const STANDING_MOVEMENTS: &str = "-- standing_movements
SELECT
  asked.event_row, transaction.provider, transaction.provider_account, transaction.livemode, transaction.object_id,
  transaction.kind
FROM unnest($1::BIGINT[]) AS asked (event_row)
CROSS JOIN LATERAL (
  SELECT transaction_id
  FROM countersign.event_transaction AS link
  WHERE link.event_row = asked.event_row AND link.role IN ('first', 'describer')
  OFFSET 0) AS link
CROSS JOIN LATERAL (
  SELECT provider, provider_account, livemode, object_id, kind
  FROM countersign.transaction
  WHERE transaction.id = link.transaction_id
  LIMIT 1) AS transaction";

/// The movements of each event row.
type Movements = HashMap<i64, Vec<MovementKey>>;

/// Reads it. Statements see different instants: what slips in between shows when the rows are inserted.
pub(crate) async fn read(transaction: &Transaction<'_>, batch: &[Record]) -> Result<Standing, BooksError> {
    let keys = batch.iter().filter_map(|record| match &record.filing {
        Filing::Event(record) => Some(&record.event.key),
        Filing::Evidence { .. } => None,
    });
    let (deliveries, of_keys, transactions) = try_join3(
        deliveries(transaction, batch),
        rows_of_events(transaction, keys.collect()),
        transactions(transaction, batch.iter().filter_map(decision)),
    )
    .await?;
    let mut event_rows: BTreeSet<i64> = of_keys.into_iter().collect();
    for row in &deliveries {
        event_rows.extend(rows::column::<Option<i64>>(row, "event_row")?);
    }
    let events = events(transaction, event_rows).await?;
    let keys: HashMap<i64, &EventKey> = events.iter().map(|(key, event)| (event.row, key)).collect();
    let deliveries = deliveries
        .iter()
        .map(|row| Ok((rows::delivery_key(row)?, standing_delivery(row, &keys)?)))
        .collect::<Result<_, BooksError>>()?;
    Ok(Standing { deliveries, events, transactions })
}

const fn decision(record: &Record) -> Option<&Decision> {
    match &record.filing {
        Filing::Event(record) => Some(&record.decision),
        Filing::Evidence { .. } => None,
    }
}

async fn deliveries(transaction: &Transaction<'_>, batch: &[Record]) -> Result<Vec<Row>, BooksError> {
    let (instances, sequences): (Vec<String>, Vec<i64>) = batch
        .iter()
        .map(delivery_key)
        .map(|(instance, sequence)| (instance.to_string(), rows::sequence(sequence)))
        .unzip();
    query(transaction, STANDING_DELIVERIES, &[&instances, &sequences]).await
}

/// The numbers of the events that are there.
pub(crate) async fn rows_of_events(
    transaction: &Transaction<'_>,
    keys: BTreeSet<&EventKey>,
) -> Result<Vec<i64>, BooksError> {
    let sources: Vec<&str> = keys.iter().map(|key| key.source.as_str()).collect();
    let accounts: Vec<&str> = keys.iter().map(|key| key.account.as_str()).collect();
    let livemodes: Vec<bool> = keys.iter().map(|key| key.livemode.is_live()).collect();
    let ids: Vec<&str> = keys.iter().map(|key| key.event_id.as_str()).collect();
    let found = query(transaction, ROWS_OF_EVENTS, &[&sources, &accounts, &livemodes, &ids]).await?;
    found.iter().map(|row| rows::column(row, "id")).collect()
}

/// Where these events stand.
pub(crate) async fn events(
    transaction: &Transaction<'_>,
    event_rows: BTreeSet<i64>,
) -> Result<HashMap<EventKey, StandingEvent>, BooksError> {
    if event_rows.is_empty() {
        return Ok(HashMap::new());
    }
    let event_rows: Vec<i64> = event_rows.into_iter().collect();
    let (found, mut movements) =
        try_join(query(transaction, STANDING_EVENTS, &[&event_rows]), movements(transaction, &event_rows))
            .await?;
    found
        .iter()
        .map(|row| {
            let event_row = rows::column(row, "id")?;
            let event = StandingEvent {
                row: event_row,
                fingerprint: rows::fingerprint(row)?,
                status: rows::word(row, "status", Status::parse)?,
                reason: rows::word_or_null(row, "reason", Reason::parse)?,
                rank: rows::column(row, "rank")?,
                movements: movements.remove(&event_row).unwrap_or_default(),
            };
            Ok((rows::event_key(row)?, event))
        })
        .collect()
}

/// The transactions that are there of all that these decisions would book.
pub(crate) async fn transactions(
    transaction: &Transaction<'_>,
    decisions: impl Iterator<Item = &Decision>,
) -> Result<HashMap<MovementKey, StandingTransaction>, BooksError> {
    let keys: BTreeSet<String> = decisions
        .filter_map(|decision| match decision {
            Decision::Book(asserted) => Some(asserted),
            Decision::Keep(_) => None,
        })
        .flatten()
        .map(|asserted| asserted.key().to_string())
        .collect();
    let keys: Vec<String> = keys.into_iter().collect();
    let found = query(transaction, STANDING_TRANSACTIONS, &[&keys]).await?;
    found
        .iter()
        .map(|row| {
            let there = StandingTransaction { row: rows::column(row, "id")?, digest: rows::digest(row)? };
            Ok((rows::movement_key(row)?, there))
        })
        .collect()
}

async fn movements(transaction: &Transaction<'_>, event_rows: &[i64]) -> Result<Movements, BooksError> {
    let mut movements = Movements::new();
    for row in query(transaction, STANDING_MOVEMENTS, &[&event_rows]).await? {
        movements.entry(rows::column(&row, "event_row")?).or_default().push(rows::movement_key(&row)?);
    }
    for keys in movements.values_mut() {
        keys.sort();
    }
    Ok(movements)
}

fn standing_delivery(row: &Row, keys: &HashMap<i64, &EventKey>) -> Result<StandingDelivery, BooksError> {
    let Some(event_row) = rows::column::<Option<i64>>(row, "event_row")? else {
        let message: Option<Vec<u8>> = rows::column(row, "evidence")?;
        let reason = rows::word_or_null(row, "reason", Reason::parse)?;
        return Ok(StandingDelivery::Evidence { reason, message: message.unwrap_or_default() });
    };
    let not_there = || BooksError::Incompatible("a delivery's event is not among the events".to_owned());
    keys.get(&event_row).map(|&key| StandingDelivery::OfEvent(key.clone())).ok_or_else(not_there)
}

async fn query(
    transaction: &Transaction<'_>,
    statement: &'static str,
    parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<Vec<Row>, BooksError> {
    let prepared = transaction.prepare_cached(statement).await.map_err(|error| of_driver(&error))?;
    transaction.query(&prepared, parameters).await.map_err(|error| of_driver(&error))
}
