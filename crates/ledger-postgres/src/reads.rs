//! What people read: balances, events, one event's whole story. As role `countersign_operator`.

use core::fmt;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use ledger::{EventId, Outcome, UnixMillis};
use ports::{BooksError, Handle};
use serde::Serialize;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};

use crate::error::of_driver;
use crate::rows::{self, column};
use crate::settings::Connections;
use crate::story::{self, Story};
use crate::{Settings, check_schema};

/// The books for reading.
pub struct PostgresReader {
    connections: Connections,
    handle: Handle,
    call_timeout: core::time::Duration,
}

impl fmt::Debug for PostgresReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresReader")
    }
}

/// What stands on one account in one book and currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Whose money it is.
    pub provider: String,
    /// The account at the provider: a book of its own.
    pub provider_account: String,
    /// Real money or not.
    pub livemode: bool,
    /// The account of the chart.
    pub account: String,
    /// The currency's code.
    pub currency: String,
    /// The sum of all debits, in minor units.
    pub debit_minor: i128,
    /// The sum of all credits, in minor units, not negative.
    pub credit_minor: i128,
}

/// An event, without its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventSummary {
    /// The row's number: the order in which events came.
    pub row: i64,
    /// Who sent it.
    pub source: String,
    /// Whose book it is about.
    pub provider_account: String,
    /// Real money or not.
    pub livemode: bool,
    /// The provider's id.
    pub event_id: String,
    /// What happened.
    pub event_type: String,
    /// The object it shows.
    pub object_id: Option<String>,
    /// `booked`, `ignored` or `parked`.
    pub outcome: String,
    /// Why, unless booked.
    pub reason: Option<String>,
    /// Its own creation.
    pub occurred_at: Timestamp,
    /// When the books took it.
    pub recorded_at: Timestamp,
    /// The trace of the delivery that brought it.
    pub trace_id: Option<String>,
}

/// The auditor's last verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastAudit {
    /// The run's number.
    pub run: i64,
    /// `incremental` or `full`.
    pub kind: String,
    /// `balanced`, `imbalanced` or `failed`.
    pub verdict: String,
    /// When its last check had ended.
    pub finished_at: Timestamp,
}

const LAST_AUDIT: &str = "-- last_audit
SELECT id, kind, verdict, finished_at FROM countersign.audit_run ORDER BY id DESC LIMIT 1";

const BALANCES: &str = "-- balances
SELECT
  transaction.provider, transaction.provider_account, entry.livemode, account.name AS account, entry.currency,
  coalesce(sum(entry.amount_minor) FILTER (WHERE entry.amount_minor > 0), 0)::TEXT AS debit_minor,
  coalesce(-sum(entry.amount_minor) FILTER (WHERE entry.amount_minor < 0), 0)::TEXT AS credit_minor
FROM countersign.entry
JOIN countersign.transaction ON transaction.id = entry.transaction_id
JOIN countersign.account ON account.id = entry.account_id
WHERE ($1::TIMESTAMPTZ IS NULL OR transaction.occurred_at <= $1)
  AND ($2::TIMESTAMPTZ IS NULL OR transaction.recorded_at <= $2)
GROUP BY transaction.provider, transaction.provider_account, entry.livemode, account.name, entry.currency
ORDER BY transaction.provider, transaction.provider_account, entry.livemode DESC, account.name, entry.currency";

const EVENTS: &str = "-- events
SELECT id, source, provider_account, livemode, event_id, event_type, object_id, outcome, reason, occurred_at,
  recorded_at, trace_id
FROM countersign.event
WHERE $1::TEXT IS NULL OR outcome = $1
ORDER BY id DESC
LIMIT $2";

impl PostgresReader {
    /// Connects, and refuses a database whose schema this version does not know.
    pub async fn connect(settings: &Settings, handle: Handle) -> Result<Self, BooksError> {
        let connections = settings.connections("countersign-reader")?;
        let client = connections.get().await?;
        check_schema(&**client).await?;
        drop(client);
        Ok(Self { connections, handle, call_timeout: settings.call_timeout })
    }

