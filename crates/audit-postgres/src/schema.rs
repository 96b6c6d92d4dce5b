//! Whether the database has a schema that this version can audit. Written again here, not shared with the code that
//! posts: the auditor links none of it.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::AuditStoreError;
use crate::error::of_driver;

/// The schema version that the statements of this crate were written for.
pub const SCHEMA_VERSION: i32 = 2;

/// The oldest schema that they work on.
const SCHEMA_VERSION_MIN: i32 = 2;

/// Refuses a schema that is older than the statements need, or that says it needs a newer reader.
pub(crate) async fn check_schema(client: &Client) -> Result<(), AuditStoreError> {
    let statement = "-- stored_version
SELECT max(version), max(min_reader) FROM countersign.schema_version";
    let missing =
        || AuditStoreError::Incompatible("there is no schema; run `countersign migrate`".to_owned());
    let row = client.query_typed(statement, &[]).await.map_err(|error| match error.code() {
        Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME) => missing(),
        Some(_) | None => of_driver("stored_version")(error),
    })?;
    let row = row.first().ok_or_else(missing)?;
    let number = |index| row.try_get::<_, Option<i32>>(index).map_err(of_driver("stored_version"));
    match (number(0)?, number(1)?) {
        (Some(version), _) if version < SCHEMA_VERSION_MIN => Err(AuditStoreError::Incompatible(format!(
            "the schema has version {version}, this program needs {SCHEMA_VERSION_MIN}; run `countersign migrate`"
        ))),
        (_, Some(min_reader)) if min_reader > SCHEMA_VERSION => Err(AuditStoreError::Incompatible(format!(
            "the schema wants programs of {min_reader}, this one knows {SCHEMA_VERSION}"
        ))),
        (Some(_), Some(_)) => Ok(()),
        (None, _) | (_, None) => Err(missing()),
    }
}
