//! The rows of a plan into the database: every statement inserts, by arrays, in the order of the keys.

use std::collections::{BTreeMap, HashMap};

use deadpool_postgres::Transaction;
use futures_util::future::try_join3;
use ledger::{Account, EventKey, EventType, ObjectId, Reason, TraceId};
use ports::BooksError;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use wire::ReplayCheck;

use crate::error::of_driver;
use crate::plan::{EventRow, NewDelivery, NewEvent, Plan, TransactionRow};
use crate::rows;

const INSERT_EVENTS: &str = "-- insert_events
INSERT INTO countersign.event (
  source, provider, provider_account, livemode, event_id, event_type, object_id, occurred_at, fingerprint,
  fingerprint_version, payload, keep_list_version, outcome, reason, trace_id)
SELECT * FROM unnest(
  $1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BOOLEAN[], $5::TEXT[], $6::TEXT[], $7::TEXT[], $8::TIMESTAMPTZ[], $9::BYTEA[],
  $10::SMALLINT[], $11::TEXT[], $12::INTEGER[], $13::TEXT[], $14::TEXT[], $15::TEXT[])
ON CONFLICT (source, provider_account, livemode, event_id) DO NOTHING
RETURNING id, source, provider_account, livemode, event_id";

const INSERT_TRANSACTIONS: &str = "-- insert_transactions
INSERT INTO countersign.transaction (
  movement_key, provider, provider_account, livemode, object_id, kind, digest, digest_version, posting_version, legs,
  source, event_row, trace_id, occurred_at)
SELECT * FROM unnest(
  $1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BOOLEAN[], $5::TEXT[], $6::TEXT[], $7::BYTEA[], $8::SMALLINT[], $9::INTEGER[],
  $10::SMALLINT[], $11::TEXT[], $12::BIGINT[], $13::TEXT[], $14::TIMESTAMPTZ[])
ON CONFLICT (movement_key) DO NOTHING
RETURNING id, movement_key";

const INSERT_DELIVERIES: &str = "-- insert_deliveries
INSERT INTO countersign.delivery (
  instance, sequence, source, provider_account, livemode, event_id, event_type, event_row, outcome, reason, evidence,
  replay_checked, trace_id, received_at)
SELECT * FROM unnest(
  $1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::BOOLEAN[], $6::TEXT[], $7::TEXT[], $8::BIGINT[], $9::TEXT[],
  $10::TEXT[], $11::BYTEA[], $12::BOOLEAN[], $13::TEXT[], $14::TIMESTAMPTZ[])
ON CONFLICT (instance, sequence) DO NOTHING";

const INSERT_LINKS: &str = "-- insert_links
INSERT INTO countersign.event_transaction (event_row, transaction_id, role)
SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::TEXT[])";

const INSERT_ENTRIES: &str = "-- insert_entries
INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
SELECT * FROM unnest($1::BIGINT[], $2::SMALLINT[], $3::BIGINT[], $4::BIGINT[], $5::TEXT[], $6::BOOLEAN[])";

/// Whether the rows went in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// Every one; what the database can refuse, it has been asked.
    Whole,
    /// Another writer was faster with one of the keys: the plan was made from what is no longer true.
    Raced,
}

/// Inserts all of it, in a transaction that the caller commits if it is `Whole` and rolls back if not.
pub(crate) async fn write(
    transaction: &Transaction<'_>,
    plan: &Plan<'_>,
    accounts: &HashMap<Account, i64>,
) -> Result<Written, BooksError> {
    let Some(events) = insert_events(transaction, plan).await? else { return Ok(Written::Raced) };
    let Some(transactions) = insert_transactions(transaction, plan, &events).await? else {
        return Ok(Written::Raced);
    };
    let rows = Inserted { events, transactions };
    let (deliveries, (), ()) = try_join3(
        insert_deliveries(transaction, plan, &rows),
        insert_links(transaction, plan, &rows),
        insert_entries(transaction, plan, &rows, accounts),
    )
    .await?;
    if deliveries != plan.deliveries.len() {
        return Ok(Written::Raced);
    }
    // Deferred rules are asked before COMMIT: an error of the data must not look like a COMMIT of unknown outcome.
    transaction.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await.map_err(|error| of_driver(&error))?;
    Ok(Written::Whole)
}

