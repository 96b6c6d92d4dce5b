//! Runs, their record, and their repetition.

use audit::{Kind, Verdict};
use serde_json::Value;
use testkit::servers::postgres::{Database, Role};

use crate::books::{CAPTURE, SETTLEMENT, book, report, store, unguard};

#[tokio::test]
async fn empty_books_balance() {
    let database = Database::create().await;
    let report = report(&database).await;
    assert_eq!((report.verdict, report.verdicts.len()), (Verdict::Balanced, 0));
    database.close().await;
}

#[tokio::test]
async fn balanced_books_are_balanced_and_the_run_is_recorded() {
    let database = Database::create().await;
    let mut client = database.connect(Role::Superuser).await;
    book(&mut client, "ch_1", true, CAPTURE).await;
    book(&mut client, "ch_2", false, CAPTURE).await;
    book(&mut client, "txn_1", true, SETTLEMENT).await;

    let audited = store(&database).run(Kind::Full).await.unwrap();
    assert_eq!(audited.report.verdict, Verdict::Balanced, "{}", audited.report);
    let books: Vec<_> = audited
        .report
        .verdicts
        .iter()
        .map(|book| (book.livemode.is_live(), book.currency.as_str(), book.debits_minor, book.credits_minor))
        .collect();
    assert_eq!(
        books,
        [(false, "USD", 10_000, 10_000), (true, "EUR", 9_000, 9_000), (true, "USD", 20_000, 20_000)]
    );

    let row = client
        .query_one(
            "SELECT kind, verdict, report, pg_snapshot_xmin(snapshot::pg_snapshot)::TEXT, finished_at >= started_at,
               started_at = (report ->> 'started_at')::TIMESTAMPTZ
             FROM countersign.audit_run WHERE id = $1",
            &[&audited.recorded.unwrap().0],
        )
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1)), ("full", "balanced"));
    let recorded: Value = row.get(2);
    assert_eq!(recorded, serde_json::to_value(&audited.report).unwrap());
    assert!(row.get::<_, String>(3).parse::<u64>().unwrap() > 0);
    assert!(row.get::<_, bool>(4) && row.get::<_, bool>(5));
    database.close().await;
}

#[tokio::test]
async fn books_that_are_being_written_balance_in_every_snapshot() {
    let database = Database::create().await;
    let mut writer = database.connect(Role::Superuser).await;
    let store = store(&database);
    let writing = async {
        for number in 0..30 {
            book(&mut writer, &format!("ch_{number}"), true, CAPTURE).await;
        }
    };
    let auditing = async {
        for _ in 0..15 {
            let audited = store.run(Kind::Incremental).await.unwrap();
            assert_eq!(audited.report.findings_total(), 0, "{}", audited.report);
        }
    };
    tokio::join!(writing, auditing);
    database.close().await;
}

#[tokio::test]
async fn a_recorded_run_repeats_to_the_same_verdicts_whatever_came_later() {
    let database = Database::create().await;
    let mut client = database.connect(Role::Superuser).await;
    book(&mut client, "ch_1", true, CAPTURE).await;
    // A writer that is under way: the snapshot has it among its running transactions.
    let late = database.connect(Role::Superuser).await;
    late.batch_execute("BEGIN; SELECT countersign.current_xid()").await.unwrap();
    let store = store(&database);
    let first = store.run(Kind::Incremental).await.unwrap();
    let first_run = first.recorded.unwrap();
    late.batch_execute("INSERT INTO countersign.account (name) VALUES ('late'); COMMIT").await.unwrap();

    // Carry on the count as after a restore, book more, and damage what is new.
    client.batch_execute("INSERT INTO countersign.xid_offset (total) VALUES (1000000000)").await.unwrap();
    let second = book(&mut client, "ch_2", true, CAPTURE).await;
    let superuser = unguard(&database).await;
    let damage = "UPDATE countersign.entry SET amount_minor = 1 WHERE transaction_id = $1 AND leg = 1";
    superuser.execute(damage, &[&second]).await.unwrap();
    let now = store.run(Kind::Incremental).await.unwrap();
    assert_eq!(now.report.verdict, Verdict::Imbalanced);

    let repeated = store.repeat(first_run).await.unwrap();
    assert_eq!(repeated.verdicts, first.report.verdicts);
    assert_eq!(repeated.findings, []);
    assert_eq!(repeated.run.snapshot, first.report.run.snapshot);
    let repeated = store.repeat(now.recorded.unwrap()).await.unwrap();
    assert_eq!(repeated.verdicts, now.report.verdicts);
    assert_eq!(repeated.findings, now.report.findings);

    // What somebody does to the old rows shows in the repetition.
    superuser.batch_execute("UPDATE countersign.entry SET amount_minor = 7 WHERE leg = 1").await.unwrap();
    assert_eq!(store.repeat(first_run).await.unwrap().verdict, Verdict::Imbalanced);
    database.close().await;
}
