//! What stands in the books of all that a batch names: read before anything is written.

use std::collections::{BTreeSet, HashMap};

use deadpool_postgres::Transaction;
use futures_util::future::try_join3;
use ledger::{EventKey, MovementKey, Outcome, Reason};
use ports::{BooksError, Decision, Filing, Record};
use tokio_postgres::Row;

use crate::error::of_driver;
use crate::plan::{Standing, StandingDelivery, StandingEvent, StandingTransaction, delivery_key};
use crate::rows;

// LATERAL with LIMIT: each key is looked up in its index, whatever the planner believes about the size of the table.

const STANDING_DELIVERIES: &str = "-- standing_deliveries
SELECT asked.instance, asked.sequence, delivery.event_row, delivery.reason AS delivery_reason, event.outcome, event.reason
FROM unnest($1::TEXT[], $2::BIGINT[]) AS asked (instance, sequence)
CROSS JOIN LATERAL (
  SELECT event_row, reason
  FROM countersign.delivery
  WHERE delivery.instance = asked.instance AND delivery.sequence = asked.sequence
  LIMIT 1) AS delivery
LEFT JOIN LATERAL (
  SELECT outcome, reason FROM countersign.event WHERE event.id = delivery.event_row LIMIT 1) AS event ON true";

const STANDING_EVENTS: &str = "-- standing_events
SELECT
  event.id, asked.source, asked.provider_account, asked.livemode, asked.event_id, event.fingerprint,
  event.fingerprint_version, event.outcome, event.reason
FROM unnest($1::TEXT[], $2::TEXT[], $3::BOOLEAN[], $4::TEXT[]) AS asked (source, provider_account, livemode, event_id)
CROSS JOIN LATERAL (
  SELECT id, fingerprint, fingerprint_version, outcome, reason
  FROM countersign.event
  WHERE event.event_id = asked.event_id AND event.source = asked.source
    AND event.provider_account = asked.provider_account AND event.livemode = asked.livemode
  LIMIT 1) AS event";

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
    let (deliveries, events, transactions) = try_join3(
        deliveries(transaction, batch),
        events(transaction, batch),
        transactions(transaction, batch),
    )
    .await?;
    let mut standing = Standing::default();
    for row in &transactions {
        let there = StandingTransaction { row: rows::column(row, "id")?, digest: rows::digest(row)? };
        standing.transactions.insert(rows::movement_key(row)?, there);
    }
    let of_deliveries = deliveries.iter().map(|row| rows::column::<Option<i64>>(row, "event_row"));
    let of_events = events.iter().map(|row| rows::column::<i64>(row, "id").map(Some));
    let event_rows: BTreeSet<Option<i64>> = of_deliveries.chain(of_events).collect::<Result<_, _>>()?;
    let movements = movements(transaction, event_rows.into_iter().flatten().collect()).await?;
    for row in &deliveries {
        standing.deliveries.insert(rows::delivery_key(row)?, standing_delivery(row, &movements)?);
    }
    for row in &events {
        standing.events.insert(rows::event_key(row)?, standing_event(row, &movements)?);
    }
    Ok(standing)
}

async fn deliveries(transaction: &Transaction<'_>, batch: &[Record]) -> Result<Vec<Row>, BooksError> {
    let (instances, sequences): (Vec<String>, Vec<i64>) = batch
        .iter()
        .map(delivery_key)
        .map(|(instance, sequence)| (instance.to_string(), rows::sequence(sequence)))
        .unzip();
    query(transaction, STANDING_DELIVERIES, &[&instances, &sequences]).await
}

async fn events(transaction: &Transaction<'_>, batch: &[Record]) -> Result<Vec<Row>, BooksError> {
    let keys: BTreeSet<&EventKey> = batch
        .iter()
        .filter_map(|record| match &record.filing {
            Filing::Event(event, _) => Some(&event.key),
            Filing::Evidence { .. } => None,
        })
        .collect();
    let sources: Vec<&str> = keys.iter().map(|key| key.source.as_str()).collect();
    let accounts: Vec<&str> = keys.iter().map(|key| key.account.as_str()).collect();
    let livemodes: Vec<bool> = keys.iter().map(|key| key.livemode.is_live()).collect();
    let ids: Vec<&str> = keys.iter().map(|key| key.event_id.as_str()).collect();
    query(transaction, STANDING_EVENTS, &[&sources, &accounts, &livemodes, &ids]).await
}

async fn transactions(transaction: &Transaction<'_>, batch: &[Record]) -> Result<Vec<Row>, BooksError> {
    let keys: BTreeSet<String> = batch
        .iter()
        .filter_map(|record| match &record.filing {
            Filing::Event(_, Decision::Book(asserted)) => Some(asserted),
            Filing::Event(_, Decision::Keep(_)) | Filing::Evidence { .. } => None,
        })
        .flatten()
        .map(|asserted| asserted.key().to_string())
        .collect();
    let keys: Vec<String> = keys.into_iter().collect();
    query(transaction, STANDING_TRANSACTIONS, &[&keys]).await
}

async fn movements(transaction: &Transaction<'_>, event_rows: Vec<i64>) -> Result<Movements, BooksError> {
    let mut movements = Movements::new();
    if event_rows.is_empty() {
        return Ok(movements);
    }
    for row in query(transaction, STANDING_MOVEMENTS, &[&event_rows]).await? {
        movements.entry(rows::column(&row, "event_row")?).or_default().push(rows::movement_key(&row)?);
    }
    for keys in movements.values_mut() {
        keys.sort();
    }
    Ok(movements)
}

fn standing_delivery(row: &Row, movements: &Movements) -> Result<StandingDelivery, BooksError> {
    let Some(event_row) = rows::column::<Option<i64>>(row, "event_row")? else {
        let reason = rows::word_or_null(row, "delivery_reason", Reason::parse)?;
        return Ok(StandingDelivery { outcome: Outcome::Parked, reason, movements: Vec::new() });
    };
    let (outcome, reason) = rows::outcome(row)?;
    let movements = movements.get(&event_row).cloned().unwrap_or_default();
    Ok(StandingDelivery { outcome, reason, movements })
}

fn standing_event(row: &Row, movements: &Movements) -> Result<StandingEvent, BooksError> {
    let event_row = rows::column(row, "id")?;
    let (outcome, reason) = rows::outcome(row)?;
    let movements = movements.get(&event_row).cloned().unwrap_or_default();
    Ok(StandingEvent { row: event_row, fingerprint: rows::fingerprint(row)?, outcome, reason, movements })
}

async fn query(
    transaction: &Transaction<'_>,
    statement: &'static str,
    parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<Vec<Row>, BooksError> {
    let prepared = transaction.prepare_cached(statement).await.map_err(|error| of_driver(&error))?;
    transaction.query(&prepared, parameters).await.map_err(|error| of_driver(&error))
}
