//! The schema: migrations, and whether a database has the one that this version needs.

use futures_util::future::{Either, select};
use ports::BooksError;
use refinery::error::Kind;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, GenericClient, NoTls, Socket};

use crate::Settings;
use crate::error::of_driver;
use crate::settings::{Line, Route};

/// The schema version that this crate was written for: what its migrations lead to, and the most that it can read.
pub const SCHEMA_VERSION: i32 = 2;

/// The oldest schema that this version can work on.
const SCHEMA_VERSION_MIN: i32 = 1;

/// Any number that nobody else in the database locks.
const MIGRATION_LOCK: i64 = 0x0063_6f75_6e74_6572;

/// The name of refinery's own table. `V1__books.sql` guards it under this name.
const HISTORY: &str = "countersign.schema_history";

const ROLES: &str = include_str!("../sql/roles.sql");

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Applied {
    /// The version before; 0 for a database without the schema.
    pub from: i32,
    /// The version after.
    pub to: i32,
}

/// Brings the database at `url` to [`SCHEMA_VERSION`], with roles, their settings and privileges.
///
/// The user of `url` is a superuser, or may create roles and the schema (`CREATEROLE`, and `CREATE` on the database). Safe to
/// run again and several times at once; each migration is one transaction. A database of a later version is refused.
pub async fn migrate(url: &str) -> Result<Applied, BooksError> {
    migrate_as(&Settings::new(url)).await
}

/// The same over the TLS of these settings. Nothing else of them counts: a migration takes its time.
pub async fn migrate_as(settings: &Settings) -> Result<Applied, BooksError> {
    let Route { config, connector, line } = settings.route()?;
    match connector {
        None => migrate_over(&config, NoTls, &line).await,
        Some(rustls) => migrate_over(&config, rustls, &line).await,
    }
}

async fn migrate_over<T>(config: &Config, connector: T, line: &Line) -> Result<Applied, BooksError>
where
    T: MakeTlsConnect<Socket, Stream: Send>,
{
    let connected = config.connect(connector).await;
    let (mut client, connection) = connected.map_err(|error| line.of_connecting(&error))?;
    let work = async {
        let applied = migrate_locked(&mut client).await;
        drop(client); // ends the connection, and with it the lock
        applied
    };
    match select(Box::pin(work), Box::pin(connection)).await {
        Either::Left((applied, connection)) => {
            // What matters is committed; this waits until the server has closed, so that nobody finds us connected.
            drop(connection.await);
            applied
        }
        Either::Right((_, work)) => work.await,
    }
}

async fn migrate_locked(client: &mut Client) -> Result<Applied, BooksError> {
    // Of the session, not of a transaction: it has to span one transaction per migration.
    client
        .execute("-- lock_migration\nSELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK])
        .await
        .map_err(|error| of_driver(&error))?;
    client.batch_execute(ROLES).await.map_err(|error| of_driver(&error))?;
    client.batch_execute("SET ROLE countersign_owner").await.map_err(|error| of_driver(&error))?;
    let from = match stored_version(client).await? {
        Some(stored) if stored.version > SCHEMA_VERSION => return Err(stored.too_new()),
        Some(stored) => stored.version,
        None => 0,
    };
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name(HISTORY);
    runner.run_async(client).await.map_err(|error| of_refinery(&error))?;
    let to = stored_version(client).await?.map_or(0, |stored| stored.version);
    Ok(Applied { from, to })
}

fn of_refinery(error: &refinery::Error) -> BooksError {
    match error.kind() {
        Kind::Connection(_, cause) => cause.downcast_ref().map_or_else(
            || BooksError::Unavailable("the migration lost its connection".to_owned()),
            of_driver,
        ),
        Kind::DivergentVersion(applied, _) => {
            BooksError::Incompatible(format!("{applied} was applied with another content"))
        }
        Kind::MissingVersion(applied) => {
            BooksError::Incompatible(format!("{applied} is unknown to this version"))
        }
        Kind::RepeatedVersion(_)
        | Kind::InvalidName
        | Kind::InvalidVersion
        | Kind::InvalidMigrationPath(..)
        | Kind::InvalidMigrationFile(..)
        | Kind::ConfigError(_) => {
            BooksError::Incompatible("the embedded migrations are no sequence".to_owned())
        }
    }
}

/// The migrations' text with all that goes with it: two versions of this crate that would make different databases
/// differ in it.
pub fn migration_texts() -> Vec<String> {
    let runner = embedded::migrations::runner();
    let mut texts: Vec<(i32, String)> = runner
        .get_migrations()
        .iter()
        .map(|migration| (migration.version(), migration.sql().unwrap_or_default().to_owned()))
        .collect();
    texts.sort();
    texts.into_iter().map(|(_, text)| text).chain([ROLES.to_owned()]).collect()
}

/// Refuses a database whose schema is older than this version needs, or that says it needs a newer reader.
pub async fn check_schema(client: &impl GenericClient) -> Result<(), BooksError> {
    match stored_version(client).await? {
        None => Err(BooksError::Incompatible("there is no schema; run `countersign migrate`".to_owned())),
        Some(stored) if stored.version < SCHEMA_VERSION_MIN => Err(BooksError::Incompatible(format!(
            "the schema has version {}, this program needs {SCHEMA_VERSION_MIN}; run `countersign migrate`",
            stored.version
        ))),
        Some(stored) if stored.min_reader > SCHEMA_VERSION => Err(stored.too_new()),
        Some(_) => Ok(()),
    }
}

struct Stored {
    version: i32,
    min_reader: i32,
}

impl Stored {
    fn too_new(&self) -> BooksError {
        let Self { version, min_reader } = self;
        BooksError::Incompatible(format!(
            "the schema has version {version} and wants programs of {min_reader}; this one knows {SCHEMA_VERSION}"
        ))
    }
}

async fn stored_version(client: &impl GenericClient) -> Result<Option<Stored>, BooksError> {
    let statement = "-- stored_version
SELECT max(version), max(min_reader) FROM countersign.schema_version";
    let row = match client.query_one(statement, &[]).await {
        Ok(row) => row,
        Err(error)
            if matches!(error.code(), Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME)) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(of_driver(&error)),
    };
    let version: Option<i32> = row.try_get(0).map_err(|error| of_driver(&error))?;
    let min_reader: Option<i32> = row.try_get(1).map_err(|error| of_driver(&error))?;
    Ok(version.zip(min_reader).map(|(version, min_reader)| Stored { version, min_reader }))
}
