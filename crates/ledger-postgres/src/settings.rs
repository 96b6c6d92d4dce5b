//! How to reach the database.

use core::fmt;
use core::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use ports::BooksError;
use tokio_postgres::{Config, NoTls};

use crate::error::of_url;

/// How to reach the books.
#[derive(Clone)]
pub struct Settings {
    /// `postgres://user:password@host:port/database`.
    pub url: String,
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
            connections_max: 4,
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_mins(1),
        }
    }

    /// Connections are made when they are first asked for.
    pub(crate) fn pool(&self, name: &str) -> Result<Pool, BooksError> {
        let mut config: Config = self.url.parse().map_err(|error| of_url(&error))?;
        if config.get_application_name().is_none() {
            config.application_name(name);
        }
        config.connect_timeout(self.connect_timeout);
        config.keepalives_idle(Duration::from_secs(30));
        config.tcp_user_timeout(self.call_timeout);
        // Fast: a transaction that was given up has its ROLLBACK queued, and asking costs a round trip each time.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        Pool::builder(Manager::from_config(config, NoTls, recycling))
            .runtime(Runtime::Tokio1)
            .max_size(self.connections_max)
            .wait_timeout(Some(self.connect_timeout))
            .create_timeout(Some(self.connect_timeout))
            .build()
            .map_err(|_| BooksError::Unavailable("the pool has no runtime".to_owned()))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("connections_max", &self.connections_max).finish_non_exhaustive()
    }
}
