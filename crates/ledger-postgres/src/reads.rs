//! What people read: balances, events, one event's whole story. As role `countersign_operator`.

use core::fmt;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use ledger::{EventId, Status, TraceId, UnixMillis};
use ports::{BooksError, Handle};
use serde::Serialize;
use tokio_postgres::Row;

use crate::Settings;
use crate::life::{self, Life};
use crate::rows::{self, column};
use crate::session::{Session, query};
use crate::story::{self, Story};

/// The books for reading.
pub struct PostgresReader {
    session: Session,
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
    /// What its object shows, in minor units, whether or not it was booked.
    pub object_amount: Option<i64>,
    /// The currency of that.
    pub object_currency: Option<String>,
    /// Where it stands: `booked`, `ignored`, `parked` or `dismissed`.
    pub status: String,
    /// Why, unless booked or dismissed.
    pub status_reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// What its first processing found: `booked`, `ignored` or `parked`.
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

/// All that waits for a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Parked {
    /// The events that stand parked.
    pub sums: Vec<ParkedSum>,
    /// Messages that made no event and wait for a person.
    pub undecided_evidence: u64,
}

/// The events of one source and mode that stand parked and whose objects show amounts of one currency, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParkedSum {
    /// Who sent them.
    pub source: String,
    /// Real money or not.
    pub livemode: bool,
    /// The currency's code; `None` for those that show no amount.
    pub currency: Option<String>,
    /// How many.
    pub events: u64,
    /// The sum of what their objects show, in minor units.
    pub amount_minor: i128,
}

/// A message that made no event and waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UndecidedRow {
    /// The ingress process that sent it; of a message without a name, the beginning of its digest.
    pub instance: String,
    /// Its number there.
    pub sequence: u64,
    /// Why it made none.
    pub reason: String,
    /// Who sent it, where that is known.
    pub source: Option<String>,
    /// The id of the event that it names, if it names one.
    pub event_id: Option<String>,
    /// What the broker says of its way, if it was dead-lettered.
    pub broker_history: Option<String>,
    /// Its trace.
    pub trace_id: Option<String>,
    /// When the books took it.
    pub recorded_at: Timestamp,
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
    /// The head of the chain of checkpoints: what is sealed; absent before the first.
    pub head: Option<Head>,
}

/// The newest checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Its number.
    pub height: i64,
    /// Its digest, hexadecimal.
    pub digest: String,
}

const LAST_AUDIT: &str = "-- last_audit
SELECT id, kind, verdict, finished_at, head.height, head.digest
FROM countersign.audit_run
LEFT JOIN (
  SELECT height, encode(digest, 'hex') AS digest FROM countersign.checkpoint ORDER BY height DESC LIMIT 1
) AS head ON true
ORDER BY id DESC
LIMIT 1";

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

