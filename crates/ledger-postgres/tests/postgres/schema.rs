use futures_util::future::join_all;
use ledger_postgres::{Applied, PostgresBooks, SCHEMA_VERSION, Settings, migrate};
use ports::BooksError;
use runtime::TokioExecutor;
use testkit::servers::postgres::{Database, Role};

#[tokio::test]
async fn several_migrations_at_once_migrate_once_and_in_every_database() {
    let databases = [Database::empty().await, Database::empty().await];
    let urls = databases.each_ref().map(|database| database.url(Role::Superuser));
    let applied = join_all(urls.iter().chain(&urls).chain(&urls).map(|url| migrate(url))).await;
    let applied: Vec<Applied> = applied.into_iter().map(Result::unwrap).collect();
    let fresh = Applied { from: 0, to: SCHEMA_VERSION };
    let nothing = Applied { from: SCHEMA_VERSION, to: SCHEMA_VERSION };
    assert_eq!(applied.iter().filter(|applied| **applied == fresh).count(), databases.len());
    assert_eq!(applied.iter().filter(|applied| **applied == nothing).count(), 2 * databases.len());
    for database in databases {
        database.close().await;
    }
}

#[tokio::test]
async fn a_schema_that_is_missing_or_wants_a_newer_program_is_refused() {
    async fn connect(database: &Database) -> Result<(), BooksError> {
        let settings = Settings::new(database.url(Role::Processor));
        PostgresBooks::connect(&settings, TokioExecutor::handle()).await.map(drop)
    }

    let database = Database::empty().await;
    assert!(matches!(connect(&database).await, Err(BooksError::Incompatible(_))));
    database.close().await;

    let database = Database::create().await;
    let superuser = database.connect(Role::Superuser).await;
    let newer = "INSERT INTO countersign.schema_version (version, min_reader) VALUES ($1, $2)";
    // A later version that this program can still work with ...
    superuser.execute(newer, &[&(SCHEMA_VERSION + 1), &SCHEMA_VERSION]).await.unwrap();
    assert_eq!(connect(&database).await, Ok(()));
    // ... but not bring about, nor go back from.
    let back = migrate(&database.url(Role::Superuser)).await;
    assert!(matches!(back, Err(BooksError::Incompatible(_))), "{back:?}");
    superuser.execute(newer, &[&(SCHEMA_VERSION + 2), &(SCHEMA_VERSION + 1)]).await.unwrap();
    assert!(matches!(connect(&database).await, Err(BooksError::Incompatible(_))));
    database.close().await;
}

#[tokio::test]
async fn a_migration_that_was_edited_after_it_ran_is_refused() {
    let database = Database::create().await;
    let superuser = database.connect(Role::Superuser).await;
    let edited = "ALTER TABLE countersign.schema_history DISABLE TRIGGER append_only;
        UPDATE countersign.schema_history SET checksum = '1';";
    superuser.batch_execute(edited).await.unwrap();
    let refused = migrate(&database.url(Role::Superuser)).await;
    assert!(matches!(refused, Err(BooksError::Incompatible(_))), "{refused:?}");
    database.close().await;
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_unavailable_and_no_text_names_a_password() {
    let nowhere = "postgres://somebody:s3cret@127.0.0.1:1/nowhere";
    let refused = migrate(nowhere).await.unwrap_err();
    assert!(matches!(refused, BooksError::Unavailable(_)), "{refused}");
    let settings = Settings::new(nowhere);
    let refused = PostgresBooks::connect(&settings, TokioExecutor::handle()).await.unwrap_err();
    assert!(matches!(refused, BooksError::Unavailable(_)), "{refused}");
    let refused = migrate("postgres://somebody:s3cret@[").await.unwrap_err();
    assert!(matches!(refused, BooksError::Incompatible(_)), "{refused}");
    assert!(!format!("{refused} {settings:?}").contains("s3cret"));
}

/// A login of its own for whoever migrates a database, and the URL with it.
async fn migrator(database: &Database, attributes: &str) -> (String, String) {
    let login = database.name().replace("countersign_test", "countersign_migrator");
    let superuser = database.connect(Role::Superuser).await;
    superuser.batch_execute(&format!("CREATE ROLE {login} LOGIN {attributes}")).await.unwrap();
    let url = database.url(Role::Processor).replace("countersign_processor@", &format!("{login}@"));
    (login, url)
}

/// Migrates twice, and shows that the books can be used, are the owner's, and that no setting of a role is missing.
async fn migrated_by(login: &str, url: &str, database: Database) {
    let applied = [migrate(url).await, migrate(url).await];
    let [fresh, nothing] = [0, SCHEMA_VERSION].map(|from| Ok(Applied { from, to: SCHEMA_VERSION }));
    assert_eq!(applied, [fresh, nothing]);
    crate::books(&database).await;
    let superuser = database.connect(Role::Superuser).await;
    let count = async |query: &str| -> i64 { superuser.query_one(query, &[]).await.unwrap().get(0) };
    let strange = "SELECT count(*) FROM pg_class
        WHERE relnamespace = 'countersign'::REGNAMESPACE AND relowner <> 'countersign_owner'::REGROLE";
    assert_eq!(count(strange).await, 0);
    let settings = "SELECT count(*) FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
        WHERE datname = current_database() AND cardinality(setconfig) >= 3";
    assert_eq!(count(settings).await, 3);
    database.close().await;
    let elsewhere = Database::empty().await;
    elsewhere.connect(Role::Superuser).await.batch_execute(&format!("DROP ROLE {login}")).await.unwrap();
    elsewhere.close().await;
}

#[tokio::test]
async fn who_owns_the_database_and_may_create_roles_migrates_without_being_superuser() {
    let database = Database::empty().await;
    let (login, url) = migrator(&database, "CREATEROLE").await;
    let superuser = database.connect(Role::Superuser).await;
    let owned = format!("ALTER DATABASE {} OWNER TO {login}", database.name());
    superuser.batch_execute(&owned).await.unwrap();
    migrated_by(&login, &url, database).await;
}

#[tokio::test]
async fn a_member_of_the_owner_migrates_where_a_superuser_has_made_the_roles() {
    let database = Database::empty().await;
    let (login, url) = migrator(&database, "NOCREATEROLE").await;
    let refused = migrate(&url).await;
    assert!(refused.is_err(), "{refused:?}");
    let superuser = database.connect(Role::Superuser).await;
    superuser.batch_execute(include_str!("../../sql/roles.sql")).await.unwrap();
    superuser.batch_execute(&format!("GRANT countersign_owner TO {login}")).await.unwrap();
    migrated_by(&login, &url, database).await;
}
