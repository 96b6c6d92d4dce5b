//! What the database's errors mean to whoever audits.

use std::error::Error as _;

use deadpool_postgres::PoolError;
use tokio_postgres::error::DbError;

use crate::RunId;

/// Why a run could not be done. The texts name the statement and the SQLSTATE, never a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditStoreError {
    /// The next run may succeed.
    #[error("the books cannot be read: {0}")]
    Unavailable(String),
    /// No run succeeds before a person migrates, grants or configures.
    #[error("the books cannot be audited by this version: {0}")]
    Incompatible(String),
    /// There is no run of this number.
    #[error("there is no audit run {0}")]
    NoSuchRun(RunId),
    /// Another auditor is doing the same.
    #[error("another auditor is at it")]
    Elsewhere,
}

/// What an error of `statement` means; by SQLSTATE, never by message text.
pub(crate) fn of_driver(statement: &'static str) -> impl Fn(tokio_postgres::Error) -> AuditStoreError {
    move |error| match (error.as_db_error(), error.source()) {
        (Some(refusal), _) => of_database(statement, refusal),
        (None, Some(cause)) if !error.is_closed() && !is_io(cause) => unreadable(statement),
        (None, _) => AuditStoreError::Unavailable(format!("{statement}: the connection broke")),
    }
}

fn of_database(statement: &'static str, refusal: &DbError) -> AuditStoreError {
    let code = refusal.code().code();
    let text = format!("{statement}: SQLSTATE {code}");
    match code.get(..2).unwrap_or_default() {
        // 42: a table, a column or a privilege is missing.
        "42" | "3F" | "0A" => AuditStoreError::Incompatible(text),
        _ => AuditStoreError::Unavailable(text),
    }
}

fn is_io(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<std::io::Error>() || cause.source().is_some_and(is_io)
}

/// A column has another type than this version knows.
pub(crate) fn unreadable(statement: &'static str) -> AuditStoreError {
    AuditStoreError::Incompatible(format!("{statement}: a column has another type"))
}

/// A connection could not be had.
pub(crate) fn of_pool(error: &PoolError) -> AuditStoreError {
    let text = match error {
        PoolError::Backend(error) => match error.as_db_error() {
            Some(refusal) => return of_database("connect", refusal),
            None => "the server cannot be reached",
        },
        PoolError::Timeout(_) => "no connection within the time",
        PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            "the pool is closed"
        }
    };
    AuditStoreError::Unavailable(text.to_owned())
}
