//! What the operator reads.

use ledger::{EventId, Reason, Status, UnixMillis};
use ledger_postgres::{Balance, PostgresReader, Settings};
use ports::{Books as _, Filing};
use runtime::TokioExecutor;
use testkit::contract::books::samples::{NOW, booking, delivery, evidence, keeping, with_fingerprint};
use testkit::servers::postgres::{Database, Role};
use wire::Fingerprint;

use crate::books;

async fn reader(database: &Database) -> PostgresReader {
    let settings = Settings::new(database.url(Role::Operator));
    PostgresReader::connect(&settings, TokioExecutor::handle()).await.unwrap()
}

fn columns(balances: &[Balance]) -> Vec<(&str, i128, i128)> {
    let columns = |balance: &Balance| (balance.debit_minor, balance.credit_minor);
    balances
        .iter()
        .map(|balance| (balance.account.as_str(), columns(balance).0, columns(balance).1))
        .collect()
}

#[tokio::test]
async fn balances_are_of_what_happened_by_then_as_it_was_known_by_then() {
    let database = Database::create().await;
    let (books, reader) = (books(&database).await, reader(&database).await);
    assert_eq!(reader.balances(None, None).await, Ok(vec![]));
    let before = database_now(&database).await;
    books.record(&[booking(delivery(1, 1), "evt_1", &[("ch_1", 100), ("ch_2", 250)])]).await.unwrap();
    let all = reader.balances(None, None).await.unwrap();
    assert_eq!(columns(&all), [("assets:stripe:clearing", 350, 0), ("income:sales", 0, 350)]);
    let json = serde_json::to_value(&all).unwrap();
    assert_eq!(json[0]["debit_minor"], 350);
    assert_eq!((&json[0]["livemode"], &json[0]["currency"]), (&false.into(), &"USD".into()));
    // The samples' money moved two seconds before their own NOW.
    let moved = NOW.plus_ms(-2000);
    assert_eq!(reader.balances(Some(moved), None).await.unwrap(), all);
    assert_eq!(reader.balances(Some(moved.plus_ms(-1)), None).await, Ok(vec![]));
    let after = database_now(&database).await;
    assert_eq!(reader.balances(None, Some(after)).await.unwrap(), all);
    assert_eq!(reader.balances(None, Some(before)).await, Ok(vec![]));
    assert_eq!(reader.balances(Some(UnixMillis(i64::MAX)), Some(UnixMillis(i64::MAX))).await.unwrap(), all);
    // Sums are wider than an amount.
    let most = i64::MAX;
    for sequence in 2..5 {
        let id = format!("evt_{sequence}");
        books.record(&[booking(delivery(1, sequence), &id, &[(&id, most)])]).await.unwrap();
    }
    let wide = reader.balances(None, None).await.unwrap();
    let sum = 350 + 3 * i128::from(most);
    assert_eq!(columns(&wide), [("assets:stripe:clearing", sum, 0), ("income:sales", 0, sum)]);
    assert!(serde_json::to_string(&wide).unwrap().contains(&sum.to_string()));
    database.close().await;
}

/// The database's clock, rounded up.
async fn database_now(database: &Database) -> UnixMillis {
    let client = database.connect(Role::Superuser).await;
    let now = "SELECT ceil(extract(epoch FROM clock_timestamp()) * 1000)::BIGINT";
    UnixMillis(client.query_one(now, &[]).await.unwrap().get(0))
}

#[tokio::test]
async fn events_are_listed_by_what_became_of_them_the_newest_first() {
    let database = Database::create().await;
    let (books, reader) = (books(&database).await, reader(&database).await);
    let batch = [
        booking(delivery(1, 1), "evt_a_booked", &[("ch_1", 100)]),
        keeping(delivery(1, 2), "evt_b_ignored", Reason::MovesNoMoney),
        booking(delivery(1, 3), "evt_c_parked", &[("ch_1", 101)]),
    ];
    books.record(&batch).await.unwrap();
    let ids = async |outcome, limit| {
        let events = reader.events(outcome, limit).await.unwrap();
        events.into_iter().map(|event| event.event_id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 10).await, ["evt_c_parked", "evt_b_ignored", "evt_a_booked"]);
    assert_eq!(ids(None, 2).await, ["evt_c_parked", "evt_b_ignored"]);
    assert_eq!(ids(Some(Status::Parked), 10).await, ["evt_c_parked"]);
    assert_eq!(ids(Some(Status::Booked), 10).await, ["evt_a_booked"]);
    let parked = reader.events(Some(Status::Parked), 1).await.unwrap().remove(0);
    assert_eq!(parked.reason.as_deref(), Some("movement-conflict"));
    assert_eq!(parked.trace_id.as_deref(), Some("00000000000000000000000000000003"));
    database.close().await;
}

