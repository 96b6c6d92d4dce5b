//! What the database's refusals and absences look like to whoever records.

use ledger::{Account, ActionKind, Provider, ProviderAccount, Reason, Source, Status};
use ledger_postgres::{PostgresBooks, Settings};
use ports::{Books as _, BooksError, EventRecord, Filing};
use runtime::TokioExecutor;
use testkit::contract::books::Desk as _;
use testkit::contract::books::samples::{accounts, booking, captures, delivery, event_key, keeping};
use testkit::memory::books::Target;
use testkit::servers::postgres::{Database, Role};
use wire::Request;

use crate::books;
use crate::desk::PostgresDesk;

#[tokio::test]
async fn a_row_that_the_database_refuses_is_refused_by_state_and_constraint_and_without_its_content() {
    let database = Database::create().await;
    let books = books(&database).await;
    let superuser = database.connect(Role::Superuser).await;
    let guard =
        "ALTER TABLE countersign.event ADD CONSTRAINT no_such_object CHECK (object_id <> 'ch_refused')";
    superuser.batch_execute(guard).await.unwrap();
    let mut record = booking(delivery(1, 1), "evt_refused", &[("ch_refused", 1)]);
    if let Filing::Event(EventRecord { event, .. }) = &mut record.filing {
        event.object_id = Some(ledger::ObjectId::parse("ch_refused").unwrap());
    }
    let good = booking(delivery(1, 2), "evt_good", &[("ch_good", 1)]);
    let refused = books.record(&[good.clone(), record]).await;
    let expected = BooksError::Refused("SQLSTATE 23514, constraint no_such_object".to_owned());
    assert_eq!(refused, Err(expected));
    let events: i64 =
        superuser.query_one("SELECT count(*) FROM countersign.event", &[]).await.unwrap().get(0);
    assert_eq!(events, 0);
    books.record(&[good]).await.unwrap();
    database.close().await;
}

#[tokio::test]
async fn who_waits_too_long_for_a_lock_is_told_to_try_again() {
    let database = Database::create().await;
    let superuser = database.connect(Role::Superuser).await;
    let limit =
        format!("ALTER ROLE countersign_processor IN DATABASE {} SET lock_timeout = '50ms'", database.name());
    superuser.batch_execute(&limit).await.unwrap();
    let books = books(&database).await;
    let batch = [booking(delivery(1, 1), "evt_1", &[("ch_1", 1)])];
    superuser.batch_execute("BEGIN; LOCK TABLE countersign.transaction IN EXCLUSIVE MODE").await.unwrap();
    assert_eq!(books.record(&batch).await, Err(BooksError::Unavailable("SQLSTATE 55P03".to_owned())));
    superuser.batch_execute("ROLLBACK").await.unwrap();
    books.record(&batch).await.unwrap();
    database.close().await;
}

#[tokio::test]
async fn who_gets_no_answer_in_time_gives_the_connection_up_and_is_told_to_try_again() {
    let database = Database::create().await;
    let superuser = database.connect(Role::Superuser).await;
    let settings = Settings {
        connections_max: 1,
        call_timeout: core::time::Duration::from_millis(300),
        ..Settings::new(database.url(Role::Processor))
    };
    let books = PostgresBooks::connect(&settings, TokioExecutor::handle()).await.unwrap();
    books.ensure_accounts(&accounts()).await.unwrap();
    let batch = [booking(delivery(1, 1), "evt_1", &[("ch_1", 1)])];
    superuser.batch_execute("BEGIN; LOCK TABLE countersign.transaction IN EXCLUSIVE MODE").await.unwrap();
    let refused = books.record(&batch).await;
    assert_eq!(refused, Err(BooksError::Unavailable("the database did not answer in time".to_owned())));
    superuser.batch_execute("ROLLBACK").await.unwrap();
    // The abandoned one ends on the server by itself; until then the next waits for its keys.
    let mut recorded = books.record(&batch).await;
    for _ in 0..100 {
        if !matches!(recorded, Err(BooksError::Unavailable(_))) {
            break;
        }
        recorded = books.record(&batch).await;
    }
    assert_eq!(recorded.unwrap()[0].movements.len(), 1);
    database.close().await;
}

