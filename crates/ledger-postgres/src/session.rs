//! Connections of people's tools, one database transaction at a time.

use core::time::Duration;

use deadpool_postgres::Transaction;
use ports::{BooksError, Handle};
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};

use crate::error::of_driver;
use crate::settings::Connections;
use crate::{Settings, check_schema};

/// The database, for one transaction after the other.
pub(crate) struct Session {
    connections: Connections,
    handle: Handle,
    call_timeout: Duration,
}

impl Session {
    /// Connects under this name, and refuses a database whose schema this version does not know.
    pub(crate) async fn connect(settings: &Settings, handle: Handle, name: &str) -> Result<Self, BooksError> {
        let connections = settings.connections(name)?;
        let client = connections.get().await?;
        check_schema(&**client).await?;
        drop(client);
        Ok(Self { connections, handle, call_timeout: settings.call_timeout })
    }

    /// Everything that `work` reads is of one instant.
    pub(crate) async fn read<T>(
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
        self.handle.within(self.call_timeout, reading).await.ok_or_else(unanswered)?
    }

    /// What `work` writes is committed, or nothing is.
    pub(crate) async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, BooksError>,
    ) -> Result<T, BooksError> {
        let mut client = self.connections.get().await?;
        let writing = async {
            let builder = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
            let transaction = builder.start().await.map_err(|error| of_driver(&error))?;
            let written = work(&transaction).await?;
            transaction.commit().await.map_err(|error| of_driver(&error))?;
            Ok(written)
        };
        self.handle.within(self.call_timeout, writing).await.ok_or_else(unanswered)?
    }
}

fn unanswered() -> BooksError {
    BooksError::Unavailable("the database did not answer in time".to_owned())
}

pub(crate) async fn query(
    transaction: &Transaction<'_>,
    statement: &'static str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, BooksError> {
    transaction.query(statement, parameters).await.map_err(|error| of_driver(&error))
}
