//! What was announced and never settled, and what a provider says that it holds.

use audit::{Check, Fault, Finding, Kind};
use testkit::servers::postgres::{Database, Role};
use tokio_postgres::Client;

use crate::books::store;

/// A movement of money: the object, its kind, what it settles, its first leg, and how many days ago it was booked.
struct Moved<'o> {
    object: &'o str,
    kind: &'static str,
    settles: Option<&'o str>,
    leg: (&'static str, i64, &'static str),
    days: i32,
}

const CLEARING: &str = "assets:stripe:clearing";

const fn announced<'o>(object: &'o str, kind: &'static str, minor: i64, days: i32) -> Moved<'o> {
    Moved { object, kind, settles: None, leg: (CLEARING, minor, "USD"), days }
}

const fn settled<'o>(object: &'o str, of: &'o str, minor: i64, days: i32) -> Moved<'o> {
    Moved { object, kind: "settlement", settles: Some(of), leg: (CLEARING, -minor, "USD"), days }
}

/// Books it, past no guard, in live money of `acct_dev`; what it takes from clearing goes to the balance.
async fn book(client: &mut Client, moved: &Moved<'_>) {
    let Moved { object, kind, settles, leg: (account, minor, currency), days } = moved;
    let other = if settles.is_some() { "assets:stripe:balance" } else { "income:sales" };
    let work = client.transaction().await.unwrap();
    for name in [*account, other] {
        let statement = "INSERT INTO countersign.account (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
        work.execute(statement, &[&name]).await.unwrap();
    }
    let statement = "WITH event AS (
          INSERT INTO countersign.event (source, provider, provider_account, livemode, event_id, event_type, object_id,
            own_account, occurred_at, fingerprint, fingerprint_version, payload, keep_list_version, outcome, trace_id)
          VALUES ('stripe', 'stripe', 'acct_dev', TRUE, 'evt_' || $1 || $2, $2, $1, 'acct_dev', now(), sha256('event'), 1,
            '{}', 1, 'booked', md5($1))
          RETURNING id, trace_id
        )
        INSERT INTO countersign.transaction (movement_key, provider, provider_account, livemode, object_id, kind, settles,
          digest, digest_version, posting_version, legs, source, event_row, trace_id, occurred_at, recorded_at)
        SELECT 'stripe/acct_dev/live/' || $1 || '/' || $2, 'stripe', 'acct_dev', TRUE, $1, $2, $3, sha256('movement'), 1, 1, 2,
          'stripe', id, trace_id, now() - make_interval(days => $4), now() - make_interval(days => $4)
        FROM event
        RETURNING id, event_row";
    let header = work.query_one(statement, &[object, kind, settles, days]).await.unwrap();
    let (id, event): (i64, i64) = (header.get(0), header.get(1));
    let link = "INSERT INTO countersign.event_transaction VALUES ($1, $2, 'first')";
    work.execute(link, &[&event, &id]).await.unwrap();
    work.execute(
        "INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
         SELECT $1, leg, account.id, amount_minor, $4, TRUE
         FROM unnest($2::TEXT[], $3::BIGINT[]) WITH ORDINALITY AS legs (name, amount_minor, leg)
         JOIN countersign.account USING (name)",
        &[&id, &[*account, other].as_slice(), &[*minor, -*minor].as_slice(), currency],
    )
    .await
    .unwrap();
    work.commit().await.unwrap();
}