#[tokio::test]
async fn a_database_without_what_we_need_is_of_another_version() {
    let database = Database::create().await;
    let books = books(&database).await;
    let batch = [booking(delivery(1, 1), "evt_1", &[("ch_1", 1)])];
    let superuser = database.connect(Role::Superuser).await;
    let take = "REVOKE INSERT (leg) ON countersign.entry FROM countersign_processor";
    superuser.batch_execute(take).await.unwrap();
    assert_eq!(books.record(&batch).await, Err(BooksError::Incompatible("SQLSTATE 42501".to_owned())));
    superuser
        .batch_execute("ALTER TABLE countersign.delivery RENAME COLUMN sequence TO number")
        .await
        .unwrap();
    assert_eq!(books.record(&batch).await, Err(BooksError::Incompatible("SQLSTATE 42703".to_owned())));
    database.close().await;
}

#[tokio::test]
async fn an_account_that_was_not_opened_at_start_is_a_mistake_of_ours_and_parks_nothing() {
    let database = Database::create().await;
    let settings = Settings::new(database.url(Role::Processor));
    let books = PostgresBooks::connect(&settings, TokioExecutor::handle()).await.unwrap();
    let batch = [booking(delivery(1, 1), "evt_1", &[("ch_1", 1)])];
    assert!(matches!(books.record(&batch).await, Err(BooksError::Incompatible(_))));
    let mut all = accounts();
    books.ensure_accounts(&all).await.unwrap();
    all.insert(Account::parse("suspense").unwrap());
    books.ensure_accounts(&all).await.unwrap();
    books.record(&batch).await.unwrap();
    database.close().await;
}

#[tokio::test]
async fn what_the_books_know_of_a_source_is_what_it_was_at_its_first_start() {
    fn source(name: &str, account: &str) -> (Source, Provider, ProviderAccount) {
        (
            Source::parse(name).unwrap(),
            Provider::parse("stripe").unwrap(),
            ProviderAccount::parse(account).unwrap(),
        )
    }
    let database = Database::create().await;
    let books = books(&database).await;
    assert_eq!(books.ensure_sources(&[]).await.unwrap().len(), 0);
    let first = [source("stripe", "acct_1"), source("stripe-eu", "acct_2")];
    let known = books.ensure_sources(&first).await.unwrap();
    let expected = first.clone().map(|(name, provider, account)| (name, (provider, account)));
    assert_eq!(known.into_iter().collect::<Vec<_>>(), expected);
    let known = books.ensure_sources(&[source("stripe", "acct_other")]).await.unwrap();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), expected[..1]);
    database.close().await;
}

#[tokio::test]
async fn a_release_that_the_database_refuses_has_its_effect_and_leaves_the_event_parked() {
    let database = Database::create().await;
    let books = books(&database).await;
    let superuser = database.connect(Role::Superuser).await;
    let guard =
        "ALTER TABLE countersign.transaction ADD CONSTRAINT no_such_object CHECK (object_id <> 'ch_refused')";
    superuser.batch_execute(guard).await.unwrap();
    books.record(&[keeping(delivery(1, 1), "evt_1", Reason::UnknownMoney)]).await.unwrap();
    let desk = PostgresDesk::of(&database).await;
    let action = desk.ask(ActionKind::Release, Target::Event(event_key("evt_1"))).await;
    let assess = |event| EventRecord { event, money: None, decision: captures(&[("ch_refused", 1)]) };
    let acted = books.act(Request { action }, &assess).await.unwrap().unwrap();
    assert_eq!((acted.status, acted.reason), (Status::Parked, Some(Reason::RefusedByBooks)));
    assert_eq!(books.act(Request { action }, &assess).await, Ok(Some(acted)));
    database.close().await;
}

#[tokio::test]
async fn a_probe_fails_while_nothing_can_be_written() {
    let database = Database::create().await;
    let settings = Settings { connections_max: 1, ..Settings::new(database.url(Role::Processor)) };
    let books = PostgresBooks::connect(&settings, TokioExecutor::handle()).await.unwrap();
    assert_eq!(books.probe().await, Ok(()));
    let superuser = database.connect(Role::Superuser).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = 'countersign_processor'";
    let limit = async |connections: i32| {
        let limit = format!("ALTER DATABASE {} CONNECTION LIMIT {connections}", database.name());
        superuser.batch_execute(&limit).await.unwrap();
    };
    limit(0).await;
    superuser.execute(end, &[]).await.unwrap();
    assert!(matches!(books.probe().await, Err(BooksError::Unavailable(_))));
    assert!(matches!(books.probe().await, Err(BooksError::Unavailable(_))));
    limit(-1).await;
    assert_eq!(books.probe().await, Ok(()));
    database.close().await;
}
