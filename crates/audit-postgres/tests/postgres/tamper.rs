//! Every way to damage sealed books is found by the right check, with its amount, and healing resolves it.

use audit::{Check, Fault, Finding, Kind, Report, Verdict};
use audit_postgres::{AuditStore, Audited, Order, Settings, StoredFinding};
use testkit::servers::postgres::{Database, Role};
use tokio_postgres::Client;

use crate::books::{CAPTURE, SETTLEMENT, book, store};

/// Tables that a heal writes again as they were, in an order that suits nobody's foreign key: those are off.
const TABLES: [&str; 6] = ["event", "transaction", "event_transaction", "entry", "delivery", "control_total"];

/// Sealed books of some captures and a settlement, with a copy of every row.
pub(crate) struct Books {
    pub(crate) database: Database,
    pub(crate) client: Client,
    settlement: i64,
}

impl Books {
    pub(crate) async fn sealed() -> Self {
        let database = Database::create().await;
        let mut client = database.connect(Role::Superuser).await;
        for number in 1..=4 {
            book(&mut client, &format!("ch_{number}"), true, CAPTURE).await;
        }
        let settlement = book(&mut client, "txn_1", true, SETTLEMENT).await;
        book(&mut client, "ch_5", true, CAPTURE).await;
        client
            .batch_execute(
                "INSERT INTO countersign.delivery (instance, sequence, source, event_id, event_row, outcome, replay_checked,
                   received_at)
                 SELECT 'ab12', row_number() OVER (ORDER BY id), source, event_id, id, 'booked', TRUE, now()
                 FROM countersign.event",
            )
            .await
            .unwrap();
        until_sealed(&store(&database), &client).await;
        for table in TABLES {
            let copy = format!("CREATE TABLE public.saved_{table} AS TABLE countersign.{table}");
            client.batch_execute(&copy).await.unwrap();
        }
        database.damaged();
        Self { database, client, settlement }
    }

    /// Does this to them, and answers what the next run says.
    pub(crate) async fn damaged(&self, damage: &str) -> Report {
        let damage = damage.replace("$settlement", &self.settlement.to_string());
        guard(&self.client, false).await;
        self.client.batch_execute(&damage).await.unwrap_or_else(|error| panic!("{damage}: {error:?}"));
        guard(&self.client, true).await;
        store(&self.database).run(Kind::Incremental).await.unwrap().report
    }

    /// Puts every row back.
    pub(crate) async fn heal(&self) {
        guard(&self.client, false).await;
        for table in TABLES {
            let back = format!(
                "DELETE FROM countersign.{table};
                 INSERT INTO countersign.{table} OVERRIDING SYSTEM VALUE TABLE public.saved_{table}"
            );
            self.client.batch_execute(&back).await.unwrap();
        }
        guard(&self.client, true).await;
    }

    /// What is open after the next run.
    pub(crate) async fn open(&self) -> Vec<StoredFinding> {
        store(&self.database).run(Kind::Incremental).await.unwrap().standing.unwrap().open
    }
}

/// Switches all triggers off, or on as the migrations have them.
async fn guard(client: &Client, on: bool) {
    let statement =
        "SELECT format('ALTER TABLE %s %s TRIGGER %s', tgrelid::REGCLASS, $1::TEXT, quote_ident(tgname))
        FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE relnamespace = 'countersign'::REGNAMESPACE AND tgisinternal = $2";
    for internal in [false, true] {
        let word = match (on, internal) {
            (false, _) => "DISABLE",
            (true, false) => "ENABLE ALWAYS",
            (true, true) => "ENABLE",
        };
        for row in client.query(statement, &[&word, &internal]).await.unwrap() {
            client.batch_execute(row.get(0)).await.unwrap();
        }
    }
}

/// Runs until everything is sealed: what other tests of this server have under way holds it up.
pub(crate) async fn until_sealed(store: &AuditStore, client: &Client) -> Audited {
    let unsealed =
        "SELECT coalesce(max(xid), 0) >= (SELECT coalesce(max(xid_hi), 0) FROM countersign.checkpoint)
        FROM (SELECT xid FROM countersign.entry UNION ALL SELECT xid FROM countersign.delivery) AS rows";
    for _ in 0..1000 {
        let audited = store.run(Kind::Incremental).await.unwrap();
        if !client.query_one(unsealed, &[]).await.unwrap().get::<_, bool>(0) {
            return audited;
        }
    }
    panic!("never sealed");
}

