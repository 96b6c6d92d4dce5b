//! How to reach the books.

use core::fmt;
use core::sync::atomic::AtomicI64;
use core::time::Duration;
use std::sync::Arc;

use audit::Limits;
use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use secrecy::ExposeSecret as _;
use tls::Tls;
use tls::postgres::Address;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::AuditStoreError;
use crate::error::of_pool;
use crate::schema::check_schema;

/// How many rows below the last checkpoint an incremental run reads again, so that damage to them is found at once.
const TAIL_ROWS: u64 = 10_000;

/// How many rows one checkpoint seals at most, about: what is read again together.
const SEAL_MAX: i64 = 10_000;

/// A run on schedule and one on demand, each with two more for what is sealed; alerts; and whether the database answers.
const CONNECTIONS_MAX: usize = 8;

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
    /// What is too long, too many, too much.
    pub limits: Limits,
    /// How many sealed rows an incremental run reads again at least, so that damage to them is found at once.
    pub tail_rows: u64,
    /// How many rows one checkpoint seals at most, about; all that one database transaction wrote goes into one.
    pub seal_max: i64,
}

impl Settings {
    /// The books at `url`; over TLS, whom the system trusts is trusted; the limits are the usual ones.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tls: Tls::default(),
            limits: Limits::default(),
            tail_rows: TAIL_ROWS,
            seal_max: SEAL_MAX,
        }
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

/// The books as an auditor sees them. Cheap to clone.
#[derive(Clone)]
pub struct AuditStore {
    pool: Pool,
    tls: Tls,
    hosts: String,
    pub(crate) limits: Limits,
    pub(crate) tail_rows: u64,
    pub(crate) seal_max: i64,
    /// Every message is booked that a control total with a lower transaction number lists.
    pub(crate) booked_below: Arc<AtomicI64>,
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
        Ok(Self {
            pool,
            tls: settings.tls.clone(),
            hosts: address.hosts,
            limits: settings.limits.clone(),
            tail_rows: settings.tail_rows,
            seal_max: settings.seal_max,
            booked_below: Arc::default(),
        })
    }

    /// Whether the database answers and has a schema that can be audited.
    pub async fn ready(&self) -> Result<(), AuditStoreError> {
        check_schema(&*self.client().await?).await
    }

    pub(crate) async fn client(&self) -> Result<deadpool_postgres::Client, AuditStoreError> {
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
