//! What the database's errors mean to whoever records.

use ports::BooksError;
use tokio_postgres::error::{DbError, SqlState};
use tracing::Span;

/// By SQLSTATE, never by message text. The text of the result names state and constraint and no row data: a message,
/// a detail or a parameter may quote a row.
pub(crate) fn of_driver(error: &tokio_postgres::Error) -> BooksError {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(refusal), _) => of_database(refusal),
        (None, _) if error.is_closed() => BooksError::Unavailable("the connection is closed".to_owned()),
        (None, Some(cause)) if !is_io(cause) => {
            // Thrown by a conversion: the columns are not the ones that we know.
            BooksError::Incompatible("a value and its column are of different types".to_owned())
        }
        (None, _) => BooksError::Unavailable("the connection broke".to_owned()),
    }
}

fn of_database(refusal: &DbError) -> BooksError {
    // For whoever has a span around the call.
    Span::current().record("db.response.status_code", refusal.code().code());
    of_state(refusal.code(), refusal.constraint())
}

fn of_state(state: &SqlState, constraint: Option<&str>) -> BooksError {
    let code = state.code();
    let text = match constraint {
        Some(constraint) => format!("SQLSTATE {code}, constraint {constraint}"),
        None => format!("SQLSTATE {code}"),
    };
    match code.get(..2).unwrap_or_default() {
        // 54: a value or a statement is too large, as 22 and 23 a matter of what is in the batch.
        "22" | "23" | "54" => BooksError::Refused(text),
        _ if *state == SqlState::RAISE_EXCEPTION => BooksError::Refused(text),
        // 42: a table, a column or a privilege is missing.
        "42" | "0A" => BooksError::Incompatible(text),
        // 40001, 40P01, 55P03, 57, 53, 08, 58; 25006 from a demoted primary; 28 and 3D while a server is being set up;
        // and whatever we do not know: to try again loses nothing.
        _ => BooksError::Unavailable(text),
    }
}

fn is_io(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<std::io::Error>() || cause.source().is_some_and(is_io)
}

/// A connection could not be made. Not connected, so nothing can be of another version.
pub(crate) fn of_connecting(error: &tokio_postgres::Error) -> BooksError {
    match error.as_db_error() {
        Some(refusal) => of_database(refusal),
        None => BooksError::Unavailable("the server cannot be reached".to_owned()),
    }
}

/// A connection could not be had.
pub(crate) fn of_pool(error: &deadpool_postgres::PoolError) -> BooksError {
    use deadpool_postgres::PoolError;
    match error {
        PoolError::Backend(error) => of_connecting(error),
        PoolError::Timeout(_) => BooksError::Unavailable("no connection became free in time".to_owned()),
        PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            BooksError::Unavailable("the pool is closed".to_owned())
        }
    }
}

/// A URL that is none.
pub(crate) fn of_url(_: &tokio_postgres::Error) -> BooksError {
    BooksError::Incompatible("not the URL of a Postgres database".to_owned()) // and never the text: it holds a password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_says_whether_to_try_again_to_try_smaller_batches_or_to_call_somebody() {
        for code in [
            "40001", "40P01", "55P03", "57014", "57P01", "53100", "53300", "08006", "25006", "58030", "XX000",
        ] {
            let error = of_state(&SqlState::from_code(code), None);
            assert_eq!(error, BooksError::Unavailable(format!("SQLSTATE {code}")));
        }
        for code in ["22021", "22P02", "23001", "23505", "23514", "54000", "P0001"] {
            let error = of_state(&SqlState::from_code(code), Some("entry_balanced"));
            assert_eq!(error, BooksError::Refused(format!("SQLSTATE {code}, constraint entry_balanced")));
        }
        for code in ["42P01", "42703", "42501", "0A000"] {
            let error = of_state(&SqlState::from_code(code), None);
            assert_eq!(error, BooksError::Incompatible(format!("SQLSTATE {code}")));
        }
    }
}
