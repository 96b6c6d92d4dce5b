//! Statements with typed parameters, and the columns of their rows by name.

use audit::Instant;
use jiff::Timestamp;
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{GenericClient, Row};

use crate::AuditStoreError;
use crate::error::{of_driver, unreadable};

/// Values with the types that the statement casts them to.
pub(crate) type Parameters<'p> = &'p [(&'p (dyn ToSql + Sync), Type)];

/// All rows of a statement. Nothing is prepared: a plan is made for these values.
pub(crate) async fn query(
    client: &impl GenericClient,
    name: &'static str,
    statement: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, AuditStoreError> {
    client.query_typed(statement, parameters).await.map_err(of_driver(name))
}

/// The one row of a statement that always has one.
pub(crate) async fn query_one(
    client: &impl GenericClient,
    name: &'static str,
    statement: &str,
    parameters: Parameters<'_>,
) -> Result<Row, AuditStoreError> {
    query(client, name, statement, parameters).await?.pop().ok_or_else(|| unreadable(name))
}

/// One row of a statement; its columns by name.
pub(crate) struct Columns<'r> {
    pub(crate) statement: &'static str,
    pub(crate) row: &'r Row,
}

impl<'r> Columns<'r> {
    pub(crate) fn read<T: FromSql<'r>>(&self, name: &str) -> Result<T, AuditStoreError> {
        self.row.try_get(name).map_err(|_| unreadable(self.statement))
    }

    /// A text, wrapped.
    pub(crate) fn text<T>(&self, name: &str, wrap: impl FnOnce(&'r str) -> T) -> Result<T, AuditStoreError> {
        self.read::<&str>(name).map(wrap)
    }

    /// A text that may be NULL, wrapped.
    pub(crate) fn optional<T>(
        &self,
        name: &str,
        wrap: impl FnOnce(&'r str) -> T,
    ) -> Result<Option<T>, AuditStoreError> {
        Ok(self.read::<Option<&str>>(name)?.map(wrap))
    }

    /// An instant.
    pub(crate) fn instant(&self, name: &str) -> Result<Instant, AuditStoreError> {
        Ok(Instant::new(self.read::<Timestamp>(name)?.to_string()))
    }

    /// A count, which is never negative.
    pub(crate) fn count(&self, name: &str) -> Result<u64, AuditStoreError> {
        u64::try_from(self.read::<i64>(name)?).map_err(|_| unreadable(self.statement))
    }

    /// A sum of BIGINT, which is NUMERIC and comes as text: no damage makes it wider than 128 bits.
    pub(crate) fn sum(&self, name: &str) -> Result<Option<i128>, AuditStoreError> {
        let text = self.read::<Option<&str>>(name)?;
        text.map(|text| text.parse().map_err(|_| unreadable(self.statement))).transpose()
    }
}
