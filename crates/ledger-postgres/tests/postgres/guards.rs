//! What the database itself refuses, whoever asks: a role of the services or a superuser who goes past them.

use ledger::Reason;
use ports::Books as _;
use testkit::contract::books::samples::{booking, delivery, keeping};
use testkit::servers::postgres::{Database, Role};
use tokio_postgres::Client;

use crate::{books, refusal, tables};

/// An event and the header of its transaction, by hand.
fn header(name: &str, legs: i32) -> String {
    format!(
        "WITH event AS (
           INSERT INTO countersign.event (
             source, provider, provider_account, livemode, event_id, event_type, own_account, occurred_at, fingerprint,
             fingerprint_version, payload, keep_list_version, outcome)
           VALUES ('stripe', 'stripe', 'acct_dev', false, 'evt_{name}', 'charge.succeeded', 'acct_dev', now(),
             sha256('{name}'), 1, '{{}}', 1, 'booked')
           RETURNING id)
         INSERT INTO countersign.transaction (
           movement_key, provider, provider_account, livemode, object_id, kind, digest, digest_version,
           posting_version, legs, source, event_row, occurred_at)
         SELECT 'stripe/acct_dev/test/ch_{name}/capture', 'stripe', 'acct_dev', false, 'ch_{name}', 'capture',
           sha256('{name}'), 1, 1, {legs}, 'stripe', id, now()
         FROM event"
    )
}

/// Legs of it: number, amount, currency, livemode.
fn entries(name: &str, legs: &str) -> String {
    format!(
        "INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
         SELECT transaction.id, leg, account.id, amount_minor, currency, leg_livemode
         FROM (VALUES {legs}) AS given (leg, amount_minor, currency, leg_livemode)
         JOIN countersign.account ON name = 'income:sales'
         JOIN countersign.transaction ON movement_key = 'stripe/acct_dev/test/ch_{name}/capture'"
    )
}

fn link(name: &str) -> String {
    format!(
        "INSERT INTO countersign.event_transaction (event_row, transaction_id, role)
         SELECT event.id, transaction.id, 'first' FROM countersign.event
         JOIN countersign.transaction ON transaction.object_id = 'ch_{name}' WHERE event_id = 'evt_{name}'"
    )
}

const BALANCED: &str = "(1, 100, 'USD', false), (2, -100, 'USD', false)";

async fn refuses_what_is_no_transaction(client: &Client, prefix: &str) {
    let check = |constraint: &str| Some(("23514".to_owned(), constraint.to_owned()));
    let cases = [
        ("unbalanced", "(1, 100, 'USD', false), (2, -99, 'USD', false)", "entry_balanced"),
        ("two_currencies", "(1, 100, 'USD', false), (2, -100, 'EUR', false)", "entry_balanced"),
        ("one_leg", "(1, 100, 'USD', false)", "entry_complete"),
        ("three_legs", "(1, 1, 'USD', false), (2, 1, 'USD', false), (3, -2, 'USD', false)", "entry_complete"),
        ("gap", "(1, 100, 'USD', false), (3, -100, 'USD', false)", "entry_complete"),
        ("mixed", "(1, 100, 'USD', false), (2, -100, 'USD', true)", "entry_livemode"),
        ("wrong_mode", "(1, 100, 'USD', true), (2, -100, 'USD', true)", "entry_livemode"),
        ("nothing", "(1, 0, 'USD', false), (2, 0, 'USD', false)", "entry_amount_minor_check"),
        ("no_currency", "(1, 1, 'usd', false), (2, -1, 'usd', false)", "entry_currency_check"),
    ];
    for (name, legs, constraint) in cases {
        let name = format!("{prefix}_{name}");
        let statements = format!("{}; {}", header(&name, 2), entries(&name, legs));
        assert_eq!(refusal(client, &statements).await, check(constraint), "{name}");
    }
    // Not even one leg after the other: at the end of each statement the books balance.
    let name = format!("{prefix}_slowly");
    let slowly =
        [header(&name, 2), entries(&name, "(1, 1, 'USD', false)"), entries(&name, "(2, -1, 'USD', false)")];
    assert_eq!(refusal(client, &slowly.join("; ")).await, check("entry_complete"));
    let name = format!("{prefix}_header");
    assert_eq!(refusal(client, &header(&name, 2)).await, check("entry_complete"));
    assert_eq!(refusal(client, &header(&name, 1)).await, check("transaction_legs_check"));

    let name = format!("{prefix}_good");
    let good = [header(&name, 2), entries(&name, BALANCED), link(&name)].join("; ");
    assert_eq!(refusal(client, &good).await, None);
    let more = "(3, 5, 'USD', false), (4, -5, 'USD', false)";
    assert_eq!(refusal(client, &entries(&name, more)).await, check("entry_same_xid"));
    let again = Some(("23505".to_owned(), "entry_leg".to_owned()));
    assert_eq!(refusal(client, &entries(&name, BALANCED)).await, again);
}

