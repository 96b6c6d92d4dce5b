//! What each role may do, and that none of them owns anything.

use testkit::servers::postgres::{Database, Role};

use crate::{books, refusal, tables};

async fn forbidden(database: &Database, role: Role, statement: &str) {
    let refused = refusal(&database.connect(role).await, statement).await;
    assert_eq!(refused, Some(("42501".to_owned(), String::new())), "{role:?}: {statement}");
}

#[tokio::test]
async fn nobody_but_the_database_writes_an_id_an_instant_of_recording_or_a_transaction_number() {
    let database = Database::create().await;
    for column in ["id", "recorded_at", "xid"] {
        for table in tables(&database.connect(Role::Superuser).await).await {
            for role in Role::SERVICES {
                let user = format!("countersign_{role:?}").to_lowercase();
                let granted = database
                    .connect(Role::Superuser)
                    .await
                    .query_opt(
                        "SELECT has_column_privilege($1, attrelid, attnum, 'INSERT') FROM pg_attribute
                         WHERE attrelid = ('countersign.' || quote_ident($2))::REGCLASS AND attname = $3",
                        &[&user, &table, &column],
                    )
                    .await
                    .unwrap();
                assert!(!granted.is_some_and(|row| row.get(0)), "{user} may write {table}.{column}");
            }
        }
    }
    let forged = "INSERT INTO countersign.account (name, xid) VALUES ('income:forged', 1)";
    forbidden(&database, Role::Processor, forged).await;
    let forged =
        "INSERT INTO countersign.account (id, name) OVERRIDING SYSTEM VALUE VALUES (1, 'income:forged')";
    forbidden(&database, Role::Processor, forged).await;
    database.close().await;
}

#[tokio::test]
async fn each_role_does_its_own_work_and_no_other() {
    let database = Database::create().await;
    drop(books(&database).await);
    let entry =
        "INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
        VALUES (1, 1, 1, 1, 'USD', false)";
    forbidden(&database, Role::Auditor, entry).await;
    forbidden(&database, Role::Operator, entry).await;
    let run = "INSERT INTO countersign.audit_run (kind, snapshot, started_at, finished_at, verdict, report)
        VALUES ('full', pg_current_snapshot()::TEXT, now(), now(), 'balanced', '{}')";
    forbidden(&database, Role::Processor, run).await;
    forbidden(&database, Role::Operator, run).await;
    assert_eq!(refusal(&database.connect(Role::Auditor).await, run).await, None);
    for table in tables(&database.connect(Role::Superuser).await).await {
        let read = format!("SELECT * FROM countersign.{table}");
        for role in [Role::Auditor, Role::Operator] {
            assert_eq!(refusal(&database.connect(role).await, &read).await, None, "{role:?}: {read}");
        }
    }
    for role in [Role::Auditor, Role::Operator] {
        for view in ["journal", "event_standing", "evidence_undecided"] {
            let read = format!("SELECT * FROM countersign.{view}");
            assert_eq!(refusal(&database.connect(role).await, &read).await, None, "{role:?}: {read}");
        }
    }
    // What was booked and what people say about it is nobody's business who only records.
    forbidden(&database, Role::Processor, "SELECT amount_minor FROM countersign.entry").await;
    forbidden(&database, Role::Processor, "SELECT object_amount FROM countersign.event").await;
    forbidden(&database, Role::Processor, "SELECT reason FROM countersign.operator_action").await;
    // Only operators ask, under their own name; only the processor says what came of it.
    let action = "INSERT INTO countersign.operator_action (kind, event_row, reason) SELECT 'release', id, 'r'
        FROM (SELECT max(id) AS id FROM countersign.event) AS event WHERE id IS NOT NULL";
    forbidden(&database, Role::Processor, action).await;
    forbidden(&database, Role::Auditor, action).await;
    assert_eq!(refusal(&database.connect(Role::Operator).await, action).await, None);
    let named =
        action.replace("event_row, reason)", "event_row, reason, operator)").replace("'r'", "'r', 'other'");
    forbidden(&database, Role::Operator, &named).await;
    for statement in [
        "INSERT INTO countersign.operator_effect (action_id, status) VALUES (1, 'dismissed')",
        "INSERT INTO countersign.event_status (event_row, rank, status, cause) VALUES (1, 1, 'booked', 'delivery')",
        "INSERT INTO countersign.source (name, provider, own_account) VALUES ('s', 'p', 'a')",
        "INSERT INTO countersign.refusal_count (instance, window_number, source, reason, minute, count)
         VALUES ('', 1, '', '', now(), 1)",
        "INSERT INTO countersign.control_total (instance, window_number) VALUES ('', 1)",
    ] {
        forbidden(&database, Role::Operator, statement).await;
        forbidden(&database, Role::Auditor, statement).await;
    }
    for role in Role::SERVICES {
        forbidden(&database, role, "SET ROLE countersign_owner").await;
        forbidden(&database, role, "ALTER TABLE countersign.entry DISABLE TRIGGER entry_rules").await;
        forbidden(&database, role, "CREATE TABLE countersign.other ()").await;
        forbidden(&database, role, "SET session_replication_role = replica").await;
    }
    database.close().await;
}

#[tokio::test]
async fn everything_belongs_to_the_owner_who_cannot_log_in_and_no_statement_waits_for_ever() {
    let database = Database::create().await;
    let superuser = database.connect(Role::Superuser).await;
    let others = "SELECT relname::TEXT FROM pg_class
        WHERE relnamespace = 'countersign'::REGNAMESPACE AND relowner <> 'countersign_owner'::REGROLE
        UNION ALL
        SELECT proname::TEXT FROM pg_proc
        WHERE pronamespace = 'countersign'::REGNAMESPACE
          AND (proowner <> 'countersign_owner'::REGROLE OR has_function_privilege('public', oid, 'EXECUTE'))
        UNION ALL
        SELECT rolname::TEXT FROM pg_roles
        WHERE rolname ~ '^countersign_' AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
        UNION ALL
        SELECT 'login' FROM pg_roles WHERE rolname = 'countersign_owner' AND rolcanlogin";
    let others = superuser.query(others, &[]).await.unwrap();
    assert!(others.is_empty(), "{others:?}");
    for role in Role::SERVICES {
        let client = database.connect(role).await;
        for name in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
            let limit: String = client.query_one(&format!("SHOW {name}"), &[]).await.unwrap().get(0);
            assert_ne!(limit, "0", "{role:?} has no {name}");
        }
    }
    database.close().await;
}

#[tokio::test]
async fn a_limit_that_a_deployment_has_set_survives_the_next_migration() {
    let database = Database::create().await;
    let superuser = database.connect(Role::Superuser).await;
    let choose = format!(
        "ALTER ROLE countersign_operator IN DATABASE {} SET statement_timeout = '7min'",
        database.name()
    );
    superuser.batch_execute(&choose).await.unwrap();
    ledger_postgres::migrate(&database.url(Role::Superuser)).await.unwrap();
    let client = database.connect(Role::Operator).await;
    let limit: String = client.query_one("SHOW statement_timeout", &[]).await.unwrap().get(0);
    assert_eq!(limit, "7min");
    database.close().await;
}
