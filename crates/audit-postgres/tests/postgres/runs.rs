//! Runs, their record, and their repetition.

use audit::{Kind, Verdict};
use audit_postgres::{AuditStore, Settings};
use serde_json::Value;
use testkit::servers::postgres::{Database, Role};

use crate::books::{CAPTURE, SETTLEMENT, book, report, store, unguard};
use crate::tamper::until_sealed;

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
    let of_money = now.report.findings.iter().filter(|finding| finding.check.decides_balance());
    assert_eq!(repeated.findings.iter().collect::<Vec<_>>(), of_money.collect::<Vec<_>>());

    // What somebody does to the old rows shows in the repetition.
    superuser.batch_execute("UPDATE countersign.entry SET amount_minor = 7 WHERE leg = 1").await.unwrap();
    assert_eq!(store.repeat(first_run).await.unwrap().verdict, Verdict::Imbalanced);
    database.close().await;
}

#[tokio::test]
async fn a_late_commit_is_sealed_when_it_comes_and_nothing_that_came_before_it_is_lost() {
    let database = Database::create().await;
    let mut client = database.connect(Role::Superuser).await;
    let newest_only = Settings { tail_rows: 0, ..Settings::new(database.url(Role::Auditor)) };
    let store = AuditStore::connect(&newest_only).unwrap();
    book(&mut client, "ch_1", true, CAPTURE).await;
    let late = database.connect(Role::Superuser).await;
    late.batch_execute("BEGIN; INSERT INTO countersign.account (name) VALUES ('late')").await.unwrap();
    // Later transactions with later numbers commit, runs pass, and seal nothing beyond the one under way.
    for number in 2..=6 {
        book(&mut client, &format!("ch_{number}"), true, CAPTURE).await;
        let audited = store.run(Kind::Incremental).await.unwrap();
        assert_eq!(audited.standing.unwrap().open, []);
    }
    let sealed = "SELECT count(*) FROM countersign.entry
        WHERE xid < (SELECT coalesce(max(xid_hi), 0) FROM countersign.checkpoint)";
    let entries: i64 = client.query_one(sealed, &[]).await.unwrap().get(0);
    assert!(entries <= 2, "{entries} entries are sealed beyond a transaction under way");
    late.batch_execute(
        "INSERT INTO countersign.delivery (instance, sequence, source, event_id, event_row, outcome, replay_checked, received_at)
         VALUES ('ab12', 1, 'stripe', 'evt_ch_1', 1, 'hit', TRUE, now());
         COMMIT",
    )
    .await
    .unwrap();
    until_sealed(&store, &client).await;
    let row = client
        .query_one(
            "SELECT sum((contents #>> '{entry,rows}')::BIGINT)::BIGINT, sum((contents #>> '{delivery,rows}')::BIGINT)::BIGINT
             FROM countersign.checkpoint",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (12, 1));
    let full = store.run(Kind::Full).await.unwrap();
    assert_eq!((full.report.findings.len(), full.standing.unwrap().open.len()), (0, 0));
    database.close().await;
}

#[tokio::test]
async fn an_incremental_run_stands_on_a_checkpoint_and_says_the_same_as_a_full_one() {
    let database = Database::create().await;
    let mut client = database.connect(Role::Superuser).await;
    let newest_only = Settings { tail_rows: 0, ..Settings::new(database.url(Role::Auditor)) };
    let store = AuditStore::connect(&newest_only).unwrap();
    for (number, livemode) in [(1, true), (2, false), (3, true)] {
        book(&mut client, &format!("ch_{number}"), livemode, CAPTURE).await;
        book(&mut client, &format!("txn_{number}"), livemode, SETTLEMENT).await;
        until_sealed(&store, &client).await;
    }
    book(&mut client, "ch_4", true, CAPTURE).await;
    let incremental = store.run(Kind::Incremental).await.unwrap().report;
    let full = store.run(Kind::Full).await.unwrap().report;
    assert!(incremental.run.floor.is_some() && full.run.floor.is_none());
    assert_eq!(incremental.verdicts, full.verdicts);
    database.close().await;
}

#[tokio::test]
async fn what_is_too_much_for_one_checkpoint_is_sealed_as_several_and_verified_in_units() {
    let database = Database::create().await;
    let mut client = database.connect(Role::Superuser).await;
    for number in 0..12 {
        book(&mut client, &format!("ch_{number}"), true, CAPTURE).await;
    }
    let settings = Settings { seal_max: 10, tail_rows: 6, ..Settings::new(database.url(Role::Auditor)) };
    let store = AuditStore::connect(&settings).unwrap();
    until_sealed(&store, &client).await;
    let ranges = "SELECT count(*), max((contents #>> '{entry,rows}')::BIGINT), sum((contents #>> '{entry,rows}')::BIGINT)::BIGINT
        FROM countersign.checkpoint";
    let row = client.query_one(ranges, &[]).await.unwrap();
    let (checkpoints, most, entries): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    // More of them where another test's transaction under way held one up.
    assert!(checkpoints >= 6 && most <= 4 && entries == 24, "{checkpoints} {most} {entries}");
    let full = store.run(Kind::Full).await.unwrap();
    assert_eq!(full.report.findings, []);
    let incremental = store.run(Kind::Incremental).await.unwrap().report;
    assert_eq!((incremental.findings.len(), incremental.run.floor.is_some()), (0, true));
    database.close().await;
}

#[tokio::test]
async fn writers_with_late_commits_and_two_auditors_at_once_never_give_a_finding() {
    let database = Database::create().await;
    let settings = Settings { seal_max: 20, tail_rows: 0, ..Settings::new(database.url(Role::Auditor)) };
    let stores = [(); 2].map(|()| AuditStore::connect(&settings).unwrap());
    let (mut one, mut two) =
        (database.connect(Role::Superuser).await, database.connect(Role::Superuser).await);
    let late = database.connect(Role::Superuser).await;
    let writing = async |client: &mut tokio_postgres::Client, name: &str| {
        for number in 0..40 {
            book(
                client,
                &format!("{name}_{number}"),
                number % 3 > 0,
                if number % 2 > 0 { CAPTURE } else { SETTLEMENT },
            )
            .await;
        }
    };
    // Takes its number early and writes a row before and after others commit, again and again.
    let delaying = async {
        for number in 0..15 {
            let row = |sequence: i32| {
                format!(
                    "INSERT INTO countersign.delivery (instance, sequence, outcome, reason, evidence, replay_checked, received_at)
                     VALUES ('late', {sequence}, 'parked', 'undecodable', 'x', TRUE, now());"
                )
            };
            late.batch_execute(&format!("BEGIN; {}", row(number * 2))).await.unwrap();
            stores[0].run(Kind::Incremental).await.unwrap();
            late.batch_execute(&format!("{} COMMIT", row(number * 2 + 1))).await.unwrap();
        }
    };
    let auditing = async |store: &AuditStore, kind| {
        for _ in 0..12 {
            let audited = store.run(kind).await.unwrap();
            assert_eq!(
                (audited.report.findings.len(), audited.standing.unwrap().open),
                (0, Vec::new()),
                "{}",
                audited.report
            );
        }
    };
    tokio::join!(
        writing(&mut one, "one"),
        writing(&mut two, "two"),
        delaying,
        auditing(&stores[0], Kind::Incremental),
        auditing(&stores[1], Kind::Full),
    );
    until_sealed(&stores[0], &one).await;
    let full = stores[1].run(Kind::Full).await.unwrap();
    assert_eq!((full.report.findings.len(), full.standing.unwrap().open), (0, Vec::new()));
    let sealed =
        "SELECT sum((contents #>> '{entry,rows}')::BIGINT)::BIGINT = (SELECT count(*) FROM countersign.entry)
          AND sum((contents #>> '{delivery,rows}')::BIGINT)::BIGINT = 30
        FROM countersign.checkpoint";
    assert!(one.query_one(sealed, &[]).await.unwrap().get::<_, bool>(0));
    database.close().await;
}