fn found(report: &Report, check: Check, fault: Fault) -> Option<&Finding> {
    report.findings.iter().find(|finding| finding.check == check && finding.faults.contains(&fault))
}

/// What is done, which check objects to what, and to how much.
const DAMAGES: &[(&str, Check, Fault, i128)] = &[
    // An amount, a side, a currency, a livemode.
    ("UPDATE countersign.entry SET amount_minor = 325 WHERE transaction_id = $settlement AND leg = 4",
        Check::Transactions, Fault::NotZero, 5),
    ("UPDATE countersign.entry SET amount_minor = 325 WHERE transaction_id = $settlement AND leg = 4",
        Check::Continuity, Fault::RangeChanged, 5),
    ("UPDATE countersign.entry SET amount_minor = amount_minor * 2 WHERE transaction_id = $settlement",
        Check::Continuity, Fault::RangeChanged, 9_000),
    ("UPDATE countersign.entry SET currency = 'JPY' WHERE transaction_id = $settlement AND leg = 4",
        Check::Transactions, Fault::NotZero, 320),
    ("UPDATE countersign.entry SET livemode = FALSE WHERE transaction_id = $settlement",
        Check::Transactions, Fault::MixedLivemode, 0),
    ("UPDATE countersign.entry SET livemode = FALSE WHERE transaction_id = $settlement;
      UPDATE countersign.transaction SET livemode = FALSE, movement_key = replace(movement_key, '/live/', '/test/')
      WHERE id = $settlement",
        Check::Continuity, Fault::RangeChanged, 9_000),
    // An account: everything balances.
    ("UPDATE countersign.entry SET account_id = (SELECT id FROM countersign.account WHERE name = 'income:sales')
      WHERE transaction_id = $settlement AND leg = 4",
        Check::Continuity, Fault::RangeChanged, 320),
    // A leg; a transaction with all its legs; the newest; a middle range; everything.
    ("DELETE FROM countersign.entry WHERE transaction_id = $settlement AND leg = 4",
        Check::Transactions, Fault::FewerLegs, -320),
    ("DELETE FROM countersign.entry WHERE transaction_id = 1; DELETE FROM countersign.event_transaction WHERE transaction_id = 1;
      DELETE FROM countersign.transaction WHERE id = 1",
        Check::Continuity, Fault::RangeChanged, 10_000),
    ("DELETE FROM countersign.entry WHERE transaction_id = 1; DELETE FROM countersign.event_transaction WHERE transaction_id = 1;
      DELETE FROM countersign.transaction WHERE id = 1",
        Check::Coverage, Fault::BookedWithoutTransaction, 0),
    ("DELETE FROM countersign.entry WHERE transaction_id = 6; DELETE FROM countersign.event_transaction WHERE transaction_id = 6;
      DELETE FROM countersign.delivery WHERE event_row = 6; DELETE FROM countersign.transaction WHERE id = 6;
      DELETE FROM countersign.event WHERE id = 6",
        Check::Continuity, Fault::RangeChanged, 10_000),
    ("DELETE FROM countersign.entry WHERE transaction_id IN (2, 3);
      DELETE FROM countersign.event_transaction WHERE transaction_id IN (2, 3);
      DELETE FROM countersign.delivery WHERE event_row IN (2, 3); DELETE FROM countersign.transaction WHERE id IN (2, 3);
      DELETE FROM countersign.event WHERE id IN (2, 3)",
        Check::Continuity, Fault::RangeChanged, 20_000),
    ("TRUNCATE countersign.entry", Check::Transactions, Fault::FewerLegs, 0),
    ("TRUNCATE countersign.event, countersign.transaction, countersign.entry, countersign.event_transaction,
      countersign.delivery CASCADE",
        Check::Continuity, Fault::RangeChanged, 50_000),
    // One leg too many; money of no event; the event's part in it.
    ("INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
      VALUES ($settlement, 6, 1, 7, 'USD', TRUE)",
        Check::Transactions, Fault::MoreLegs, 7),
    ("INSERT INTO countersign.transaction (movement_key, provider, provider_account, livemode, object_id, kind, digest,
        digest_version, posting_version, legs, source, event_row, occurred_at)
      VALUES ('stripe/acct_dev/live/ch_x/capture', 'stripe', 'acct_dev', TRUE, 'ch_x', 'capture', sha256(''), 1, 1, 2, 'stripe',
        0, now());
      INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
      SELECT id, leg, leg, 7777 * (3 - 2 * leg), 'USD', TRUE
      FROM countersign.transaction, generate_series(1, 2) AS leg WHERE object_id = 'ch_x'",
        Check::Coverage, Fault::TransactionWithoutEvent, 7777),
    ("UPDATE countersign.event SET outcome = 'parked', reason = 'unknown-money' WHERE id = 1",
        Check::Coverage, Fault::TransactionWithoutEvent, 10_000),
    // Evidence without money.
    ("UPDATE countersign.event SET payload = '{\"amount\": 1}' WHERE id = 1", Check::Continuity, Fault::RangeChanged, 0),
    ("DELETE FROM countersign.delivery WHERE sequence = 2", Check::Continuity, Fault::RangeChanged, 0),
];

