//! A run: every check in one snapshot, and its record.

use core::fmt;
use core::time::Duration;

use audit::{Check, Instant, Kind, Report, Run, Snapshot, check_balance, check_transactions};
use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tls::Tls;
use tls::postgres::Address;
use tokio_postgres::{Client, Config, IsolationLevel, NoTls, Transaction};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::AuditStoreError;
use crate::error::{of_driver, of_pool, unreadable};
use crate::read::{Horizon, suspects, totals};
use crate::record::{Frame, record, record_failure, recorded};
use crate::schema::check_schema;

/// A run on schedule, one on demand, and a look at whether the database answers.
const CONNECTIONS_MAX: usize = 3;

/// How long a connection may take, to be made or to become free.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that has vanished without a word is noticed after about a minute.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// Where the books are. Prints nothing of the URL, which may hold a password.
#[derive(Clone)]
pub struct Settings {
    /// `postgres://countersign_auditor@host/countersign`; with `?sslmode=verify-full` over TLS.
    pub url: String,
    /// Whom to trust over TLS and as whom to appear.
    pub tls: Tls,
}

impl Settings {
    /// The books at `url`; over TLS, whom the system trusts is trusted.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), tls: Tls::default() }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

/// The number of a recorded run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A run that came to a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Under which number it stands in `audit_run`; a verdict that could not be recorded is one all the same.
    pub recorded: Result<RunId, AuditStoreError>,
    /// What it found.
    pub report: Report,
}

/// The books as an auditor sees them. Cheap to clone.
#[derive(Clone)]
pub struct AuditStore {
    pool: Pool,
    tls: Tls,
    hosts: String,
}

impl fmt::Debug for AuditStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditStore")
    }
}

impl AuditStore {
    /// A store on the database at `settings.url`. Connects when it is first used, and again when it has to: an auditor
    /// whose database is down at start is one whose runs fail, and says so.
    pub fn connect(settings: &Settings) -> Result<Self, AuditStoreError> {
        let not_a_url = |_| AuditStoreError::Incompatible("not the URL of a Postgres database".to_owned());
        let address = Address::parse(&settings.url).map_err(|refused| incompatible(&refused))?;
        let mut config: Config = address.driver_url.expose_secret().parse().map_err(not_a_url)?;
        config
            .application_name("countersign-audit")
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES);
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = if address.encrypted {
            let rustls = settings.tls.client_config().map_err(|none| incompatible(&none))?;
            Manager::from_config(config, MakeRustlsConnect::new(rustls), recycling)
        } else {
            Manager::from_config(config, NoTls, recycling)
        };
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS_MAX)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .recycle_timeout(Some(CONNECT_TIMEOUT))
            .build()
            .map_err(|_| AuditStoreError::Incompatible("a connection pool cannot be made".to_owned()))?;
        Ok(Self { pool, tls: settings.tls.clone(), hosts: address.hosts })
    }

    /// Whether the database answers and has a schema that can be audited.
    pub async fn ready(&self) -> Result<(), AuditStoreError> {
        check_schema(&*self.client().await?).await
    }

    /// Runs every check in one snapshot and records the verdict; a run that fails halfway is recorded as that if it can.
    pub async fn run(&self, kind: Kind) -> Result<Audited, AuditStoreError> {
        let mut client = self.client().await?;
        check_schema(&client).await?;
        let transaction = snapshot(&mut client).await?;
        let mut frame = frame(&transaction, kind).await?;
        match examine(&transaction, &Horizon::Now, &mut frame).await {
            Ok(report) => {
                transaction.commit().await.map_err(of_driver("commit"))?;
                let recorded = record(&client, &frame, &report).await;
                Ok(Audited { recorded, report })
            }
            Err(error) => {
                // What counts is the first error; that even the record failed is no news.
                if transaction.rollback().await.is_ok() {
                    drop(record_failure(&client, &frame, &error).await);
                }
                Err(error)
            }
        }
    }

    /// Runs every check again on what a recorded run saw, and records nothing. Where the report differs, somebody changed
    /// what cannot change.
    pub async fn repeat(&self, run: RunId) -> Result<Report, AuditStoreError> {
        let mut client = self.client().await?;
        check_schema(&client).await?;
        let transaction = snapshot(&mut client).await?;
        let (kind, horizon) = recorded(&transaction, run).await?;
        let mut frame = frame(&transaction, kind).await?;
        if let Horizon::Recorded { snapshot, .. } = &horizon {
            frame.snapshot.clone_from(snapshot);
        }
        let report = examine(&transaction, &horizon, &mut frame).await?;
        transaction.commit().await.map_err(of_driver("commit"))?;
        Ok(report)
    }

    async fn client(&self) -> Result<deadpool_postgres::Client, AuditStoreError> {
        self.pool.get().await.map_err(|error| self.of_connecting(&error))
    }

    /// Why there is no connection: TLS says which file, all else as of the pool.
    fn of_connecting(&self, error: &PoolError) -> AuditStoreError {
        match self.tls.explain(&self.hosts, error) {
            Some(why) => AuditStoreError::Unavailable(why),
            None => of_pool(error),
        }
    }
}

fn incompatible(error: &dyn fmt::Display) -> AuditStoreError {
    AuditStoreError::Incompatible(error.to_string())
}

async fn snapshot(client: &mut Client) -> Result<Transaction<'_>, AuditStoreError> {
    client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(of_driver("begin"))
}

/// Every check, one query and one pure function each. The compiler asks for both when a check is added.
async fn examine(
    transaction: &Transaction<'_>,
    horizon: &Horizon,
    frame: &mut Frame,
) -> Result<Report, AuditStoreError> {
    let totals = totals(transaction, horizon).await?;
    let mut results = Vec::with_capacity(Check::ALL.len());
    for check in Check::ALL {
        let result = match check {
            Check::Balance => check_balance(&totals),
            Check::Transactions => check_transactions(&suspects(transaction, horizon).await?),
        };
        results.push((check, result));
    }
    frame.finished_at = database_time(transaction).await?;
    let run = Run {
        kind: frame.kind,
        snapshot: Snapshot::new(&*frame.snapshot),
        started_at: Instant::new(frame.started_at.to_string()),
        finished_at: Instant::new(frame.finished_at.to_string()),
    };
    Ok(Report::new(run, &totals, results))
}

/// The first statement of a run: it fixes the snapshot.
async fn frame(transaction: &Transaction<'_>, kind: Kind) -> Result<Frame, AuditStoreError> {
    let statement = "-- frame
SELECT pg_current_snapshot()::TEXT, clock_timestamp()";
    let rows = transaction.query_typed(statement, &[]).await.map_err(of_driver("frame"))?;
    let row = rows.first().ok_or_else(|| unreadable("frame"))?;
    let snapshot = row.try_get(0).map_err(of_driver("frame"))?;
    let started_at = row.try_get(1).map_err(of_driver("frame"))?;
    Ok(Frame { kind, snapshot, started_at, finished_at: started_at })
}

async fn database_time(transaction: &Transaction<'_>) -> Result<Timestamp, AuditStoreError> {
    let statement = "-- database_time
SELECT clock_timestamp()";
    let rows = transaction.query_typed(statement, &[]).await.map_err(of_driver("database_time"))?;
    let row = rows.first().ok_or_else(|| unreadable("database_time"))?;
    row.try_get(0).map_err(of_driver("database_time"))
}
