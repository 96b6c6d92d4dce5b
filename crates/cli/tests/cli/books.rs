//! What is read of the books, and the verdict on them.

use ledger::Reason;
use ledger_postgres::{PostgresBooks, Settings};
use ports::{Books as _, Record};
use runtime::TokioExecutor;
use testkit::contract::books::samples::{accounts, booking, delivery, evidence, keeping};
use testkit::servers::postgres::{Database, Role};

use crate::command::Configured;

/// The configuration for this database.
fn configured(database: &Database) -> Configured {
    configured_with(database, "")
}

/// The same, and these sections.
fn configured_with(database: &Database, more: &str) -> Configured {
    let url = |role| database.url(role);
    Configured::new(&format!(
        "[postgres]\nurl = \"{}\"\n[auditor]\nhead_file = \"head\"\nadmin_listen = \"127.0.0.1:9083\"\ndatabase_url = \"{}\"\n\
         [operator]\ndatabase_url = \"{}\"\n{more}",
        url(Role::Superuser),
        url(Role::Auditor),
        url(Role::Operator)
    ))
}

async fn record(database: &Database, batch: &[Record]) {
    let settings = Settings::new(database.url(Role::Processor));
    let books = PostgresBooks::connect(&settings, TokioExecutor::handle()).await.unwrap();
    books.ensure_accounts(&accounts()).await.unwrap();
    books.record(batch).await.unwrap();
}

/// Two captures of 10.99 and 5.00 USD, one of them delivered twice, an event that moves no money, and a message
/// that does not decode.
async fn booked() -> (Database, Configured) {
    let database = Database::create().await;
    let batch = [
        booking(delivery(1, 1), "evt_one", &[("ch_one", 1099)]),
        booking(delivery(1, 2), "evt_one", &[("ch_one", 1099)]),
        booking(delivery(1, 3), "evt_two", &[("ch_two", 500)]),
        keeping(delivery(1, 4), "evt_price", Reason::MovesNoMoney),
        evidence(delivery(1, 5), Some("evt_lost")),
    ];
    record(&database, &batch).await;
    let configured = configured(&database);
    (database, configured)
}