#[tokio::test]
async fn every_damage_to_sealed_books_is_found_with_its_amount_and_healing_resolves_it() {
    let books = Books::sealed().await;
    assert_eq!(books.open().await, []);
    for (damage, check, fault, amount) in DAMAGES {
        let report = books.damaged(damage).await;
        let Some(finding) = found(&report, *check, *fault) else { panic!("{damage}: no {check}: {report}") };
        let amounts: Vec<i128> = report
            .findings
            .iter()
            .filter(|finding| finding.check == *check && finding.faults.contains(fault))
            .map(|finding| finding.amount_minor.unwrap_or(finding.difference_minor))
            .collect();
        assert!(amounts.contains(amount), "{damage}: {amounts:?}: {report}");
        assert!(finding.check != Check::Continuity || finding.checkpoint.is_some());
        books.heal().await;
        assert_eq!(books.open().await, [], "{damage}");
    }
    books.database.close().await;
}

#[tokio::test]
async fn an_edited_account_is_named_with_its_transaction_though_everything_balances() {
    let books = Books::sealed().await;
    let report = books
        .damaged(
            "UPDATE countersign.entry SET account_id = (SELECT id FROM countersign.account WHERE name = 'income:sales')
             WHERE transaction_id = $settlement AND leg = 4",
        )
        .await;
    assert_eq!(report.verdict, Verdict::Balanced);
    let finding = found(&report, Check::Continuity, Fault::RangeChanged).unwrap();
    assert_eq!(finding.transaction.as_ref().unwrap().id.0, books.settlement);
    assert_eq!(finding.event_id.as_ref().unwrap().as_str(), "evt_txn_1");
    assert_eq!((finding.account.as_ref().unwrap().as_str(), finding.leg), ("income:sales", Some(4)));
    assert_eq!(finding.probable_cause, audit::ProbableCause::AccountChanged);
    books.database.close().await;
}