#[tokio::test]
async fn an_events_story_has_its_messages_its_transactions_and_what_came_under_its_id() {
    let database = Database::create().await;
    let (books, reader) = (books(&database).await, reader(&database).await);
    let other = Fingerprint { version: 1, digest: [9; 32] };
    let batch = [
        booking(delivery(1, 1), "evt_1", &[("ch_1", 100)]),
        booking(delivery(1, 2), "evt_1", &[("ch_1", 100)]),
        with_fingerprint(booking(delivery(1, 3), "evt_1", &[("ch_1", 100)]), other),
        evidence(delivery(1, 4), Some("evt_1")),
        booking(delivery(1, 5), "evt_2", &[("ch_1", 101)]),
    ];
    books.record(&batch).await.unwrap();
    let story = reader.event(&EventId::parse("evt_1").unwrap()).await.unwrap();
    let [event] = story.events.as_slice() else { panic!("{story:?}") };
    let Filing::Event(record) = &batch[0].filing else { panic!("{batch:?}") };
    assert_eq!(event.payload.as_ref().unwrap().get().as_bytes(), record.event.payload);
    let outcomes = |rows: &[ledger_postgres::DeliveryRow]| {
        rows.iter().map(|row| (row.sequence, row.outcome.clone())).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(&event.deliveries), [(1, "booked".to_owned()), (2, "hit".to_owned())]);
    assert_eq!(outcomes(&story.evidence), [(3, "parked".to_owned()), (4, "parked".to_owned())]);
    assert_eq!(story.evidence[0].reason.as_deref(), Some("event-id-reused"));
    let [transaction] = event.transactions.as_slice() else { panic!("{event:?}") };
    assert_eq!((transaction.role.as_str(), transaction.entries.len()), ("first", 2));
    assert_eq!(transaction.movement_key, "stripe/acct_dev/test/ch_1/capture");
    assert_eq!(transaction.entries.iter().map(|entry| entry.amount_minor).sum::<i64>(), 0);
    let json = serde_json::to_value(&story).unwrap();
    assert_eq!(json["events"][0]["event_id"], "evt_1");
    assert_eq!(json["events"][0]["payload"]["id"], "evt_1");

    let conflict = reader.event(&EventId::parse("evt_2").unwrap()).await.unwrap();
    assert_eq!(conflict.events[0].transactions[0].role, "conflict");
    let unknown = reader.event(&EventId::parse("evt_unknown").unwrap()).await.unwrap();
    assert!(unknown.events.is_empty() && unknown.evidence.is_empty());
    database.close().await;
}

#[tokio::test]
async fn the_journal_is_the_view_that_other_tools_may_rely_on() {
    let database = Database::create().await;
    books(&database).await.record(&[booking(delivery(1, 1), "evt_1", &[("ch_1", 100)])]).await.unwrap();
    let client = database.connect(Role::Operator).await;
    let rows = client.query("SELECT * FROM countersign.journal ORDER BY entry_id", &[]).await.unwrap();
    let columns: Vec<&str> = rows[0].columns().iter().map(tokio_postgres::Column::name).collect();
    let promised = "entry_id, transaction_id, movement_key, account, amount_minor, currency, livemode, source, \
        provider_account, event_id, object_id, trace_id, occurred_at, recorded_at";
    assert_eq!(columns.join(", "), promised);
    let amounts: Vec<i64> = rows.iter().map(|row| row.get("amount_minor")).collect();
    assert_eq!(amounts, [100, -100]);
    assert_eq!(rows[0].get::<_, String>("event_id"), "evt_1");
    database.close().await;
}
