use std::net::SocketAddr;

use countersign_tests::{System, eventually, now_s};
use ports::Queue;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::servers::postgres::Role;
use testkit::servers::rabbitmq::RawMessage;
use testkit::stripe;

fn body(n: usize) -> String {
    let charge = stripe::charge(&format!("ch_{n}"), 100);
    stripe::event(&format!("evt_{n}"), "charge.succeeded", now_s(), &charge)
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_what_found_no_queue_is_booked_and_what_was_delivered_too_often_is_parked() {
    let mut system = System::new().await;
    let (ingress, _) = system.start_ingress().await;
    // A message that nobody takes: delivered and given back until the broker puts it aside.
    assert_eq!(system.post(ingress, &body(1)).await.word(), "accepted");
    eventually("the message is put aside", async || {
        system.vhost.peek(Queue::Ledger, 1).await;
        (system.vhost.depth(Queue::Dead).await == 1).then_some(())
    })
    .await;
    system.vhost.unbind(Queue::Ledger).await;
    assert_eq!(system.post(ingress, &body(2)).await.word(), "accepted");
    assert!(system.vhost.depth(Queue::Unrouted).await >= 1);
    let admin = system.start_processor().await;
    system.recorded(2).await;
    assert_eq!(system.count("SELECT FROM countersign.transaction WHERE object_id = 'ch_2'").await, 1);
    let parked = "SELECT FROM countersign.delivery WHERE reason = 'dead-lettered' AND event_id = 'evt_1' \
                  AND evidence IS NOT NULL AND broker_history LIKE '%delivery_limit%'";
    assert_eq!(system.count(parked).await, 1);
    eventually("both queues are empty", async || {
        let aside = [system.vhost.depth(Queue::Dead).await, system.vhost.depth(Queue::Unrouted).await];
        (aside == [0, 0]).then_some(())
    })
    .await;
    release_dead_letter(&system, admin).await;
    system.close().await;
}

/// An operator releases the dead letter: it is booked once, however often that is requested, and not by a request alone.
async fn release_dead_letter(system: &System, admin: SocketAddr) {
    let answered = async |status: &str, times: i64| {
        let line = format!("actions_answered_total{{status=\"{status}\"}}");
        eventually("a request is answered", async || {
            (system.metric(admin, &line).await == times).then_some(())
        })
        .await;
    };
    request(system, 1).await;
    answered("unknown", 1).await;
    let operator = system.database.connect(Role::Operator).await;
    let released = operator.execute(
        "INSERT INTO countersign.operator_action (kind, delivery_row, reason)
         SELECT 'release', id, 'the bug is mended' FROM countersign.delivery WHERE reason = 'dead-lettered'",
        &[],
    );
    assert_eq!(released.await.unwrap(), 1);
    for _ in 0..2 {
        request(system, 1).await;
    }
    answered("booked", 2).await;
    assert_eq!(system.count("SELECT FROM countersign.transaction WHERE object_id = 'ch_1'").await, 1);
    assert_eq!(system.count("SELECT FROM countersign.event_status").await, 1);
}

/// Asks for an action as protobuf has it: field 4 of the message, in it field 1.
async fn request(system: &System, action: u8) {
    let message = String::from_utf8(vec![(4 << 3) | 2, 2, 1 << 3, action]).unwrap();
    let message = json!({
        "properties": {}, "routing_key": "request.release", "payload": message, "payload_encoding": "string",
    });
    let path = "exchanges/{vhost}/countersign.events/publish";
    let published = system.vhost.api(Method::POST, path, message).await;
    assert_eq!(published.get("routed"), Some(&json!(true)));
}

/// Another team's queue, bound to what is booked of a source.
async fn bind_foreign(system: &System, source: &str) {
    let queue = json!({ "durable": true, "arguments": { "x-queue-type": "quorum" } });
    system.vhost.api(Method::PUT, "queues/{vhost}/reporting", queue).await;
    let binding = json!({ "routing_key": format!("booked.{source}.#") });
    system.vhost.api(Method::POST, "bindings/{vhost}/e/countersign.booked/q/reporting", binding).await;
}

async fn take_foreign(system: &System) -> Vec<RawMessage> {
    let how = json!({ "count": 10, "ackmode": "ack_requeue_false", "encoding": "base64" });
    let messages = system.vhost.api(Method::POST, "queues/{vhost}/reporting/get", how).await;
    serde_json::from_value(messages).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_booked_is_announced_once_to_whoever_binds_to_it() {
    let mut system = System::new().await;
    let (ingress, _) = system.start_ingress().await;
    bind_foreign(&system, "stripe").await;
    let admin = system.start_processor().await;
    let body = body(1);
    assert_eq!(system.post(ingress, &body).await.word(), "accepted");
    let announced = eventually("the event is announced", async || take_foreign(&system).await.pop()).await;
    assert_eq!(announced.routing_key, "booked.stripe.charge.succeeded");
    assert_eq!(announced.property("message_id"), Some("stripe/acct_dev/test/evt_1"));
    let told: Value = serde_json::from_slice(&announced.body()).unwrap();
    assert_eq!((&told["event_id"], &told["outcome"]), (&json!("evt_1"), &json!("booked")));
    assert_eq!(told["movements"], json!(["stripe/acct_dev/test/ch_1/capture"]));
    // The trace of the delivery goes along, from the ingress through the books to whoever hears of it.
    let trace_id = told["trace_id"].as_str().unwrap();
    assert!(announced.header("traceparent").unwrap().contains(trace_id));
    let traced = format!("SELECT FROM countersign.journal WHERE trace_id = '{trace_id}'");
    assert!(system.count(&traced).await >= 2);
    system.told(ingress, &body).await;
    assert!(take_foreign(&system).await.is_empty());
    assert_eq!(system.metric(admin, "booked_unannounced_total").await, 0);
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_source_that_was_another_one_at_its_first_start_are_parked() {
    let mut system = System::new().await;
    let before = "INSERT INTO countersign.source (name, provider, own_account) VALUES ('stripe', 'stripe', 'acct_before')";
    system.database.connect(Role::Superuser).await.execute(before, &[]).await.unwrap();
    let (ingress, _) = system.start_ingress().await;
    let admin = system.start_processor().await;
    assert_eq!(system.post(ingress, &body(1)).await.word(), "accepted");
    system.recorded(1).await;
    let parked = "SELECT FROM countersign.event WHERE outcome = 'parked' AND reason = 'misconfigured'";
    assert_eq!(system.count(parked).await, 1);
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 0);
    assert_eq!(system.metric(admin, "messages_parked_total{reason=\"misconfigured\"}").await, 1);
    system.close().await;
}
