//! How to reach the database.

use core::fmt;
use core::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use ports::BooksError;
use secrecy::ExposeSecret as _;
use tls::Tls;
use tls::postgres::Address;
use tokio_postgres::config::Host;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::Span;

use crate::error::{of_connecting, of_pool, of_url};

/// How to reach the books.
#[derive(Clone)]
pub struct Settings {
    /// `postgres://user:password@host:port/database`; with `?sslmode=verify-full` over TLS.
    pub url: String,
    /// Whom to trust over TLS and as whom to appear.
    pub tls: Tls,
    /// The most connections at a time.
    pub connections_max: usize,
    /// How long a connection may take to be made, or to become free.
    pub connect_timeout: Duration,
    /// How long one call may take in all; longer than the role's `statement_timeout`, which ends a slow statement first.
    pub call_timeout: Duration,
}

impl Settings {
    /// The books at `url`: 4 connections, 5 s to connect, 60 s for a call.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tls: Tls::default(),
            connections_max: 4,
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_mins(1),
        }
    }

    /// Connections are made when they are first asked for.
    pub(crate) fn connections(&self, name: &str) -> Result<Connections, BooksError> {
        let Route { mut config, connector, line } = self.route()?;
        if config.get_application_name().is_none() {
            config.application_name(name);
        }
        config.connect_timeout(self.connect_timeout);
        config.keepalives_idle(Duration::from_secs(30));
        config.tcp_user_timeout(self.call_timeout);
        // Fast: a transaction that was given up has its ROLLBACK queued, and asking costs a round trip each time.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let place = Place::of(&config);
        let manager = match connector {
            None => Manager::from_config(config, NoTls, recycling),
            Some(rustls) => Manager::from_config(config, rustls, recycling),
        };
        let pool = Pool::builder(manager)
            .runtime(Runtime::Tokio1)
            .max_size(self.connections_max)
            .wait_timeout(Some(self.connect_timeout))
            .create_timeout(Some(self.connect_timeout))
            .build()
            .map_err(|_| BooksError::Unavailable("the pool has no runtime".to_owned()))?;
        Ok(Connections { pool, line, place })
    }

    /// How the driver gets there.
    pub(crate) fn route(&self) -> Result<Route, BooksError> {
        let address = Address::parse(&self.url).map_err(|refused| incompatible(&refused))?;
        let config = address.driver_url.expose_secret().parse().map_err(|error| of_url(&error))?;
        let connector = if address.encrypted {
            let rustls = self.tls.client_config().map_err(|none| incompatible(&none))?;
            Some(MakeRustlsConnect::new(rustls))
        } else {
            None
        };
        Ok(Route { config, connector, line: Line { tls: self.tls.clone(), hosts: address.hosts } })
    }
}

fn incompatible(error: &dyn fmt::Display) -> BooksError {
    BooksError::Incompatible(error.to_string())
}

/// What the driver connects with; in the clear without a connector.
pub(crate) struct Route {
    pub(crate) config: Config,
    pub(crate) connector: Option<MakeRustlsConnect>,
    pub(crate) line: Line,
}

/// What a failed connection is explained with.
pub(crate) struct Line {
    tls: Tls,
    hosts: String,
}

impl Line {
    /// Why a connection could not be made: TLS says which file, all else as of the driver.
    pub(crate) fn of_connecting(&self, error: &tokio_postgres::Error) -> BooksError {
        self.explain(error).unwrap_or_else(|| of_connecting(error))
    }

    fn explain(&self, error: &(dyn core::error::Error + 'static)) -> Option<BooksError> {
        self.tls.explain(&self.hosts, error).map(BooksError::Unavailable)
    }
}

/// The pool, and where it leads.
pub(crate) struct Connections {
    pool: Pool,
    line: Line,
    place: Place,
}

/// What spans are told of where the pool leads.
struct Place {
    namespace: String,
    host: Option<String>,
    port: Option<u16>,
}

impl Place {
    fn of(config: &Config) -> Self {
        let host = config.get_hosts().iter().find_map(|host| match host {
            Host::Tcp(name) => Some(name.clone()),
            #[cfg(unix)]
            Host::Unix(_) => None,
        });
        let namespace = format!("{}|countersign", config.get_dbname().unwrap_or_default());
        Self { namespace, host, port: config.get_ports().first().copied() }
    }
}

impl Connections {
    /// Says on the current span, which is its caller's, where its statements go.
    pub(crate) fn say_where(&self) {
        let Place { namespace, host, port } = &self.place;
        let span = Span::current();
        span.record("db.namespace", namespace).record("server.port", port);
        span.record("server.address", host.as_deref());
    }

    /// One that is free, or a new one.
    pub(crate) async fn get(&self) -> Result<Object, BooksError> {
        self.pool.get().await.map_err(|error| self.line.explain(&error).unwrap_or_else(|| of_pool(&error)))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("connections_max", &self.connections_max).finish_non_exhaustive()
    }
}
