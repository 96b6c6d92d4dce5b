//! The rows of a plan into the database: every statement inserts, by arrays, in the order of the keys.

mod deliveries;
mod events;
mod statuses;
mod transactions;

use std::collections::{BTreeMap, HashMap};

use deadpool_postgres::Transaction;
use futures_util::future::try_join3;
use ledger::{Account, EventKey};
use ports::BooksError;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::of_driver;
use crate::plan::{EventRow, Plan, TransactionRow};
use crate::rows;

// A link that is there: the event contradicted the same transaction when it was processed before.
const INSERT_LINKS: &str = "-- insert_links
INSERT INTO countersign.event_transaction (event_row, transaction_id, role)
SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::TEXT[])
ON CONFLICT (event_row, transaction_id, role) DO NOTHING";

const INSERT_ENTRIES: &str = "-- insert_entries
INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
SELECT * FROM unnest($1::BIGINT[], $2::SMALLINT[], $3::BIGINT[], $4::BIGINT[], $5::TEXT[], $6::BOOLEAN[])";

/// Inserts all of it, in a transaction that the caller commits. `None`: another writer was faster with one of the keys, the
/// plan was made from what is no longer true, and the caller rolls back.
pub(crate) async fn write(
    transaction: &Transaction<'_>,
    plan: &Plan<'_>,
    accounts: &HashMap<Account, i64>,
) -> Result<Option<Inserted>, BooksError> {
    let Some(events) = events::insert(transaction, plan).await? else { return Ok(None) };
    let mut rows = Inserted { events, transactions: BTreeMap::new() };
    if statuses::insert(transaction, plan, &rows).await? != plan.statuses.len() {
        return Ok(None);
    }
    let Some(transactions) = transactions::insert(transaction, plan, &rows).await? else {
        return Ok(None);
    };
    rows.transactions = transactions;
    let (deliveries, (), ()) = try_join3(
        deliveries::insert(transaction, plan, &rows),
        insert_links(transaction, plan, &rows),
        insert_entries(transaction, plan, &rows, accounts),
    )
    .await?;
    if deliveries != plan.deliveries.len() {
        return Ok(None);
    }
    // Deferred rules are asked before COMMIT: an error of the data must not look like a COMMIT of unknown outcome.
    transaction.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await.map_err(|error| of_driver(&error))?;
    Ok(Some(rows))
}

/// The row numbers of what was inserted.
#[derive(Debug)]
pub(crate) struct Inserted {
    events: BTreeMap<EventKey, i64>,
    transactions: BTreeMap<String, i64>,
}

impl Inserted {
    pub(crate) fn event(&self, row: EventRow<'_>) -> Result<i64, BooksError> {
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
        event_rows.push(inserted.event(link.event)?);
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