#[tokio::test]
async fn a_doubled_movement_is_found_and_so_is_the_constraint_that_let_it_pass() {
    let books = Books::sealed().await;
    let report = books
        .damaged(
            "ALTER TABLE countersign.transaction DROP CONSTRAINT transaction_once;
             INSERT INTO countersign.transaction (movement_key, provider, provider_account, livemode, object_id, kind, digest,
               digest_version, posting_version, legs, source, event_row, occurred_at)
             SELECT movement_key, provider, provider_account, livemode, object_id, kind, digest, digest_version,
               posting_version, legs, source, event_row, occurred_at
             FROM countersign.transaction WHERE id = 1;
             INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
             SELECT (SELECT max(id) FROM countersign.transaction), leg, account_id, amount_minor, currency, livemode
             FROM countersign.entry WHERE transaction_id = 1;
             INSERT INTO countersign.event_transaction (event_row, transaction_id, role)
             SELECT event_row, id, 'first' FROM countersign.transaction ORDER BY id DESC LIMIT 1",
        )
        .await;
    let twice = found(&report, Check::Coverage, Fault::MovementTwice).unwrap();
    assert_eq!((twice.amount_minor, twice.event_id.as_ref().unwrap().as_str()), (Some(10_000), "evt_ch_1"));
    let constraint = found(&report, Check::Guards, Fault::ConstraintMissing).unwrap();
    assert_eq!(constraint.subject.as_deref(), Some("transaction.transaction_once"));
    books.heal().await;
    let back = "ALTER TABLE countersign.transaction ADD CONSTRAINT transaction_once UNIQUE (movement_key)";
    books.client.batch_execute(back).await.unwrap();
    assert_eq!(books.open().await, []);
    books.database.close().await;
}

#[tokio::test]
async fn what_an_incremental_run_does_not_read_a_full_run_finds_and_then_every_run_sees_until_it_heals() {
    let books = Books::sealed().await;
    let settings = Settings { tail_rows: 0, ..Settings::new(books.database.url(Role::Auditor)) };
    let newest_only = AuditStore::connect(&settings).unwrap();
    guard(&books.client, false).await;
    let edit =
        "UPDATE countersign.entry SET amount_minor = amount_minor + 500 WHERE transaction_id = 1 AND leg = 1";
    books.client.batch_execute(edit).await.unwrap();
    guard(&books.client, true).await;

    let audited = newest_only.run(Kind::Incremental).await.unwrap();
    assert!(
        audited.report.run.floor.is_some() && audited.report.verdict == Verdict::Balanced,
        "{}",
        audited.report
    );
    let audited = newest_only.run(Kind::Full).await.unwrap();
    assert_eq!((audited.report.run.floor, audited.report.verdict), (None, Verdict::Imbalanced));
    assert!(found(&audited.report, Check::Continuity, Fault::RangeChanged).is_some());
    // From now on nothing is sealed and everything is read.
    let again = newest_only.run(Kind::Incremental).await.unwrap();
    assert_eq!((again.report.run.floor, again.report.verdict), (None, Verdict::Imbalanced));
    assert!(!again.standing.unwrap().sealed);
    books.heal().await;
    let healed = newest_only.run(Kind::Incremental).await.unwrap();
    assert_eq!(healed.standing.unwrap().open, []);
    let after = newest_only.run(Kind::Incremental).await.unwrap();
    assert!(after.report.run.floor.is_some());
    books.database.close().await;
}

#[tokio::test]
async fn an_older_backup_is_known_by_the_head_outside_and_adopting_it_resolves_the_finding() {
    let books = Books::sealed().await;
    let store = store(&books.database);
    let before = store.run(Kind::Incremental).await.unwrap().standing.unwrap().head.unwrap();
    let mut writer = books.database.connect(Role::Superuser).await;
    book(&mut writer, "ch_6", true, CAPTURE).await;
    let head = until_sealed(&store, &books.client).await.standing.unwrap().head;
    let head = match head {
        Some(head) if head.height > before.height => head,
        Some(_) | None => store.run(Kind::Incremental).await.unwrap().standing.unwrap().head.unwrap(),
    };
    let published = Order { published: Some(head), ..Kind::Incremental.into() };
    assert_eq!(store.run(published).await.unwrap().report.findings, []);

    // As it was before: rows, and checkpoints.
    books.heal().await;
    guard(&books.client, false).await;
    let older = format!("DELETE FROM countersign.checkpoint WHERE height > {}", before.height);
    books.client.batch_execute(&older).await.unwrap();
    guard(&books.client, true).await;
    let report = store.run(published).await.unwrap().report;
    let finding = found(&report, Check::Continuity, Fault::ChainShorter).unwrap();
    assert!(finding.cure.unwrap().contains("countersign adopt"), "{finding}");

    let adopted = store.adopt("the backup of last night, resent from the providers").await.unwrap();
    assert!(adopted.height > before.height);
    let published = Order { published: Some(adopted), ..Kind::Full.into() };
    let audited = store.run(published).await.unwrap();
    assert_eq!((audited.report.findings.len(), audited.standing.unwrap().open.len()), (0, 0));
    books.database.close().await;
}

