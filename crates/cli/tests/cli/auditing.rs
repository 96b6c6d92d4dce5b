//! The auditor's runs and findings, as an operator sees and takes note of them.

use testkit::servers::postgres::{Database, Role};

use crate::command::{Configured, Ended};

/// The configuration for this database, with a file for the head of the chain.
fn configured(database: &Database) -> Configured {
    let url = |role| database.url(role);
    Configured::new(&format!(
        "[auditor]\ndatabase_url = \"{}\"\nhead_file = \"head\"\nbacklog_due_min = 30\n[operator]\ndatabase_url = \"{}\"\n\
         [postgres]\n",
        url(Role::Auditor),
        url(Role::Operator)
    ))
}

/// An event that has been parked for twenty minutes, or for longer.
async fn parked(database: &Database, minutes: u32) {
    let event = format!(
        "INSERT INTO countersign.event (source, provider, provider_account, livemode, event_id, event_type, own_account,
           occurred_at, fingerprint, fingerprint_version, payload, keep_list_version, outcome, reason, recorded_at)
         VALUES ('stripe', 'stripe', 'acct_dev', TRUE, 'evt_{minutes}', 'charge.succeeded', 'acct_dev', now(), sha256(''), 1, '{{}}',
           1, 'parked', 'event-too-old', now() - INTERVAL '{minutes} minutes')"
    );
    database.connect(Role::Superuser).await.batch_execute(&event).await.unwrap();
}

fn first_line(ended: &Ended) -> &str {
    ended.stdout.lines().next().unwrap_or_default()
}

#[tokio::test]
async fn a_finding_is_listed_until_it_is_acknowledged_and_then_verify_is_content() {
    let database = Database::create().await;
    let configured = configured(&database);
    parked(&database, 20).await;
    assert_eq!(configured.run(&["verify"]).code, Some(0), "the limit of the configuration holds");
    assert_eq!(configured.run(&["findings", "--open"]).code, Some(0));

    parked(&database, 31).await;
    let ended = configured.run(&["verify"]);
    assert_eq!((ended.code, first_line(&ended)), (Some(1), "Ledger balance verified"));
    assert!(ended.stdout.contains("1 event-too-old: parked events wait for a decision"), "{}", ended.stdout);
    let ended = configured.run(&["findings", "--open", "--json"]);
    assert_eq!(ended.code, Some(1));
    let finding = &ended.json()[0];
    assert_eq!((&finding["check"], &finding["detail"]["event_id"]), (&"backlog".into(), &"evt_31".into()));

    let id = finding["id"].to_string();
    assert_eq!(configured.run(&["acknowledge", &id]).code, Some(64));
    let ended = configured.run(&["acknowledge", &id, "--reason", "asked the customer"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("acknowledged by countersign_operator"), "{}", ended.stdout);
    assert_eq!(configured.run(&["verify"]).code, Some(0));
    assert_eq!(configured.run(&["acknowledge", "999", "--reason", "nothing"]).code, Some(1));

    let ended = configured.run(&["audits", "--json"]);
    let runs = ended.json();
    assert_eq!(runs.as_array().unwrap().len(), 3);
    assert_eq!((&runs[1]["verdict"], &runs[1]["findings"]), (&"balanced".into(), &1.into()));
    assert!(configured.run(&["audits"]).stdout.contains("incremental"));
    database.close().await;
}

#[tokio::test]
async fn a_head_that_the_chain_does_not_have_is_told_and_adopting_publishes_another() {
    let database = Database::create().await;
    let head = format!("2026-11-22T07:00:00Z 7 {}\n", "07".repeat(32));
    let configured = configured(&database).with("head", &head);
    let ended = configured.run(&["verify"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stdout.contains("the chain is shorter than the head that was published outside"),
        "{}",
        ended.stdout
    );
    let ended = configured.run(&["adopt", "--reason", "the books begin anew"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.starts_with("adopted as checkpoint 1 "), "{}", ended.stdout);
    let ended = configured.run(&["verify", "--full"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert_eq!(configured.run(&["findings", "--open"]).code, Some(0));
    let healed = configured.run(&["findings", "--json"]).json();
    assert!(healed[0]["resolved_at"].is_string());

    let ended = configured.with("head", "nonsense\n").run(&["verify"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("is no head of a chain"), "{}", ended.stderr);
    database.close().await;
}