/// The row numbers of what was inserted.
struct Inserted {
    events: BTreeMap<EventKey, i64>,
    transactions: BTreeMap<String, i64>,
}

impl Inserted {
    fn event(&self, row: EventRow<'_>) -> Result<i64, BooksError> {
        match row {
            EventRow::Standing(id) => Ok(id),
            EventRow::New(key) => self.events.get(key).copied().ok_or_else(not_returned),
        }
    }

    fn transaction(&self, row: TransactionRow<'_>) -> Result<i64, BooksError> {
        match row {
            TransactionRow::Standing(id) => Ok(id),
            TransactionRow::New(key) => {
                self.transactions.get(&key.to_string()).copied().ok_or_else(not_returned)
            }
        }
    }
}

fn not_returned() -> BooksError {
    BooksError::Incompatible("the database returned another key than was inserted".to_owned())
}

/// `None` when one of them was there.
async fn insert_events(
    transaction: &Transaction<'_>,
    plan: &Plan<'_>,
) -> Result<Option<BTreeMap<EventKey, i64>>, BooksError> {
    let events: Vec<&NewEvent<'_>> = plan.events.values().collect();
    if events.is_empty() {
        return Ok(Some(BTreeMap::new()));
    }
    let records = || events.iter().map(|event| event.record);
    let sources: Vec<&str> = records().map(|event| event.key.source.as_str()).collect();
    let providers: Vec<&str> = records().map(|event| event.provider.as_str()).collect();
    let accounts: Vec<&str> = records().map(|event| event.key.account.as_str()).collect();
    let livemodes: Vec<bool> = records().map(|event| event.key.livemode.is_live()).collect();
    let ids: Vec<&str> = records().map(|event| event.key.event_id.as_str()).collect();
    let types: Vec<&str> = records().map(|event| event.event_type.as_str()).collect();
    let objects: Vec<Option<&str>> =
        records().map(|event| event.object_id.as_ref().map(ObjectId::as_str)).collect();
    let occurred = records().map(|event| rows::instant(event.occurred_at)).collect::<Result<Vec<_>, _>>()?;
    let fingerprints: Vec<&[u8]> = records().map(|event| event.fingerprint.digest.as_slice()).collect();
    let fingerprint_versions: Vec<i16> = records().map(|event| event.fingerprint.version.into()).collect();
    let payloads = records().map(|event| rows::text(&event.payload)).collect::<Result<Vec<_>, _>>()?;
    let keep_lists =
        records().map(|event| rows::version(event.keep_list_version)).collect::<Result<Vec<_>, _>>()?;
    let outcomes: Vec<&str> = events.iter().map(|event| event.outcome().as_str()).collect();
    let reasons: Vec<Option<&str>> = events.iter().map(|event| event.reason.map(Reason::as_str)).collect();
    let traces: Vec<Option<&str>> = events.iter().map(|event| event.trace_id.map(TraceId::as_str)).collect();
    let columns: [&(dyn ToSql + Sync); 15] = [
        &sources,
        &providers,
        &accounts,
        &livemodes,
        &ids,
        &types,
        &objects,
        &occurred,
        &fingerprints,
        &fingerprint_versions,
        &payloads,
        &keep_lists,
        &outcomes,
        &reasons,
        &traces,
    ];
    let returned = query(transaction, INSERT_EVENTS, &columns).await?;
    if returned.len() != events.len() {
        return Ok(None);
    }
    returned
        .iter()
        .map(|row| Ok((rows::event_key(row)?, rows::column(row, "id")?)))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// `None` when one of them was there.
async fn insert_transactions(
    transaction: &Transaction<'_>,
    plan: &Plan<'_>,
    events: &BTreeMap<EventKey, i64>,
) -> Result<Option<BTreeMap<String, i64>>, BooksError> {
    if plan.transactions.is_empty() {
        return Ok(Some(BTreeMap::new()));
    }
    let keys = || plan.transactions.keys();
    let new = || plan.transactions.values();
    let movement_keys: Vec<String> = keys().map(ToString::to_string).collect();
    let providers: Vec<&str> = keys().map(|key| key.provider.as_str()).collect();
    let accounts: Vec<&str> = keys().map(|key| key.account.as_str()).collect();
    let livemodes: Vec<bool> = keys().map(|key| key.livemode.is_live()).collect();
    let objects: Vec<&str> = keys().map(|key| key.object_id.as_str()).collect();
    let kinds: Vec<&str> = keys().map(|key| key.kind.as_str()).collect();
    let digests: Vec<Vec<u8>> = new().map(|new| new.transaction.digest().0.to_vec()).collect();
    let digest_versions = vec![i16::from(ledger::MovementDigest::VERSION); digests.len()];
    let postings =
        new().map(|new| rows::version(new.transaction.posting_version())).collect::<Result<Vec<_>, _>>()?;
    let legs = new().map(|new| rows::leg(new.transaction.entries().len())).collect::<Result<Vec<_>, _>>()?;
    let sources: Vec<&str> = new().map(|new| new.event.source.as_str()).collect();
    let event_rows = new()
        .map(|new| events.get(new.event).copied().ok_or_else(not_returned))
        .collect::<Result<Vec<i64>, _>>()?;
    let traces: Vec<Option<&str>> = new().map(|new| new.trace_id.map(TraceId::as_str)).collect();
    let occurred =
        new().map(|new| rows::instant(new.transaction.occurred_at())).collect::<Result<Vec<_>, _>>()?;
    let columns: [&(dyn ToSql + Sync); 14] = [
        &movement_keys,
        &providers,
        &accounts,
        &livemodes,
        &objects,
        &kinds,
        &digests,
        &digest_versions,
        &postings,
        &legs,
        &sources,
        &event_rows,
        &traces,
        &occurred,
    ];
    let returned = query(transaction, INSERT_TRANSACTIONS, &columns).await?;
    if returned.len() != movement_keys.len() {
        return Ok(None);
    }
    let pair = |row| Ok((rows::column(row, "movement_key")?, rows::column(row, "id")?));
    returned.iter().map(pair).collect::<Result<_, _>>().map(Some)
}

/// How many went in.
async fn insert_deliveries(
    transaction: &Transaction<'_>,
    plan: &Plan<'_>,
    inserted: &Inserted,
) -> Result<usize, BooksError> {
    let deliveries: Vec<&NewDelivery<'_>> = plan.deliveries.values().collect();
    let keys = || deliveries.iter().map(|delivery| delivery.key);
    let instances: Vec<String> = deliveries.iter().map(|new| new.delivery.instance.to_string()).collect();
    let sequences: Vec<i64> = deliveries.iter().map(|new| rows::sequence(new.delivery.sequence)).collect();
    let sources: Vec<Option<&str>> = keys().map(|key| key.map(|key| key.source.as_str())).collect();
    let accounts: Vec<Option<&str>> = keys().map(|key| key.map(|key| key.account.as_str())).collect();
    let livemodes: Vec<Option<bool>> = keys().map(|key| key.map(|key| key.livemode.is_live())).collect();
    let ids: Vec<Option<&str>> = keys().map(|key| key.map(|key| key.event_id.as_str())).collect();
    let types: Vec<Option<&str>> =
        deliveries.iter().map(|new| new.event_type.map(EventType::as_str)).collect();
    let event_rows = deliveries
        .iter()
        .map(|new| new.event.map(|row| inserted.event(row)).transpose())
        .collect::<Result<Vec<Option<i64>>, _>>()?;
    let outcomes: Vec<&str> = deliveries.iter().map(|new| new.outcome.as_str()).collect();
    let reasons: Vec<Option<&str>> = deliveries.iter().map(|new| new.reason.map(Reason::as_str)).collect();
    let evidence: Vec<Option<&[u8]>> =
        deliveries.iter().map(|new| new.evidence.map(|body| &**body)).collect();
    let checked: Vec<bool> =
        deliveries.iter().map(|new| new.delivery.replay_check == ReplayCheck::Claimed).collect();
    let traces: Vec<Option<&str>> =
        deliveries.iter().map(|new| new.delivery.trace_id.as_ref().map(TraceId::as_str)).collect();
    let received = deliveries
        .iter()
        .map(|new| rows::instant_nearest(new.delivery.received_at))
        .collect::<Result<Vec<_>, _>>()?;
    let columns: [&(dyn ToSql + Sync); 14] = [
        &instances,
        &sequences,
        &sources,
        &accounts,
        &livemodes,
        &ids,
        &types,
        &event_rows,
        &outcomes,
        &reasons,
        &evidence,
        &checked,
        &traces,
        &received,
    ];
    execute(transaction, INSERT_DELIVERIES, &columns).await
}

async fn insert_links(
    transaction: &Transaction<'_>,
    plan: &Plan<'_>,
    inserted: &Inserted,
) -> Result<(), BooksError> {
    if plan.links.is_empty() {
        return Ok(());
    }
    let mut event_rows = Vec::with_capacity(plan.links.len());
    let mut transactions = Vec::with_capacity(plan.links.len());
    let mut roles = Vec::with_capacity(plan.links.len());
    for link in &plan.links {
        event_rows.push(inserted.event(EventRow::New(link.event))?);
        transactions.push(inserted.transaction(link.transaction)?);
        roles.push(link.role.as_str());
    }
    execute(transaction, INSERT_LINKS, &[&event_rows, &transactions, &roles]).await.map(drop)
}

/// The legs of the inserted transactions, never with ON CONFLICT: legs that are there already are an error.
async fn insert_entries(
    transaction: &Transaction<'_>,
    plan: &Plan<'_>,
    inserted: &Inserted,
    known: &HashMap<Account, i64>,
) -> Result<(), BooksError> {
    if plan.transactions.is_empty() {
        return Ok(());
    }
    let mut transactions: Vec<i64> = Vec::new();
    let mut legs: Vec<i16> = Vec::new();
    let mut accounts: Vec<i64> = Vec::new();
    let mut amounts: Vec<i64> = Vec::new();
    let mut currencies: Vec<&str> = Vec::new();
    let mut livemodes: Vec<bool> = Vec::new();
    for (&key, new) in &plan.transactions {
        let id = inserted.transaction(TransactionRow::New(key))?;
        for (entry, leg) in new.transaction.entries().iter().zip(1..) {
            let account = known.get(&entry.account).ok_or_else(|| {
                BooksError::Incompatible(format!("the account {} was not opened at start", entry.account))
            })?;
            transactions.push(id);
            legs.push(rows::leg(leg)?);
            accounts.push(*account);
            amounts.push(entry.amount.minor());
            currencies.push(entry.amount.currency().code());
            livemodes.push(key.livemode.is_live());
        }
    }
    let columns: [&(dyn ToSql + Sync); 6] =
        [&transactions, &legs, &accounts, &amounts, &currencies, &livemodes];
    execute(transaction, INSERT_ENTRIES, &columns).await.map(drop)
}

async fn query(
    transaction: &Transaction<'_>,
    statement: &'static str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, BooksError> {
    let prepared = transaction.prepare_cached(statement).await.map_err(|error| of_driver(&error))?;
    transaction.query(&prepared, parameters).await.map_err(|error| of_driver(&error))
}

async fn execute(
    transaction: &Transaction<'_>,
    statement: &'static str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<usize, BooksError> {
    let prepared = transaction.prepare_cached(statement).await.map_err(|error| of_driver(&error))?;
    let count = transaction.execute(&prepared, parameters).await.map_err(|error| of_driver(&error))?;
    usize::try_from(count).map_err(|_| not_returned())
}