#[tokio::test]
async fn a_dump_restored_elsewhere_is_known_by_its_numbers_and_adopting_carries_them_on() {
    let books = Books::sealed().await;
    // What is sealed lies far above where this cluster counts.
    guard(&books.client, false).await;
    let rows = TABLES.map(|table| format!("UPDATE countersign.{table} SET xid = xid + 4000000000;"));
    let newest = "UPDATE countersign.checkpoint SET xid_hi = xid_hi + 4000000000
        WHERE height = (SELECT max(height) FROM countersign.checkpoint)";
    let shift = rows.concat() + newest;
    books.client.batch_execute(&shift).await.unwrap();
    guard(&books.client, true).await;
    let store = store(&books.database);
    let report = store.run(Kind::Incremental).await.unwrap().report;
    assert!(found(&report, Check::Continuity, Fault::ForeignHistory).is_some(), "{report}");

    store.adopt("restored from a dump").await.unwrap();
    let mut writer = books.database.connect(Role::Superuser).await;
    book(&mut writer, "ch_6", true, CAPTURE).await;
    let audited = until_sealed(&store, &books.client).await;
    assert_eq!(audited.standing.unwrap().open, []);
    books.database.close().await;
}

#[tokio::test]
async fn a_finding_that_is_acknowledged_stays_open_and_lets_the_sealing_go_on() {
    let books = Books::sealed().await;
    let report = books.damaged("DELETE FROM countersign.delivery WHERE sequence = 2").await;
    assert_eq!(report.findings.len(), 1, "{report}");
    let operator = AuditStore::connect(&Settings::new(books.database.url(Role::Operator))).unwrap();
    let open = operator.findings(true, 10).await.unwrap();
    let taken = operator.acknowledge(open[0].id, "the row was lost on purpose").await.unwrap().unwrap();
    assert_eq!(taken.acknowledged.as_ref().unwrap().by, "countersign_operator");
    // Once: the first word stands.
    let again = operator.acknowledge(open[0].id, "something else").await.unwrap().unwrap();
    assert_eq!(again.acknowledged, taken.acknowledged);
    assert_eq!(operator.acknowledge(0, "nothing").await.unwrap(), None);

    let mut writer = books.database.connect(Role::Superuser).await;
    book(&mut writer, "ch_6", true, CAPTURE).await;
    let store = store(&books.database);
    let audited = until_sealed(&store, &books.client).await;
    assert_eq!(audited.standing.unwrap().open[0].id, open[0].id);
    books.database.close().await;
}

#[tokio::test]
async fn two_auditors_at_once_make_one_chain_and_one_row_per_finding() {
    let books = Books::sealed().await;
    let mut writer = books.database.connect(Role::Superuser).await;
    let (one, two) = (store(&books.database), store(&books.database));
    for number in 10..16 {
        book(&mut writer, &format!("ch_{number}"), true, CAPTURE).await;
        let (one, two) = tokio::join!(one.run(Kind::Incremental), two.run(Kind::Full));
        assert_eq!(
            (one.unwrap().standing.unwrap().open.len(), two.unwrap().standing.unwrap().open.len()),
            (0, 0)
        );
    }
    guard(&books.client, false).await;
    let edit =
        "UPDATE countersign.entry SET amount_minor = amount_minor + 500 WHERE transaction_id = 1 AND leg = 1";
    books.client.batch_execute(edit).await.unwrap();
    guard(&books.client, true).await;
    let (one, two) = tokio::join!(one.run(Kind::Incremental), two.run(Kind::Full));
    drop((one.unwrap(), two.unwrap()));
    let row = books
        .client
        .query_one("SELECT count(*), count(DISTINCT key), min(runs) FROM countersign.finding WHERE resolved_at IS NULL", &[])
        .await
        .unwrap();
    let (rows, keys, runs): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!((rows, runs), (keys, 2));
    books.database.close().await;
}
