//! What the auditor cannot do, and what it says.

use audit::{Kind, Verdict};
use audit_postgres::{AuditStore, AuditStoreError, RunId, Settings};
use testkit::servers::postgres::{Database, Role};
use tokio_postgres::error::SqlState;

use crate::books::{CAPTURE, book, store};

#[tokio::test]
async fn the_auditor_cannot_write_the_books() {
    let database = Database::create().await;
    book(&mut database.connect(Role::Superuser).await, "ch_1", true, CAPTURE).await;
    let auditor = database.connect(Role::Auditor).await;
    for statement in [
        "INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
         VALUES (1, 3, 1, 1, 'USD', TRUE)",
        "UPDATE countersign.entry SET amount_minor = 1",
        "DELETE FROM countersign.entry",
        "TRUNCATE countersign.entry",
        "UPDATE countersign.audit_run SET verdict = 'balanced'",
        "DELETE FROM countersign.audit_run",
        "ALTER TABLE countersign.entry DISABLE TRIGGER ALL",
    ] {
        let error = auditor.batch_execute(statement).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}");
    }
    database.close().await;
}

#[tokio::test]
async fn a_database_without_the_schema_cannot_be_audited() {
    let database = Database::empty().await;
    let store = AuditStore::connect(&Settings::new(database.url(Role::Superuser))).unwrap();
    let error = store.run(Kind::Full).await.unwrap_err();
    assert!(
        matches!(&error, AuditStoreError::Incompatible(text) if text.contains("countersign migrate")),
        "{error}"
    );
    assert_eq!(store.ready().await, Err(error));
    database.close().await;
}

#[tokio::test]
async fn a_schema_for_newer_programs_cannot_be_audited() {
    let database = Database::create().await;
    let superuser = database.connect(Role::Superuser).await;
    superuser.batch_execute("INSERT INTO countersign.schema_version VALUES (1000, 1000)").await.unwrap();
    let error = store(&database).run(Kind::Full).await.unwrap_err();
    assert!(matches!(error, AuditStoreError::Incompatible(_)), "{error}");
    database.close().await;
}

#[tokio::test]
async fn a_run_that_cannot_read_is_recorded_as_failed() {
    let database = Database::create().await;
    let superuser = database.connect(Role::Superuser).await;
    superuser.batch_execute("REVOKE SELECT ON countersign.event FROM countersign_auditor").await.unwrap();
    let error = store(&database).run(Kind::Incremental).await.unwrap_err();
    assert_eq!(error, AuditStoreError::Incompatible("cuts: SQLSTATE 42501".to_owned()));
    let row = superuser
        .query_one(
            "SELECT verdict, snapshot::pg_snapshot::TEXT, report ->> 'error' FROM countersign.audit_run",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(2)), ("failed", error.to_string().as_str()));
    database.close().await;
}

#[tokio::test]
async fn a_verdict_that_cannot_be_recorded_is_told_all_the_same() {
    let database = Database::create().await;
    let superuser = database.connect(Role::Superuser).await;
    superuser
        .batch_execute(
            "REVOKE INSERT (kind, snapshot, started_at, finished_at, verdict, report) ON countersign.audit_run
             FROM countersign_auditor",
        )
        .await
        .unwrap();
    let audited = store(&database).run(Kind::Incremental).await.unwrap();
    assert_eq!(audited.report.verdict, Verdict::Balanced);
    assert_eq!(audited.recorded, Err(AuditStoreError::Incompatible("record: SQLSTATE 42501".to_owned())));
    database.close().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_no_text_holds_the_password() {
    let settings = Settings::new("postgres://auditor:hunter2@127.0.0.1:1/countersign");
    let store = AuditStore::connect(&settings).unwrap();
    let error = store.run(Kind::Incremental).await.unwrap_err();
    assert!(matches!(error, AuditStoreError::Unavailable(_)), "{error}");
    assert!(!format!("{error}{error:?}{settings:?}{store:?}").contains("hunter2"));

    let error = AuditStore::connect(&Settings::new("postgres://a:hunter2@[")).unwrap_err();
    assert!(matches!(error, AuditStoreError::Incompatible(_)), "{error}");
    assert!(!format!("{error}{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_run_that_never_was_cannot_be_repeated() {
    let database = Database::create().await;
    assert_eq!(store(&database).repeat(RunId(7)).await, Err(AuditStoreError::NoSuchRun(RunId(7))));
    database.close().await;
}

#[tokio::test]
async fn a_store_recovers_when_its_connections_are_cut() {
    let database = Database::create().await;
    let store = store(&database);
    store.run(Kind::Incremental).await.unwrap();
    let superuser = database.connect(Role::Superuser).await;
    let cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
               WHERE datname = current_database() AND usename = 'countersign_auditor'";
    assert!(!superuser.query(cut, &[]).await.unwrap().is_empty());
    let again = store.run(Kind::Incremental).await;
    // The pool may still hold the dead connection once, never twice.
    assert!(matches!(again, Ok(_) | Err(AuditStoreError::Unavailable(_))), "{again:?}");
    store.run(Kind::Incremental).await.unwrap();
    database.close().await;
}
