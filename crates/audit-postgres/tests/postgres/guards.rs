//! What protects the books: each guard that goes is missed, and a migrated schema has them all.

use audit::{Check, Fault, Kind};
use testkit::servers::postgres::{Database, Role};

use crate::books::store;

/// What is done, what is said, and how it is undone.
const REMOVALS: &[(&str, Fault, &str, &str)] = &[
    (
        "DROP TRIGGER append_only ON countersign.entry",
        Fault::TriggerMissing,
        "entry.append_only",
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON countersign.entry
           FOR EACH STATEMENT EXECUTE FUNCTION countersign.refuse_change();
         ALTER TABLE countersign.entry ENABLE ALWAYS TRIGGER append_only",
    ),
    (
        "ALTER TABLE countersign.entry DISABLE TRIGGER entry_rules",
        Fault::TriggerDisabled,
        "entry.entry_rules",
        "ALTER TABLE countersign.entry ENABLE ALWAYS TRIGGER entry_rules",
    ),
    // Enabled, and passed by with session_replication_role = replica.
    (
        "ALTER TABLE countersign.entry ENABLE TRIGGER append_only",
        Fault::TriggerDisabled,
        "entry.append_only",
        "ALTER TABLE countersign.entry ENABLE ALWAYS TRIGGER append_only",
    ),
    (
        "CREATE TRIGGER skim BEFORE INSERT ON countersign.entry
           FOR EACH STATEMENT EXECUTE FUNCTION countersign.refuse_change()",
        Fault::TriggerUnknown,
        "entry.skim",
        "DROP TRIGGER skim ON countersign.entry",
    ),
    (
        "CREATE RULE swallow AS ON INSERT TO countersign.entry DO INSTEAD NOTHING",
        Fault::TriggerUnknown,
        "entry.swallow",
        "DROP RULE swallow ON countersign.entry",
    ),
    (
        "ALTER TABLE countersign.entry DROP CONSTRAINT entry_amount_minor_check",
        Fault::ConstraintMissing,
        "entry.entry_amount_minor_check",
        "ALTER TABLE countersign.entry ADD CONSTRAINT entry_amount_minor_check CHECK (amount_minor <> 0)",
    ),
    (
        "GRANT UPDATE ON countersign.entry TO countersign_processor",
        Fault::PrivilegeExcess,
        "UPDATE on entry for countersign_processor",
        "REVOKE UPDATE ON countersign.entry FROM countersign_processor",
    ),
    (
        "GRANT UPDATE (amount_minor) ON countersign.entry TO PUBLIC",
        Fault::PrivilegeExcess,
        "UPDATE on entry for public",
        "REVOKE UPDATE (amount_minor) ON countersign.entry FROM PUBLIC",
    ),
    (
        "GRANT INSERT (xid) ON countersign.entry TO countersign_processor",
        Fault::PrivilegeExcess,
        "INSERT xid on entry for countersign_processor",
        "REVOKE INSERT (xid) ON countersign.entry FROM countersign_processor",
    ),
    (
        "ALTER TABLE countersign.entry OWNER TO postgres",
        Fault::OwnerChanged,
        "entry of postgres",
        "ALTER TABLE countersign.entry OWNER TO countersign_owner",
    ),
    (
        "ALTER ROLE countersign_processor IN DATABASE $database SET synchronous_commit = off",
        Fault::DurabilityOff,
        "synchronous_commit = off (countersign_processor in this database)",
        "ALTER ROLE countersign_processor IN DATABASE $database RESET synchronous_commit",
    ),
    (
        "ALTER DATABASE $database SET session_replication_role = replica",
        Fault::DurabilityOff,
        "session_replication_role = replica (every role in this database)",
        "ALTER DATABASE $database RESET session_replication_role",
    ),
];

#[tokio::test]
async fn a_guard_that_is_removed_is_missed_until_it_is_back() {
    let database = Database::create().await;
    let client = database.connect(Role::Superuser).await;
    let store = store(&database);
    let open = store.run(Kind::Full).await.unwrap().standing.unwrap().open;
    assert_eq!(open, [], "a schema as migrated has all guards");
    for (removal, fault, subject, back) in REMOVALS {
        client.batch_execute(&removal.replace("$database", database.name())).await.unwrap();
        let report = store.run(Kind::Incremental).await.unwrap().report;
        let [finding] = report.findings.as_slice() else { panic!("{removal}: {report}") };
        assert_eq!((finding.check, finding.faults[0]), (Check::Guards, *fault), "{removal}");
        assert_eq!(finding.subject.as_deref(), Some(*subject), "{removal}");
        client.batch_execute(&back.replace("$database", database.name())).await.unwrap();
        let open = store.run(Kind::Incremental).await.unwrap().standing.unwrap().open;
        assert_eq!(open, [], "{back}");
    }
    database.close().await;
}

#[tokio::test]
async fn a_guarding_function_that_does_nothing_is_missed() {
    let database = Database::create().await;
    let client = database.connect(Role::Superuser).await;
    client
        .batch_execute(
            "CREATE OR REPLACE FUNCTION countersign.refuse_change() RETURNS TRIGGER LANGUAGE plpgsql
             AS 'BEGIN RETURN NULL; END'",
        )
        .await
        .unwrap();
    let report = store(&database).run(Kind::Incremental).await.unwrap().report;
    assert_eq!(report.findings.len(), 1, "{report}");
    assert_eq!(report.findings[0].faults, [Fault::FunctionChanged]);
    database.close().await;
}