async fn booked(moved: &[Moved<'_>]) -> (Database, Client) {
    let database = Database::create().await;
    let mut client = database.connect(Role::Superuser).await;
    for moved in moved {
        book(&mut client, moved).await;
    }
    (database, client)
}

/// What a check finds. Rows that claim to be old may be held up by other tests of this server, which is a finding too.
async fn found(database: &Database, kind: Kind, check: Check) -> Vec<Finding> {
    let report = store(database).run(kind).await.unwrap().report;
    report.findings.into_iter().filter(|finding| finding.check == check).collect()
}

/// The keys of what stands open of a check after another run.
async fn open_now(database: &Database, check: Check) -> Vec<String> {
    let audited = store(database).run(Kind::Incremental).await.unwrap();
    let open = audited.standing.unwrap().open.into_iter();
    open.filter(|finding| finding.check == check.as_str()).map(|finding| finding.key).collect()
}

/// What of `clearing` a run finds: reference and minor units.
async fn unsettled(database: &Database, kind: Kind) -> Vec<(String, i128)> {
    let amount =
        |finding: Finding| (finding.money.unwrap().object_id.unwrap(), finding.amount_minor.unwrap());
    found(database, kind, Check::Clearing).await.into_iter().map(amount).collect()
}

#[tokio::test]
async fn what_is_not_settled_in_a_fortnight_is_found_once_settlements_are_imported_and_heals_with_its_settlement()
 {
    let (database, mut client) = booked(&[
        announced("ch_old", "capture", 500, 40),
        announced("ch_1", "capture", 1000, 15),
        announced("re_1", "refund", -300, 15),
        announced("ch_young", "capture", 700, 13),
    ])
    .await;
    // Until then nobody knows what is settled.
    assert_eq!(unsettled(&database, Kind::Full).await, []);
    // The import begins twenty days ago: what came before was never to be settled here.
    book(&mut client, &announced("ch_0", "capture", 100, 20)).await;
    book(&mut client, &settled("txn_0", "ch_0", 100, 20)).await;
    // Told of a moment after that, but maybe settled a moment before.
    book(&mut client, &announced("ch_first", "capture", 200, 20)).await;
    let open = vec![("ch_1".to_owned(), 1000), ("re_1".to_owned(), -300)];
    assert_eq!(unsettled(&database, Kind::Full).await, open);
    let findings = found(&database, Kind::Incremental, Check::Clearing).await;
    let finding = &findings[0];
    assert_eq!(finding.faults, [Fault::NotSettled]);
    assert_eq!(finding.key.as_str(), "clearing/stripe/acct_dev/live/ch_1/USD");
    assert_eq!(finding.event_id.as_ref().unwrap().as_str(), "evt_ch_1capture");
    assert!(finding.to_string().contains("ch_1, for 15 days"), "{finding}");

    book(&mut client, &settled("txn_1", "ch_1", 1000, 0)).await;
    // Returned, though never settled.
    book(&mut client, &announced("re_1", "refund-failed", 300, 0)).await;
    assert_eq!(open_now(&database, Check::Clearing).await, [""; 0]);
    database.close().await;
}

#[tokio::test]
async fn an_incremental_run_looks_at_what_has_come_due_since_the_last_one() {
    let (database, mut client) =
        booked(&[announced("ch_0", "capture", 100, 30), settled("txn_0", "ch_0", 100, 30)]).await;
    assert_eq!(unsettled(&database, Kind::Incremental).await, []);
    // As if the last run had been yesterday.
    let yesterday = "UPDATE countersign.audit_mark SET reached_at = reached_at - INTERVAL '1 day'";
    client.batch_execute(yesterday).await.unwrap();
    book(&mut client, &announced("ch_1", "capture", 1000, 14)).await;
    book(&mut client, &announced("ch_before", "capture", 1000, 16)).await;
    assert_eq!(unsettled(&database, Kind::Incremental).await, [("ch_1".to_owned(), 1000)]);
    let all = vec![("ch_before".to_owned(), 1000), ("ch_1".to_owned(), 1000)];
    assert_eq!(unsettled(&database, Kind::Full).await, all);
    // Both stand open, so both are looked at.
    assert_eq!(unsettled(&database, Kind::Incremental).await, all);
    database.close().await;
}

#[tokio::test]
async fn more_overdue_than_can_be_listed_is_counted_and_none_of_it_is_passed_over() {
    let (database, mut client) =
        booked(&[announced("ch_0", "capture", 100, 30), settled("txn_0", "ch_0", 100, 30)]).await;
    let objects: Vec<String> = (1..=210).map(|number| format!("ch_{number}")).collect();
    for object in &objects {
        book(&mut client, &announced(object, "capture", 100, 15)).await;
    }
    assert_eq!(unsettled(&database, Kind::Incremental).await.len(), 200);
    for object in objects.get(..205).unwrap() {
        book(&mut client, &settled(&format!("txn_{object}"), object, 100, 1)).await;
    }
    assert_eq!(unsettled(&database, Kind::Incremental).await.len(), 5);
    database.close().await;
}

#[tokio::test]
async fn what_is_settled_otherwise_than_announced_does_not_stay_red() {
    let euros = |moved: Moved<'static>| {
        let (account, minor, _) = moved.leg;
        Moved { leg: (account, minor, "EUR"), ..moved }
    };
    let (database, _) = booked(&[
        // The first line of the import, of a charge that was announced elsewhere.
        settled("txn_0", "ch_elsewhere", 100, 40),
        // Captured in part: the rest returns under an id of its own.
        announced("ch_part", "capture", 600, 20),
        settled("txn_1", "ch_part", 1000, 20),
        settled("txn_2", "re_part", -400, 20),
        // Settled in another currency.
        announced("ch_fx", "capture", 900, 20),
        euros(settled("txn_3", "ch_fx", 800, 20)),
        // Settled for less.
        announced("ch_less", "capture", 1000, 20),
        settled("txn_4", "ch_less", 900, 20),
    ])
    .await;
    assert_eq!(unsettled(&database, Kind::Full).await, [("ch_less".to_owned(), 100)]);
    database.close().await;
}