#[tokio::test]
async fn p4_what_does_not_balance_is_refused_by_the_database() {
    let database = Database::create().await;
    drop(books(&database).await);
    refuses_what_is_no_transaction(&database.connect(Role::Processor).await, "processor").await;
    let superuser = database.connect(Role::Superuser).await;
    refuses_what_is_no_transaction(&superuser, "superuser").await;
    superuser.batch_execute("SET session_replication_role = replica").await.unwrap();
    refuses_what_is_no_transaction(&superuser, "replica").await;
    // A superuser can write any number into xid, but not make an old transaction's the running one's.
    let forged = "INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode, xid)
        SELECT id, leg, 1, amount, 'USD', false, xid FROM countersign.transaction
        CROSS JOIN (VALUES (3, 7), (4, -7)) AS legs (leg, amount) LIMIT 2";
    let refused = refusal(&superuser, forged).await;
    assert_eq!(refused, Some(("23514".to_owned(), "entry_same_xid".to_owned())));
    database.close().await;
}

#[tokio::test]
async fn p4_nothing_in_any_table_is_updated_deleted_or_truncated() {
    let database = Database::create().await;
    drop(books(&database).await);
    let superuser = database.connect(Role::Superuser).await;
    let tables = tables(&superuser).await;
    assert!(tables.len() >= 16, "{tables:?}");
    let mut clients = vec![(superuser, "23001", "append_only")];
    let replica = database.connect(Role::Superuser).await;
    replica.batch_execute("SET session_replication_role = replica").await.unwrap();
    clients.push((replica, "23001", "append_only"));
    for role in Role::SERVICES {
        clients.push((database.connect(role).await, "42501", ""));
    }
    for (client, code, constraint) in &clients {
        for table in &tables {
            let column: String = client
                .query_one(
                    "SELECT attname::TEXT FROM pg_attribute
                     WHERE attrelid = ('countersign.' || quote_ident($1))::REGCLASS AND attnum > 0 AND attidentity = ''
                     LIMIT 1",
                    &[table],
                )
                .await
                .unwrap()
                .get(0);
            for statement in [
                format!("UPDATE countersign.{table} SET {column} = {column}"),
                format!("DELETE FROM countersign.{table}"),
                format!("TRUNCATE countersign.{table}"),
                format!("TRUNCATE countersign.{table} CASCADE"),
            ] {
                let expected = Some(((*code).to_owned(), (*constraint).to_owned()));
                let refused = refusal(client, &statement).await;
                // A referenced table is protected from a plain TRUNCATE already.
                let referenced = Some(("0A000".to_owned(), String::new()));
                let plain = statement.starts_with("TRUNCATE") && !statement.ends_with("CASCADE");
                assert!(refused == expected || (plain && refused == referenced), "{statement}: {refused:?}");
            }
        }
    }
    let (superuser, ..) = &clients[0];
    let upsert = "INSERT INTO countersign.account (name) VALUES ('income:sales')
        ON CONFLICT (name) DO UPDATE SET name = excluded.name";
    let refused = refusal(superuser, upsert).await;
    assert_eq!(refused, Some(("23001".to_owned(), "append_only".to_owned())));
    database.close().await;
}