macro_rules! events {
    ($name:literal, $condition:literal) => {
        concat!(
            "-- ",
            $name,
            "
SELECT id, source, provider_account, livemode, event_id, event_type, object_id, object_amount, object_currency,
  standing.status, standing.reason AS status_reason, standing.since, outcome, event.reason, occurred_at,
  event.recorded_at, trace_id
FROM countersign.event
JOIN countersign.event_standing AS standing ON standing.event_row = event.id
WHERE $1::TEXT IS NULL OR (standing.status = $1 AND ",
            $condition,
            ")
ORDER BY id DESC
LIMIT $2"
        )
    };
}

const EVENTS: &str = events!("events", "outcome IN ('parked', $1)");

// What waits or was put away had to wait at first: there is an index of those, the rest is not looked at.
const EVENTS_PARKED_AT_FIRST: &str = events!("events_parked_at_first", "outcome = 'parked'");

const PARKED_MONEY: &str = "-- parked_money
SELECT source, livemode, object_currency, count(*) AS events, coalesce(sum(object_amount), 0)::TEXT AS amount_minor
FROM countersign.event
JOIN countersign.event_standing AS standing ON standing.event_row = event.id
WHERE event.outcome = 'parked' AND standing.status = 'parked'
GROUP BY source, livemode, object_currency
ORDER BY source, livemode DESC, object_currency";

const UNDECIDED_EVIDENCE: &str = "-- undecided_evidence
SELECT count(*) AS count FROM countersign.evidence_undecided";

const UNDECIDED: &str = "-- undecided
SELECT
  delivery.instance, delivery.sequence, undecided.reason, undecided.source, undecided.event_id, delivery.broker_history,
  delivery.trace_id, delivery.recorded_at
FROM countersign.evidence_undecided AS undecided
JOIN countersign.delivery ON delivery.id = undecided.delivery_row
ORDER BY delivery.id
LIMIT $1";

impl PostgresReader {
    /// Connects, and refuses a database whose schema this version does not know.
    pub async fn connect(settings: &Settings, handle: Handle) -> Result<Self, BooksError> {
        Ok(Self { session: Session::connect(settings, handle, "countersign-reader").await? })
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
        self.session
            .read(async |transaction: &Transaction<'_>| {
                query(transaction, BALANCES, &[&at, &known_at]).await?.iter().map(balance).collect()
            })
            .await
    }

    /// The auditor's last run, if there was one.
    pub async fn last_audit(&self) -> Result<Option<LastAudit>, BooksError> {
        self.session
            .read(async |transaction: &Transaction<'_>| {
                query(transaction, LAST_AUDIT, &[]).await?.first().map(last_audit).transpose()
            })
            .await
    }

    /// The newest events, at most `limit`, newest first; of those that stand so, or of all.
    pub async fn events(&self, status: Option<Status>, limit: u32) -> Result<Vec<EventSummary>, BooksError> {
        let statement = match status {
            Some(Status::Parked | Status::Dismissed) => EVENTS_PARKED_AT_FIRST,
            Some(Status::Booked | Status::Ignored) | None => EVENTS,
        };
        let status = status.map(Status::as_str);
        self.session
            .read(async |transaction: &Transaction<'_>| {
                let found = query(transaction, statement, &[&status, &i64::from(limit)]).await?;
                found.iter().map(event_summary).collect()
            })
            .await
    }

    /// What stands parked, and how much money with it.
    pub async fn parked_money(&self) -> Result<Parked, BooksError> {
        self.session
            .read(async |transaction: &Transaction<'_>| {
                let sums = query(transaction, PARKED_MONEY, &[]).await?;
                let undecided = query(transaction, UNDECIDED_EVIDENCE, &[]).await?;
                Ok(Parked {
                    sums: sums.iter().map(parked_sum).collect::<Result<_, _>>()?,
                    undecided_evidence: undecided.first().map_or(Ok(0), |row| counted(row, "count"))?,
                })
            })
            .await
    }

    /// All that the books hold under an event's id. The id may be that of several events, of different sources, accounts
    /// or modes; nothing at all when it is unknown.
    pub async fn event(&self, id: &EventId) -> Result<Story, BooksError> {
        let ids = [id.to_string()];
        self.session
            .read(async |transaction: &Transaction<'_>| story::read(transaction, &ids, &[]).await)
            .await
    }

    /// The same, with what the auditor has made of it: when it was seen to be in balance, and when it was sealed.
    pub async fn life_of_event(&self, id: &EventId) -> Result<Life, BooksError> {
        let ids = [id.to_string()];
        self.session
            .read(async |transaction: &Transaction<'_>| life::read(transaction, &ids, &[]).await)
            .await
    }

    /// The lives of all that one trace brought; nothing at all when the trace is unknown. Traces of the last day are found
    /// at once, older ones by reading every delivery.
    pub async fn lives_in_trace(&self, trace_id: &TraceId) -> Result<Life, BooksError> {
        self.session
            .read(async |transaction: &Transaction<'_>| life::of_trace(transaction, trace_id).await)
            .await
    }

    /// Messages that made no event and wait for a person, at most `limit`, oldest first.
    pub async fn undecided_evidence(&self, limit: u32) -> Result<Vec<UndecidedRow>, BooksError> {
        self.session
            .read(async |transaction: &Transaction<'_>| {
                let found = query(transaction, UNDECIDED, &[&i64::from(limit)]).await?;
                found.iter().map(undecided).collect()
            })
            .await
    }
}

/// A column that counts rows.
fn counted(row: &Row, name: &str) -> Result<u64, BooksError> {
    Ok(column::<i64>(row, name)?.unsigned_abs())
}

fn parked_sum(row: &Row) -> Result<ParkedSum, BooksError> {
    Ok(ParkedSum {
        source: column(row, "source")?,
        livemode: column(row, "livemode")?,
        currency: column(row, "object_currency")?,
        events: counted(row, "events")?,
        amount_minor: rows::word(row, "amount_minor", |text| text.parse().ok())?,
    })
}

fn undecided(row: &Row) -> Result<UndecidedRow, BooksError> {
    Ok(UndecidedRow {
        instance: column(row, "instance")?,
        sequence: column::<i64>(row, "sequence")?.cast_unsigned(),
        reason: column(row, "reason")?,
        source: column(row, "source")?,
        event_id: column(row, "event_id")?,
        broker_history: column(row, "broker_history")?,
        trace_id: column(row, "trace_id")?,
        recorded_at: column(row, "recorded_at")?,
    })
}

fn last_audit(row: &Row) -> Result<LastAudit, BooksError> {
    Ok(LastAudit {
        run: column(row, "id")?,
        kind: column(row, "kind")?,
        verdict: column(row, "verdict")?,
        finished_at: column(row, "finished_at")?,
        head: match column::<Option<i64>>(row, "height")? {
            Some(height) => Some(Head { height, digest: column(row, "digest")? }),
            None => None,
        },
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
        object_amount: column(row, "object_amount")?,
        object_currency: column(row, "object_currency")?,
        status: column(row, "status")?,
        status_reason: column(row, "status_reason")?,
        since: column(row, "since")?,
        outcome: column(row, "outcome")?,
        reason: column(row, "reason")?,
        occurred_at: column(row, "occurred_at")?,
        recorded_at: column(row, "recorded_at")?,
        trace_id: column(row, "trace_id")?,
    })
}
