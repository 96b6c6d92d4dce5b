//! The books on a real Postgres, each test on a database of its own.
#![expect(
    clippy::unwrap_used,
    reason = "tests; clippy's own exception does not cover functions that tests share"
)]

mod agreement;
mod contract;
mod desk;
mod failures;
mod guards;
mod operator;
mod privileges;
mod random;
mod reads;
mod recorders;
mod schema;
mod words;

use ledger_postgres::{PostgresBooks, Settings};
use runtime::TokioExecutor;
use testkit::contract::books::samples;
use testkit::servers::postgres::{Database, Role};
use tokio_postgres::Client;

/// The books of a database, as the processor has them, with the accounts of the samples.
async fn books(database: &Database) -> PostgresBooks {
    let settings = Settings::new(database.url(Role::Processor));
    let books = PostgresBooks::connect(&settings, TokioExecutor::handle()).await.unwrap();
    books.ensure_accounts(&samples::accounts()).await.unwrap();
    books
}

/// SQLSTATE and constraint with which the database refuses these statements; `None` when it takes and commits them.
async fn refusal(client: &Client, statements: &str) -> Option<(String, String)> {
    let error = client.batch_execute(&format!("BEGIN; {statements}; COMMIT")).await.err()?;
    client.batch_execute("ROLLBACK").await.unwrap();
    let refusal = error.as_db_error().unwrap();
    Some((refusal.code().code().to_owned(), refusal.constraint().unwrap_or_default().to_owned()))
}

/// What the auditor works with, and may change: it is no evidence.
const WORKING_TABLES: [&str; 5] = ["alert", "audit_mark", "audit_request", "finding", "source_hour"];

/// Every table of the books: all but the auditor's working ones.
async fn tables(client: &Client) -> Vec<String> {
    let statement = "SELECT relname::TEXT FROM pg_class
        WHERE relnamespace = 'countersign'::REGNAMESPACE AND relkind IN ('r', 'p') AND relname <> ALL ($1)
        ORDER BY relname";
    client
        .query(statement, &[&WORKING_TABLES.as_slice()])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}