#[tokio::test]
async fn every_table_that_grows_knows_its_writing_transaction() {
    let database = Database::create().await;
    let superuser = database.connect(Role::Superuser).await;
    let own = ["schema_history", "schema_version", "xid_offset"];
    for table in tables(&superuser).await.iter().filter(|table| !own.contains(&table.as_str())) {
        let found: bool = superuser
            .query_one(
                "SELECT EXISTS (
                   SELECT FROM pg_attribute
                   JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                   WHERE attrelid = ('countersign.' || quote_ident($1))::REGCLASS AND attname = 'xid' AND attnotnull
                     AND pg_get_expr(adbin, adrelid) = 'countersign.current_xid()')
                 AND EXISTS (
                   SELECT FROM pg_indexes
                   WHERE schemaname = 'countersign' AND tablename = $1 AND indexdef LIKE '%USING brin (xid)%')",
                &[table],
            )
            .await
            .unwrap()
            .get(0);
        assert!(found, "{table} has no xid of its writer with a BRIN index");
    }
    // A restored cluster counts from the start again: what is added reaches every session, whatever plans it keeps.
    let other = database.connect(Role::Superuser).await;
    let added = "SELECT countersign.current_xid() - pg_current_xact_id()::TEXT::BIGINT";
    let added = other.prepare(added).await.unwrap();
    for _ in 0..10 {
        assert_eq!(other.query_one(&added, &[]).await.unwrap().get::<_, i64>(0), 0);
    }
    superuser.batch_execute("INSERT INTO countersign.xid_offset (total) VALUES (1024)").await.unwrap();
    assert_eq!(other.query_one(&added, &[]).await.unwrap().get::<_, i64>(0), 1024);
    let back = refusal(&superuser, "INSERT INTO countersign.xid_offset (total) VALUES (1023)").await;
    assert_eq!(back, Some(("23514".to_owned(), "xid_offset_grows".to_owned())));
    drop(books(&database).await);
    let opened = "SELECT bool_and(xid > 1024) FROM countersign.account";
    assert!(superuser.query_one(opened, &[]).await.unwrap().get::<_, bool>(0));
    database.close().await;
}

#[tokio::test]
async fn a_status_follows_only_what_stands_parked_and_the_one_before_it() {
    let database = Database::create().await;
    let books = books(&database).await;
    let batch = [
        booking(delivery(1, 1), "evt_booked", &[("ch_1", 1)]),
        keeping(delivery(1, 2), "evt_parked", Reason::UnknownMoney),
    ];
    books.record(&batch).await.unwrap();
    let superuser = database.connect(Role::Superuser).await;
    superuser.batch_execute("SET session_replication_role = replica").await.unwrap();
    let status = |event: &str, rank: i32, status: &str| {
        let reason = if status == "parked" { "'thin-event'" } else { "NULL" };
        format!(
            "INSERT INTO countersign.event_status (event_row, rank, status, reason, cause)
             SELECT id, {rank}, '{status}', {reason}, 'delivery' FROM countersign.event WHERE event_id = '{event}'"
        )
    };
    let refused = Some(("23514".to_owned(), "event_status_follows".to_owned()));
    assert_eq!(refusal(&superuser, &status("evt_booked", 1, "dismissed")).await, refused);
    assert_eq!(refusal(&superuser, &status("evt_parked", 2, "dismissed")).await, refused);
    assert_eq!(refusal(&superuser, &status("evt_parked", 1, "parked")).await, None);
    let again = Some(("23505".to_owned(), "event_status_once".to_owned()));
    assert_eq!(refusal(&superuser, &status("evt_parked", 1, "parked")).await, again);
    assert_eq!(refusal(&superuser, &status("evt_parked", 2, "dismissed")).await, None);
    assert_eq!(refusal(&superuser, &status("evt_parked", 3, "parked")).await, refused);
    database.close().await;
}