    /// The trial balance: of what happened up to `at`, as it was known at `known_at`; both inclusive, `None` for all.
    /// Accounts without an entry are not in it.
    pub async fn balances(
        &self,
        at: Option<UnixMillis>,
        known_at: Option<UnixMillis>,
    ) -> Result<Vec<Balance>, BooksError> {
        let at = at.map(rows::instant_nearest).transpose()?;
        let known_at = known_at.map(rows::instant_nearest).transpose()?;
        self.read(async |transaction: &Transaction<'_>| {
            query(transaction, BALANCES, &[&at, &known_at]).await?.iter().map(balance).collect()
        })
        .await
    }

    /// The auditor's last run, if there was one.
    pub async fn last_audit(&self) -> Result<Option<LastAudit>, BooksError> {
        self.read(async |transaction: &Transaction<'_>| {
            query(transaction, LAST_AUDIT, &[]).await?.first().map(last_audit).transpose()
        })
        .await
    }

    /// The newest events, at most `limit`, newest first; of one outcome, or of all.
    pub async fn events(
        &self,
        outcome: Option<Outcome>,
        limit: u32,
    ) -> Result<Vec<EventSummary>, BooksError> {
        let outcome = outcome.map(Outcome::as_str);
        self.read(async |transaction: &Transaction<'_>| {
            query(transaction, EVENTS, &[&outcome, &i64::from(limit)])
                .await?
                .iter()
                .map(event_summary)
                .collect()
        })
        .await
    }

    /// All that the books hold under an event's id. The id may be that of several events, of different sources, accounts
    /// or modes; nothing at all when it is unknown.
    pub async fn event(&self, id: &EventId) -> Result<Story, BooksError> {
        self.read(async |transaction: &Transaction<'_>| story::read(transaction, id).await).await
    }

    /// Everything that `work` reads is of one instant.
    async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, BooksError>,
    ) -> Result<T, BooksError> {
        let mut client = self.connections.get().await?;
        let reading = async {
            let builder = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
            let transaction = builder.read_only(true).start().await.map_err(|error| of_driver(&error))?;
            let read = work(&transaction).await?;
            transaction.rollback().await.map_err(|error| of_driver(&error))?;
            Ok(read)
        };
        let unanswered = || BooksError::Unavailable("the database did not answer in time".to_owned());
        self.handle.within(self.call_timeout, reading).await.ok_or_else(unanswered)?
    }
}

pub(crate) async fn query(
    transaction: &Transaction<'_>,
    statement: &'static str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, BooksError> {
    transaction.query(statement, parameters).await.map_err(|error| of_driver(&error))
}

fn last_audit(row: &Row) -> Result<LastAudit, BooksError> {
    Ok(LastAudit {
        run: column(row, "id")?,
        kind: column(row, "kind")?,
        verdict: column(row, "verdict")?,
        finished_at: column(row, "finished_at")?,
    })
}

fn balance(row: &Row) -> Result<Balance, BooksError> {
    Ok(Balance {
        provider: column(row, "provider")?,
        provider_account: column(row, "provider_account")?,
        livemode: column(row, "livemode")?,
        account: column(row, "account")?,
        currency: column(row, "currency")?,
        debit_minor: rows::word(row, "debit_minor", |text| text.parse().ok())?,
        credit_minor: rows::word(row, "credit_minor", |text| text.parse().ok())?,
    })
}

pub(crate) fn event_summary(row: &Row) -> Result<EventSummary, BooksError> {
    Ok(EventSummary {
        row: column(row, "id")?,
        source: column(row, "source")?,
        provider_account: column(row, "provider_account")?,
        livemode: column(row, "livemode")?,
        event_id: column(row, "event_id")?,
        event_type: column(row, "event_type")?,
        object_id: column(row, "object_id")?,
        outcome: column(row, "outcome")?,
        reason: column(row, "reason")?,
        occurred_at: column(row, "occurred_at")?,
        recorded_at: column(row, "recorded_at")?,
        trace_id: column(row, "trace_id")?,
    })
}
