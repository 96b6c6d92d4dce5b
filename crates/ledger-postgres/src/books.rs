//! The books as the processor sees them.

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use deadpool_postgres::Object;
use futures_util::future::{BoxFuture, try_join};
use ledger::Account;
use ports::{Books, BooksError, Filing, Handle, Record, Recorded};
use tokio_postgres::IsolationLevel;

use crate::error::of_driver;
use crate::plan::Plan;
use crate::settings::Connections;
use crate::write::{self, Written};
use crate::{Settings, check_schema, rows, standing};

/// What a batch may weigh: far below the 1 GiB that one value of a statement can have.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// The books in Postgres, as role `countersign_processor`.
pub struct PostgresBooks {
    connections: Connections,
    handle: Handle,
    call_timeout: Duration,
    accounts: RwLock<HashMap<Account, i64>>,
}

impl fmt::Debug for PostgresBooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresBooks")
    }
}

impl PostgresBooks {
    /// Connects, and refuses a database whose schema this version does not know.
    pub async fn connect(settings: &Settings, handle: Handle) -> Result<Self, BooksError> {
        let connections = settings.connections("countersign-processor")?;
        let client = connections.get().await?;
        check_schema(&**client).await?;
        drop(client);
        Ok(Self { connections, handle, call_timeout: settings.call_timeout, accounts: RwLock::default() })
    }

    /// Opens the accounts that are missing. At start, before anything is recorded: a transaction on any other account is
    /// `Incompatible`.
    pub async fn ensure_accounts(&self, accounts: &BTreeSet<Account>) -> Result<(), BooksError> {
        let names: Vec<&str> = accounts.iter().map(Account::as_str).collect();
        let opened = self
            .call(async |client: &mut Object| {
                let statement = "-- open_accounts
INSERT INTO countersign.account (name) SELECT * FROM unnest($1::TEXT[]) ON CONFLICT (name) DO NOTHING";
                client.execute(statement, &[&names]).await.map_err(|error| of_driver(&error))?;
                let statement = "-- accounts
SELECT id, name FROM countersign.account WHERE name = ANY ($1::TEXT[])";
                client.query(statement, &[&names]).await.map_err(|error| of_driver(&error))
            })
            .await?;
        let mut known = HashMap::new();
        for row in &opened {
            known
                .insert(rows::word(row, "name", |name| Account::parse(name).ok())?, rows::column(row, "id")?);
        }
        self.accounts.write().unwrap_or_else(PoisonError::into_inner).extend(known);
        Ok(())
    }

    /// Runs `work` on a connection. One that does not answer in time is closed, not given to the next caller.
    async fn call<T>(
        &self,
        work: impl AsyncFnOnce(&mut Object) -> Result<T, BooksError>,
    ) -> Result<T, BooksError> {
        let mut client = self.connections.get().await?;
        if let Some(done) = self.handle.within(self.call_timeout, work(&mut client)).await {
            return done;
        }
        drop(Object::take(client));
        Err(BooksError::Unavailable("the database did not answer in time".to_owned()))
    }

    async fn record_batch(&self, batch: &[Record]) -> Result<Vec<Recorded>, BooksError> {
        if batch.len() > 1 && batch.iter().map(weight).sum::<usize>() > BATCH_BYTES_MAX {
            return Err(BooksError::Refused("the batch is too large".to_owned()));
        }
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner).clone();
        // An attempt is in vain only when another writer has meanwhile recorded a message, an event or a movement of this
        // batch, and what is recorded the next attempt finds standing.
        let attempts_max = batch.iter().map(keys).sum::<usize>().saturating_add(1);
        for _ in 0..attempts_max {
            if let Some(answers) =
                self.call(async |client: &mut Object| attempt(client, batch, &accounts).await).await?
            {
                return Ok(answers);
            }
        }
        Err(BooksError::Unavailable("other writers of the same keys were always faster".to_owned()))
    }

    async fn write_nothing(&self) -> Result<(), BooksError> {
        self.call(async |client: &mut Object| {
            // A record in the write-ahead log that this transaction's COMMIT has to bring to the disk. Taking a
            // transaction number alone would not: its COMMIT is not waited for.
            let statement = "-- probe
SELECT pg_logical_emit_message(true, 'countersign', 'probe')";
            client.query_one(statement, &[]).await.map_err(|error| of_driver(&error)).map(drop)
        })
        .await
    }
}

impl Books for PostgresBooks {
    fn record<'a>(&'a self, batch: &'a [Record]) -> BoxFuture<'a, Result<Vec<Recorded>, BooksError>> {
        Box::pin(self.record_batch(batch))
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), BooksError>> {
        Box::pin(self.write_nothing())
    }
}

/// One transaction: reads what stands, plans, inserts, commits. `None` when another writer was faster.
async fn attempt(
    client: &mut Object,
    batch: &[Record],
    accounts: &HashMap<Account, i64>,
) -> Result<Option<Vec<Recorded>>, BooksError> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::ReadCommitted)
        .start()
        .await
        .map_err(|error| of_driver(&error))?;
    // Every row is found by a key. A plan is kept as long as its connection, and made when the tables may be empty: without
    // this, foreign keys would be looked up by reading whole tables until somebody analyses them.
    let by_keys = async {
        transaction
            .batch_execute("SET LOCAL enable_seqscan = off; SET LOCAL jit = off")
            .await
            .map_err(|error| of_driver(&error))
    };
    let ((), standing) = try_join(by_keys, standing::read(&transaction, batch)).await?;
    let (plan, answers) = Plan::of(batch, &standing)?;
    let written =
        if plan.is_empty() { Written::Whole } else { write::write(&transaction, &plan, accounts).await? };
    match written {
        Written::Whole => {
            transaction.commit().await.map_err(|error| of_driver(&error)).map(|()| Some(answers))
        }
        Written::Raced => transaction.rollback().await.map_err(|error| of_driver(&error)).map(|()| None),
    }
}

fn weight(record: &Record) -> usize {
    match &record.filing {
        Filing::Event(event, _) => event.payload.len(),
        Filing::Evidence { body, .. } => body.len(),
    }
}

/// How many unique keys a record names.
fn keys(record: &Record) -> usize {
    match &record.filing {
        Filing::Event(_, ports::Decision::Book(asserted)) => asserted.len().saturating_add(2),
        Filing::Event(_, ports::Decision::Keep(_)) => 2,
        Filing::Evidence { .. } => 1,
    }
}
