//! Old and new side by side: messages of other versions on the queue, a schema one version ahead under the services.

use std::net::SocketAddr;

use countersign_tests::{Process, System, eventually, now_s};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::servers::postgres::Role;
use testkit::stripe;

use crate::processes::countersign;

/// The bytes of a message of `proto/golden/messages.txt`, as hex, by its name there.
fn golden(name: &str) -> Vec<u8> {
    let lines = include_str!("../../proto/golden/messages.txt").lines();
    let hex =
        lines.filter_map(|line| line.split_once(' ')).find_map(|(key, hex)| (key == name).then_some(hex));
    data_encoding::HEXLOWER.decode(hex.unwrap().as_bytes()).unwrap()
}

/// Brings a message to the exchange as another version wrote it.
async fn publish(system: &System, routing_key: &str, message: &[u8]) {
    let message = json!({
        "properties": { "delivery_mode": 2 }, "routing_key": routing_key,
        "payload": data_encoding::BASE64.encode(message), "payload_encoding": "base64",
    });
    let published =
        system.vhost.api(Method::POST, "exchanges/{vhost}/countersign.events/publish", message).await;
    assert_eq!(published.get("routed"), Some(&json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_messages_of_an_older_and_of_a_newer_service_are_booked() {
    let mut system = System::new().await;
    system.start_processor().await;
    for (name, routing_key) in [
        ("accepted", "accepted.stripe.charge.succeeded"),
        ("newer-accepted", "accepted.stripe.charge.succeeded"),
        ("refused-body", "refused.stripe.payload-invalid"),
        ("newer-refused", "refused.stripe.event-too-old"),
        ("newer-control", "control.0102030405060708090a0b0c0d0e0f10"),
    ] {
        publish(&system, routing_key, &golden(name)).await;
    }
    system.recorded(4).await;
    let booked = "SELECT FROM countersign.journal WHERE (event_id, amount_minor) IN (('evt_golden', 1099), ('evt_newer', 1099))";
    assert_eq!(system.count(booked).await, 2);
    let parked =
        "SELECT FROM countersign.event WHERE event_id = 'evt_golden_late' AND reason = 'event-too-old'";
    assert_eq!(system.count(parked).await, 1);
    eventually("the control total is recorded", async || {
        (system.count("SELECT FROM countersign.control_total WHERE window_number = 2").await == 1)
            .then_some(())
    })
    .await;
    // Nothing of it was taken for something else.
    assert_eq!(system.count("SELECT FROM countersign.delivery WHERE reason = 'undecodable'").await, 0);
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_message_of_an_unknown_kind_is_kept_until_a_processor_knows_it() {
    let mut system = System::new().await;
    system.start_processor().await;
    publish(&system, "accepted.stripe.charge.succeeded", &golden("newer-kind")).await;
    system.recorded(1).await;
    let kept = system.database.connect(Role::Superuser).await;
    let kept =
        kept.query_one("SELECT instance, sequence, reason, evidence FROM countersign.delivery", &[]).await;
    let kept = kept.unwrap();
    assert_eq!((kept.get(2), kept.get(3)), ("undecodable", golden("newer-kind").as_slice()));
    // Released too early it stays, and can be released again.
    let name = format!("{}:{}", kept.get::<_, &str>(0), kept.get::<_, i64>(1));
    for times in 1..=2 {
        let (code, released) = release(&system, &name);
        assert_eq!((code, &released[0]["status"]), (Some(1), &"parked".into()), "{released}");
        assert_eq!(
            system.count("SELECT FROM countersign.operator_effect WHERE status = 'parked'").await,
            times
        );
    }
    // What a processor has put aside that did not know this kind yet, as it has put it aside.
    let processor = system.database.connect(Role::Processor).await;
    let aside = "INSERT INTO countersign.delivery (instance, sequence, outcome, reason, evidence, replay_checked, received_at)
        VALUES ('0102030405060708090a0b0c0d0e0f10', 1, 'parked', 'undecodable', $1, FALSE, now())";
    processor.execute(aside, &[&golden("accepted")]).await.unwrap();
    let (code, released) = release(&system, "0102030405060708090a0b0c0d0e0f10:1");
    assert_eq!((code, &released[0]["status"]), (Some(0), &"booked".into()), "{released}");
    assert_eq!(system.count("SELECT FROM countersign.journal WHERE event_id = 'evt_golden'").await, 2);
    system.close().await;
}

fn release(system: &System, delivery: &str) -> (Option<i32>, Value) {
    let arguments = ["release", "--delivery", delivery, "--reason", "the processors are upgraded"];
    let (code, released, _) = countersign(system, &arguments);
    (code, released)
}

/// What the next release's migration may do: it expands. A reader of `min_reader` can still work with it.
async fn expand(system: &System, min_reader: i32) {
    let superuser = system.database.connect(Role::Superuser).await;
    let row = superuser.query_one("SELECT max(version) FROM countersign.schema_version", &[]).await.unwrap();
    let next = row.get::<_, i32>(0) + 1;
    let migration = format!(
        "BEGIN;
        SET LOCAL ROLE countersign_owner;
        ALTER TABLE countersign.event ADD COLUMN added_{next} TEXT;
        ALTER TABLE countersign.delivery ADD COLUMN added_{next} BIGINT DEFAULT 7;
        ALTER TABLE countersign.transaction ADD COLUMN added_{next} TEXT;
        ALTER TABLE countersign.entry ADD COLUMN added_{next} TEXT;
        CREATE TABLE countersign.added_{next} (id BIGINT PRIMARY KEY, event_row BIGINT);
        INSERT INTO countersign.schema_version (version, min_reader) VALUES ({next}, {min_reader});
        COMMIT;"
    );
    superuser.batch_execute(&migration).await.unwrap();
}

async fn schema_version(system: &System) -> i32 {
    let superuser = system.database.connect(Role::Superuser).await;
    let row = superuser.query_one("SELECT max(version) FROM countersign.schema_version", &[]).await.unwrap();
    row.get(0)
}

/// Posts this many charges, numbered from `first`, at once.
async fn charges(system: &System, ingress: SocketAddr, first: usize, count: usize) {
    let replies = join_all((first..first + count).map(async |n| {
        let shown = stripe::charge(&format!("ch_{n}"), 100);
        let body = stripe::event(&format!("evt_{n}"), "charge.succeeded", now_s(), &shown);
        system.post(ingress, &body).await
    }));
    for reply in replies.await {
        assert_eq!(reply.word(), "accepted", "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_processors_of_before_and_after_a_migration_book_over_one_queue_at_once() {
    const WAVE: usize = 40;
    let mut system = System::new().await;
    let own_version = schema_version(&system).await;
    let (ingress, _) = system.start_ingress().await;
    let before = system.start_processor().await;
    charges(&system, ingress, 0, WAVE).await;
    // In the midst of deliveries, under statements that were prepared before it.
    tokio::join!(charges(&system, ingress, WAVE, WAVE), expand(&system, own_version));
    let after = system.start_processor().await;
    let booked = "messages_recorded_total{outcome=\"booked\",settlement=\"new\"}";
    let at_first = system.metric(before, booked).await;
    let mut posted = 2 * WAVE;
    eventually("both book", async || {
        charges(&system, ingress, posted, WAVE).await;
        posted += WAVE;
        let both = system.metric(before, booked).await > at_first && system.metric(after, booked).await > 0;
        both.then_some(())
    })
    .await;
    let posted = i64::try_from(posted).unwrap();
    system.recorded(posted).await;
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, posted);
    assert_eq!(system.count("SELECT FROM countersign.delivery WHERE outcome = 'booked'").await, posted);
    // The auditor of before finds nothing either: what was added takes nothing away.
    let (code, verdict, stderr) = countersign(&system, &["verify", "--full"]);
    assert_eq!(code, Some(0), "{verdict} {stderr}");
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_the_schema_has_left_behind_ends_and_leaves_the_queue_alone() {
    let mut system = System::new().await;
    let own_version = schema_version(&system).await;
    // Its topology is there, and a message that waits.
    let (ingress, _) = system.start_ingress().await;
    charges(&system, ingress, 0, 1).await;
    expand(&system, own_version + 1).await;
    let mut refused = Process::start(&system, "processor", &[]);
    let status = refused.ended().await;
    assert!(!status.success(), "{}", refused.log());
    assert!(refused.log().contains("wants programs of"), "{}", refused.log());
    assert_eq!(system.count("SELECT FROM countersign.delivery").await, 0);
    assert_eq!(system.vhost.depth(ports::Queue::Ledger).await, 1);
    system.close().await;
}