/// What the provider holds, by its own figure of so many days ago.
async fn state(client: &Client, minor: i64, days: i32) {
    let statement = "INSERT INTO countersign.provider_balance (provider, provider_account, livemode, currency, amount_minor, at, reason)
        VALUES ('stripe', 'acct_dev', TRUE, 'USD', $1, now() - make_interval(days => $2), 'a test')";
    client.execute(statement, &[&minor, &days]).await.unwrap();
}

#[tokio::test]
async fn a_balance_that_is_not_the_providers_own_figure_is_found_until_they_agree() {
    let (database, mut client) = booked(&[
        announced("ch_1", "capture", 1000, 10),
        settled("txn_1", "ch_1", 1000, 10),
        announced("ch_2", "capture", 500, 3),
        settled("txn_2", "ch_2", 500, 3),
    ])
    .await;
    let operator = database.connect(Role::Operator).await;
    state(&operator, 1000, 5).await;
    let check = Check::ProviderBalance;
    let first = found(&database, Kind::Incremental, check).await;
    assert_eq!(first, [], "only what had happened by then counts");
    state(&operator, 1700, 1).await;
    for kind in [Kind::Incremental, Kind::Incremental, Kind::Full] {
        let findings = found(&database, kind, check).await;
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(finding.faults, [Fault::BalanceDiffers]);
        assert_eq!(finding.key.as_str(), "provider-balance/stripe/acct_dev/live/USD");
        assert_eq!((finding.difference_minor, finding.amount_minor), (-200, Some(1500)));
    }
    // The line that was missing is imported.
    book(&mut client, &settled("txn_3", "ch_3", 200, 2)).await;
    assert_eq!(open_now(&database, check).await, [""; 0]);

    // Somebody takes note of a difference: of that one, not of the next.
    state(&operator, 1600, 0).await;
    let acknowledged = "UPDATE countersign.finding SET acknowledged_at = now(), acknowledged_by = 'x', acknowledge_reason = 'known'
        WHERE check_name = 'provider-balance' AND resolved_at IS NULL";
    let run = async || {
        let open = store(&database).run(Kind::Incremental).await.unwrap().standing.unwrap().open.into_iter();
        open.filter(|finding| finding.check == check.as_str()).collect::<Vec<_>>()
    };
    let first = run().await[0].id;
    client.batch_execute(acknowledged).await.unwrap();
    assert!(run().await[0].acknowledged.is_some());
    state(&operator, 1650, 0).await;
    let open = run().await;
    assert_eq!((open.len(), open[0].acknowledged.is_none(), open[0].id > first), (1, true, true), "{open:?}");
    assert_eq!(run().await[0].id, open[0].id);

    // A figure that was wrong is corrected by another for a later instant.
    state(&operator, 1, 0).await;
    assert_eq!(open_now(&database, check).await.len(), 1);
    state(&operator, 1700, 0).await;
    assert_eq!(open_now(&database, check).await, [""; 0]);
    database.close().await;
}

#[tokio::test]
async fn a_providers_figure_is_of_the_past_and_is_never_changed() {
    let (database, client) = booked(&[]).await;
    let operator = database.connect(Role::Operator).await;
    state(&operator, 5, 1).await;
    let sealed =
        client.query_one("SELECT xid, operator FROM countersign.provider_balance", &[]).await.unwrap();
    assert_eq!(sealed.get::<_, String>("operator"), "countersign_operator");
    for change in [
        "UPDATE countersign.provider_balance SET amount_minor = 6",
        "DELETE FROM countersign.provider_balance",
        "TRUNCATE countersign.provider_balance",
    ] {
        let refused = client.batch_execute(change).await.unwrap_err();
        assert_eq!(refused.as_db_error().unwrap().constraint(), Some("append_only"), "{change}");
        assert_eq!(
            operator.batch_execute(change).await.unwrap_err().code().unwrap().code(),
            "42501",
            "{change}"
        );
    }
    let to_come = "INSERT INTO countersign.provider_balance (provider, provider_account, livemode, currency, amount_minor, at, reason)
        VALUES ('stripe', 'acct_dev', TRUE, 'USD', 5, now() + INTERVAL '1 hour', 'a test')";
    let refused = operator.batch_execute(to_come).await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().constraint(), Some("provider_balance_past"));
    let processor = database.connect(Role::Processor).await;
    assert_eq!(processor.batch_execute(to_come).await.unwrap_err().code().unwrap().code(), "42501");
    database.close().await;
}
