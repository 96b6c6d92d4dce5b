//! The books as the processor sees them.

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use deadpool_postgres::{Object, Transaction};
use futures_util::future::{BoxFuture, try_join};
use ledger::{Account, ActionId, Provider, ProviderAccount, Source};
use ports::{
    Acted, Assess, Books, BooksError, CrashPoint, Decision, EventRecord, Filing, Handle, Record, Recorded,
};
use tokio_postgres::IsolationLevel;
use tokio_postgres::types::ToSql;
use wire::{ControlTotal, Request};

use crate::act::{self, Errand};
use crate::error::of_driver;
use crate::plan::Plan;
use crate::settings::Connections;
use crate::write;
use crate::{Settings, check_schema, rows, standing, totals};

/// What a batch may weigh: far below the 1 GiB that one value of a statement can have.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// An attempt is in vain only when another writer has meanwhile recorded the event or one of its movements.
const ACT_ATTEMPTS_MAX: usize = 100;

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

    /// Makes the books know these sources, if they do not, and says what they know of them: a source's provider and own
    /// account are for ever those of its first start. At start; whoever finds something else there is misconfigured.
    pub async fn ensure_sources(
        &self,
        sources: &[(Source, Provider, ProviderAccount)],
    ) -> Result<BTreeMap<Source, (Provider, ProviderAccount)>, BooksError> {
        let mut names: Vec<&str> = Vec::with_capacity(sources.len());
        let mut providers: Vec<&str> = Vec::with_capacity(sources.len());
        let mut accounts: Vec<&str> = Vec::with_capacity(sources.len());
        for (name, provider, account) in sources {
            names.push(name.as_str());
            providers.push(provider.as_str());
            accounts.push(account.as_str());
        }
        let known = self
            .call(async |client: &mut Object| {
                let statement = "-- insert_sources
INSERT INTO countersign.source (name, provider, own_account)
SELECT * FROM unnest($1::TEXT[], $2::TEXT[], $3::TEXT[]) AS given (name, provider, own_account) ORDER BY name
ON CONFLICT (name) DO NOTHING";
                let columns: [&(dyn ToSql + Sync); 3] = [&names, &providers, &accounts];
                client.execute(statement, &columns).await.map_err(|error| of_driver(&error))?;
                let statement = "-- sources
SELECT name, provider, own_account FROM countersign.source WHERE name = ANY ($1::TEXT[])";
                client.query(statement, &[&names]).await.map_err(|error| of_driver(&error))
            })
            .await?;
        known
            .iter()
            .map(|row| {
                let name = rows::word(row, "name", |text| Source::parse(text).ok())?;
                let provider = rows::word(row, "provider", |text| Provider::parse(text).ok())?;
                let account = rows::word(row, "own_account", |text| ProviderAccount::parse(text).ok())?;
                Ok((name, (provider, account)))
            })
            .collect()
    }

    /// Runs `work` on a connection. One that does not answer in time is closed, not given to the next caller.
    async fn call<T>(
        &self,
        work: impl AsyncFnOnce(&mut Object) -> Result<T, BooksError>,
    ) -> Result<T, BooksError> {
        self.connections.say_where();
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

    async fn carry_out(&self, id: ActionId, assess: &Assess) -> Result<Option<Acted>, BooksError> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut errand = Errand { id, assess, accounts: &accounts, refused: false };
        for _ in 0..ACT_ATTEMPTS_MAX {
            let attempted = self.call(async |client: &mut Object| act::attempt(client, &errand).await).await;
            match attempted {
                Ok(Some(done)) => return Ok(done),
                Ok(None) => {}
                // What the books refuse stays parked, and the action has had its effect: nobody asks for it for ever.
                Err(BooksError::Refused(_)) if !errand.refused => errand.refused = true,
                Err(error) => return Err(error),
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

    fn count<'a>(&'a self, total: &'a ControlTotal) -> BoxFuture<'a, Result<(), BooksError>> {
        Box::pin(self.call(async |client: &mut Object| totals::count(client, total).await))
    }

    fn act<'a>(
        &'a self,
        request: Request,
        assess: &'a Assess,
    ) -> BoxFuture<'a, Result<Option<Acted>, BooksError>> {
        Box::pin(self.carry_out(request.action, assess))
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
    let transaction = start(client).await?;
    let ((), standing) = try_join(by_keys(&transaction), standing::read(&transaction, batch)).await?;
    let (plan, answers) = Plan::of(batch, &standing)?;
    if plan.is_empty() || write::write(&transaction, &plan, accounts).await?.is_some() {
        CrashPoint::ProcessorWritten.pass();
        transaction.commit().await.map_err(|error| of_driver(&error)).map(|()| Some(answers))
    } else {
        transaction.rollback().await.map_err(|error| of_driver(&error)).map(|()| None)
    }
}

async fn start(client: &mut Object) -> Result<Transaction<'_>, BooksError> {
    let builder = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
    builder.start().await.map_err(|error| of_driver(&error))
}

/// Every row is found by a key. A plan is kept as long as its connection, and made when the tables may be
/// empty: without this, foreign keys would be looked up by reading whole tables until somebody analyses them.
async fn by_keys(transaction: &Transaction<'_>) -> Result<(), BooksError> {
    let settings = "SET LOCAL enable_seqscan = off; SET LOCAL jit = off";
    transaction.batch_execute(settings).await.map_err(|error| of_driver(&error))
}

/// A transaction that does so.
pub(crate) async fn begin(client: &mut Object) -> Result<Transaction<'_>, BooksError> {
    let transaction = start(client).await?;
    by_keys(&transaction).await?;
    Ok(transaction)
}

fn weight(record: &Record) -> usize {
    match &record.filing {
        Filing::Event(record) => record.event.payload.len(),
        Filing::Evidence { .. } => record.delivery.message.len(),
    }
}

/// How many unique keys a record names.
fn keys(record: &Record) -> usize {
    match &record.filing {
        // Of its message, of the event, of a status.
        Filing::Event(EventRecord { decision: Decision::Book(asserted), .. }) => {
            asserted.len().saturating_add(3)
        }
        Filing::Event(EventRecord { decision: Decision::Keep(_), .. }) => 3,
        Filing::Evidence { .. } => 1,
    }
}