#[tokio::test]
async fn migrate_brings_the_schema_and_can_be_repeated() {
    let database = Database::empty().await;
    let configured = configured(&database);
    let ended = configured.run(&["migrate"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.starts_with("the schema went from version 0 to "), "{}", ended.stdout);
    let ended = configured.run(&["migrate"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.ends_with(" already\n"), "{}", ended.stdout);
    assert_eq!(configured.run(&["verify"]).code, Some(0));
    let ended = configured.run(&["balances"]);
    assert!(ended.stdout.starts_with("the books are empty\n"), "{}", ended.stdout);
    database.close().await;
}

#[tokio::test]
async fn balanced_books_verify() {
    let (database, configured) = booked().await;
    for arguments in [&["verify"][..], &["verify", "--full"]] {
        let ended = configured.run(arguments);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(ended.stdout.starts_with("Ledger balance verified\n"), "{}", ended.stdout);
        assert!(ended.stdout.contains("test USD: balanced, debits 15.99 USD"), "{}", ended.stdout);
    }
    let report = configured.run(&["verify", "--json"]).json();
    assert_eq!((&report["verdict"], &report["kind"]), (&"balanced".into(), &"incremental".into()));
    assert!(report["audit_run"].as_i64().unwrap() > 0);
    database.close().await;
}

#[tokio::test]
async fn damaged_books_are_found_with_currency_amount_and_transaction() {
    let (database, configured) = booked().await;
    database.damaged();
    let superuser = database.connect(Role::Superuser).await;
    superuser
        .batch_execute(
            "ALTER TABLE countersign.entry DISABLE TRIGGER ALL;
             UPDATE countersign.entry SET amount_minor = 1149 WHERE amount_minor = 1099",
        )
        .await
        .unwrap();
    let ended = configured.run(&["verify"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    let first = ended.stdout.lines().next().unwrap();
    assert!(first.starts_with("Ledger imbalance detected! Difference: 0.50 USD"), "{first}");
    let finding = "stripe/acct_dev/test/ch_one/capture";
    assert!(ended.stdout.contains(finding), "{}", ended.stdout);
    let report = configured.run(&["verify", "--full", "--json"]);
    assert_eq!(report.code, Some(1));
    let report = report.json();
    let found =
        report["findings"].as_array().unwrap().iter().find(|found| found["check"] == "transactions").unwrap();
    assert_eq!(found["transaction"]["movement_key"], finding);
    assert_eq!((&found["currency"], &found["difference_minor"]), (&"USD".into(), &50.into()));
    database.close().await;
}

#[tokio::test]
async fn books_that_are_away_cannot_be_checked() {
    let url = "postgres://countersign_x@127.0.0.1:1/countersign";
    let configured = Configured::new(&format!(
        "[auditor]\nhead_file = \"head\"\ndatabase_url = \"{url}\"\n[operator]\ndatabase_url = \"{url}\"\n[postgres]\nurl = \"{url}\"\n"
    ));
    for arguments in [&["verify"][..], &["balances"], &["events"], &["event", "evt_1"], &["migrate"]] {
        let ended = configured.run(arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ended.stderr.contains("cannot be reached"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn books_without_a_schema_cannot_be_checked() {
    let database = Database::empty().await;
    let configured = configured(&database);
    for arguments in [&["verify"][..], &["balances"]] {
        let ended = configured.run(arguments);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("countersign migrate"), "{}", ended.stderr);
    }
    database.close().await;
}

#[tokio::test]
async fn the_trial_balance_has_debits_credits_and_totals() {
    let (database, configured) = booked().await;
    let ended = configured.run(&["balances"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let expected = "\
stripe acct_dev, test money, USD
account                 debit  credit  balance
assets:stripe:clearing  15.99    0.00    15.99
income:sales             0.00   15.99   -15.99
total                   15.99   15.99     0.00
";
    assert_eq!(ended.stdout, format!("{expected}\nno audit has run\n"));
    assert_eq!(configured.run(&["verify", "--full"]).code, Some(0));
    let ended = configured.run(&["balances"]);
    assert!(ended.stdout.contains("\nlast audit: balanced, full run 1 at 20"), "{}", ended.stdout);
    let before = configured.run(&["balances", "--at", "2026-01-01"]);
    assert!(before.stdout.starts_with("the books are empty\n"), "{}", before.stdout);
    let unknown = configured.run(&["balances", "--known-at", "2020-01-01T00:00:00Z", "--json"]).json();
    assert_eq!(unknown["books"], serde_json::json!([]));
    let trial = configured.run(&["balances", "--json"]).json();
    assert_eq!(trial["last_audit"]["verdict"], "balanced");
    let book = &trial["books"][0];
    assert_eq!((&book["debit_minor"], &book["credit_minor"]), (&1599.into(), &1599.into()));
    assert_eq!(book["accounts"][1]["balance_minor"], -1599);
    database.close().await;
}

#[tokio::test]
async fn events_are_listed_newest_first() {
    let (database, configured) = booked().await;
    let ended = configured.run(&["events"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(ended.stdout.lines().count(), 5, "{}", ended.stdout);
    assert!(
        ended.stdout.ends_with("undecided: 1 message that became no event (--evidence)\n"),
        "{}",
        ended.stdout
    );
    let listed = configured.run(&["events", "--json", "--status", "booked", "--limit", "1"]).json();
    let events = listed["events"].as_array().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["event_id"], &events[0]["status"]), (&"evt_two".into(), &"booked".into()));
    assert_eq!((&listed["parked"], &listed["undecided_evidence"]), (&serde_json::json!([]), &1.into()));
    let ended = configured.run(&["events", "--status", "ignored"]);
    assert!(
        ended.stdout.contains("evt_price") && ended.stdout.contains("moves-no-money"),
        "{}",
        ended.stdout
    );
    database.close().await;
}

#[tokio::test]
async fn an_event_tells_its_whole_story() {
    let (database, configured) = booked().await;
    let ended = configured.run(&["event", "evt_one"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let trace = format!("{:032x}", 1);
    for told in ["charge.succeeded", "booked", "hit", &trace, "stripe/acct_dev/test/ch_one/capture", "10.99"]
    {
        assert!(ended.stdout.contains(told), "{told}: {}", ended.stdout);
    }
    let story = configured.run(&["event", "evt_one", "--json"]).json();
    let event = &story["events"][0];
    assert_eq!(event["deliveries"].as_array().unwrap().len(), 2);
    assert_eq!(event["transactions"][0]["entries"][1]["amount_minor"], -1099);
    let lost = configured.run(&["event", "evt_lost"]);
    assert_eq!(lost.code, Some(0), "{lost:?}");
    assert!(lost.stdout.starts_with("Messages of this id that belong to no event\n"), "{}", lost.stdout);
    assert!(lost.stdout.contains("undecodable"), "{}", lost.stdout);
    let unknown = configured.run(&["event", "evt_none"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(1), ""));
    assert!(unknown.stderr.contains("evt_none"), "{}", unknown.stderr);
    database.close().await;
}

#[tokio::test]
async fn evidence_is_listed_with_the_name_that_a_release_takes() {
    let (database, configured) = booked().await;
    let name = format!("{}:5", "01".repeat(16));
    let ended = configured.run(&["events", "--evidence"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for told in ["undecodable", "evt_lost", &name, "undecided: 1 in all"] {
        assert!(ended.stdout.contains(told), "{told}: {}", ended.stdout);
    }
    let listed = configured.run(&["events", "--evidence", "--json"]).json();
    assert_eq!(listed["undecided_evidence"], 1);
    let [message] = listed["evidence"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((&message["message"], &message["event_id"]), (&name.into(), &"evt_lost".into()));
    assert_eq!(configured.run(&["events", "--evidence", "--status", "parked"]).code, Some(64));
    database.close().await;
}

#[tokio::test]
async fn the_verdict_and_the_balances_name_the_head_that_they_stand_on() {
    let (database, configured) = booked().await;
    let head = |of: &serde_json::Value| (of["height"].as_i64(), of["digest"].as_str().map(str::to_owned));
    // What other tests of this server have under way holds the sealing up, for moments.
    let sealed = (0..1000).find_map(|_| {
        let verified = configured.run(&["verify", "--json"]).json();
        let (height, digest) = head(&verified["head"]);
        Some((height?, digest?))
    });
    let (height, digest) = sealed.unwrap();
    assert_eq!(digest.len(), 64);
    let trial = configured.run(&["balances", "--json"]).json();
    assert_eq!(head(&trial["last_audit"]["head"]), (Some(height), Some(digest)));
    let told = configured.run(&["verify"]).stdout;
    let line = told.lines().last().unwrap();
    assert!(line.starts_with("head: checkpoint ") && line.ends_with('…'), "{told}");
    assert_eq!(configured.run(&["balances"]).stdout.lines().last(), Some(line));
    database.close().await;
}

#[tokio::test]
async fn a_trace_is_the_life_of_an_event_from_receipt_to_seal() {
    let (database, _) = booked().await;
    let template = "https://traces.example/{trace_id}?orgId=1";
    let configured = configured_with(&database, &format!("[telemetry]\ntrace_url = \"{template}\"\n"));
    let trace_id = format!("{:032x}", 1);
    let link = template.replace("{trace_id}", &trace_id);
    let instance = "01".repeat(16);
    let ended = configured.run(&["trace", "evt_one"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let told = |text: &str| assert!(ended.stdout.contains(text), "{text}: {}", ended.stdout);
    told("event evt_one, charge.succeeded: booked\n├─ stripe acct_dev, test mode, 10.99 USD, made 2026-");
    told(&format!("Z: received as {instance}:1\n"));
    told(&format!("trace {trace_id} {link}\n"));
    told(", 5 deliveries\n");
    told(&format!("{instance}:2 "));
    told(" after its receipt: hit\n");
    told("the event is new: booked\n");
    told("transaction 1 stripe/acct_dev/test/ch_one/capture: booked for this event\n");
    told("debit  assets:stripe:clearing 10.99 USD\n");
    told("credit income:sales 10.99 USD\n");
    told("not seen by an audit yet\n");
    told("not sealed yet\n");
    assert_eq!(configured.run(&["verify", "--full"]).code, Some(0));
    // What other tests of this server have under way holds the sealing up, for moments.
    let sealed = (0..1000).find_map(|_| {
        assert_eq!(configured.run(&["verify"]).code, Some(0));
        let told = configured.run(&["trace", "evt_one"]).stdout;
        told.contains(" later: sealed at height 1, digest ").then_some(told)
    });
    let told = sealed.expect("a run seals it");
    assert!(told.contains(" later: seen by full audit run 1: balanced\n"), "{told}");
    let by_trace = configured.run(&["trace", &trace_id.to_ascii_uppercase(), "--json"]).json();
    let by_event = configured.run(&["trace", "evt_one", "--json"]).json();
    assert_eq!(by_trace, by_event);
    assert_eq!(by_event["trace_urls"][&trace_id], link);
    let [batch] = by_event["batches"].as_array().unwrap().as_slice() else { panic!("{by_event}") };
    assert_eq!((&batch["deliveries"], &batch["audit"]["run"]), (&5.into(), &1.into()));
    assert_eq!((&batch["sealed"]["height"], &batch["batch"]), (&1.into(), &by_event["events"][0]["batch"]));
    // Evidence by its own trace, with the id that it names.
    let lost = configured.run(&["trace", &format!("{:032x}", 5)]);
    assert_eq!(lost.code, Some(0), "{lost:?}");
    let title = "message of evt_lost that belongs to no event\n";
    assert!(lost.stdout.starts_with(title), "{}", lost.stdout);
    assert!(lost.stdout.contains("after its receipt: parked, undecodable"), "{}", lost.stdout);
    let event = configured.run(&["event", "evt_one"]);
    assert!(event.stdout.contains(&format!("  link      {link}\n")), "{}", event.stdout);
    assert_eq!(configured.run(&["event", "evt_one", "--json"]).json()["trace_urls"][&trace_id], link);
    let unknown = configured.run(&["trace", &"f".repeat(32)]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(1), ""));
    assert!(unknown.stderr.contains("no event and no trace ffff"), "{}", unknown.stderr);
    database.close().await;
}

#[tokio::test]
async fn a_trace_url_without_its_id_is_64() {
    let database = Database::create().await;
    for wrong in ["https://traces.example/", "traces/{trace_id}"] {
        let configured = configured_with(&database, &format!("[telemetry]\ntrace_url = \"{wrong}\"\n"));
        let ended = configured.run(&["trace", "evt_one"]);
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stderr.contains("telemetry.trace_url: "), "{}", ended.stderr);
    }
    database.close().await;
}

#[tokio::test]
async fn a_providers_own_figure_is_put_down_exactly_and_verify_compares_the_books_with_it() {
    let (database, configured) = booked().await;
    let known = "INSERT INTO countersign.source (name, provider, own_account) VALUES ('stripe', 'stripe', 'acct_dev')";
    database.connect(Role::Processor).await.batch_execute(known).await.unwrap();
    let asserted = |source: &str, amount: &str, at: &str| {
        let (amount, why) = (format!("--amount={amount}"), "the dashboard");
        let what = ["assert-balance", "--source", source, "--currency", "USD", &amount, "--at", at];
        configured.run(&[&what[..], &["--reason", why]].concat())
    };
    let ended = asserted("stripe", "0.00", "2026-01-01");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told = "stripe acct_dev held 0.00 USD (test money) at 2026-01-01T23:59:59";
    assert!(ended.stdout.starts_with(told), "{}", ended.stdout);
    assert_eq!(configured.run(&["verify"]).code, Some(0));

    assert_eq!(asserted("stripe", "12.34", "2026-01-02").code, Some(0));
    let ended = configured.run(&["verify"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("difference -12.34 USD test"), "{}", ended.stdout);
    // The last figure counts.
    assert_eq!(asserted("stripe", "0", "2026-01-02").code, Some(0));
    assert_eq!(configured.run(&["verify"]).code, Some(0));

    for (amount, at) in [("1.234", "2026-01-01"), ("1,2", "2026-01-01"), ("1", "2999-01-01")] {
        assert_eq!(asserted("stripe", amount, at).code, Some(64), "{amount} {at}");
    }
    let unknown = asserted("paypal", "1", "2026-01-01");
    assert_eq!((unknown.code, unknown.stderr.contains("no source paypal")), (Some(1), true), "{unknown:?}");
    database.close().await;
}
