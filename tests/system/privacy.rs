use countersign_tests::{Collector, Process, System, eventually, now_s};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::servers::postgres::Role;
use testkit::servers::rabbitmq::RawMessage;
use testkit::{stripe, telegram};

const PAN: &str = "4242424242424242";
const EMAIL: &str = "planted.person@example.com";
const CLIENT_SECRET: &str = "pi_1_secret_planted9Zq";

/// Every column of every table of the books, as text.
async fn everything_in_postgres(system: &System) -> String {
    let client = system.database.connect(Role::Superuser).await;
    let tables =
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'countersign'";
    let mut text = String::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let rows = format!(
            "SELECT COALESCE(string_agg(t::TEXT, E'\\n'), '') FROM {} AS t",
            table.get::<_, String>(0)
        );
        text.push_str(&client.query_one(&rows, &[]).await.unwrap().get::<_, String>(0));
    }
    let bytes =
        "SELECT COALESCE(string_agg(convert_from(evidence, 'LATIN1'), ' '), '') FROM countersign.delivery";
    text.push_str(&client.query_one(bytes, &[]).await.unwrap().get::<_, String>(0));
    text
}

/// A queue for what is announced as booked, as another team would have it.
const BOOKED: &str = "countersign.tests.booked";

async fn listen_to_what_is_booked(system: &System) {
    let queue = format!("queues/{{vhost}}/{BOOKED}");
    system.vhost.api(Method::PUT, &queue, json!({ "durable": true })).await;
    let binding = format!("bindings/{{vhost}}/e/countersign.booked/q/{BOOKED}");
    system.vhost.api(Method::POST, &binding, json!({ "routing_key": "#" })).await;
}

/// What was announced as booked: whole messages, once there are as many.
async fn booked(system: &System, messages: usize) -> String {
    let path = format!("queues/{{vhost}}/{BOOKED}/get");
    let how = json!({ "count": 100, "ackmode": "ack_requeue_true", "encoding": "auto" });
    eventually("what is booked is announced", async || {
        let told: Value = system.vhost.api(Method::POST, &path, how.clone()).await;
        told.as_array().is_some_and(|told| told.len() >= messages).then(|| told.to_string())
    })
    .await
}

/// Everything that was exported, once the spans of so many deliveries were.
async fn spans_of(collector: &Collector, deliveries: usize) -> String {
    eventually("every delivery's span", async || {
        let processed = collector.spans().iter().filter(|span| span.kind == "consumer").count();
        (processed >= deliveries).then(|| collector.text())
    })
    .await
}

/// A payment of Telegram's, planted wherever an update has room for it.
fn planted_update() -> String {
    let mut update: Value = serde_json::from_str(&telegram::payment(7, now_s(), 50)).unwrap();
    let message = &mut update["message"];
    message["from"]["first_name"] = json!(EMAIL);
    message["from"]["username"] = json!(PAN);
    message["text"] = json!(format!("{PAN} {CLIENT_SECRET}"));
    message["chat"]["title"] = json!(CLIENT_SECRET);
    message["successful_payment"]["invoice_payload"] = json!(format!("{PAN} {EMAIL}"));
    message["successful_payment"]["order_info"] = json!({ "name": PAN, "email": EMAIL, "phone_number": PAN });
    update.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_nothing_planted_leaves_the_memory_of_the_ingress() {
    let (system, collector) = (System::new().await.with_telegram(), Collector::start());
    let ingress_process = Process::start(&system, "ingress", &collector.variables());
    let (ingress, admin) = (ingress_process.address("address").await, ingress_process.address("admin").await);
    system.ready(admin).await;

    let mut charge = stripe::charge("ch_1", 1000);
    charge["description"] = json!(format!("{PAN} {EMAIL}"));
    charge["failure_code"] = json!(PAN);
    charge["client_secret"] = json!(CLIENT_SECRET);
    charge["metadata"] = json!({ PAN: EMAIL, "card": PAN });
    charge["payment_intent"] =
        json!({ "id": "pi_1", "client_secret": CLIENT_SECRET, "receipt_email": EMAIL });
    let planted = stripe::event("evt_1", "charge.succeeded", now_s(), &charge);
    // What is refused with evidence goes the same way: too old, and another content under a used id.
    let stale = stripe::event("evt_2", "charge.succeeded", now_s() - 3_600, &charge);
    charge["amount"] = json!(2000);
    let reused = stripe::event("evt_1", "charge.succeeded", now_s(), &charge);
    let not_ours = json!({ "id": PAN, "object": "event", "type": EMAIL, "data": CLIENT_SECRET }).to_string();

    let mut answers = String::new();
    let mut signatures = Vec::new();
    for (body, secret) in [
        (&planted, stripe::SECRET),
        (&stale, stripe::SECRET),
        (&reused, stripe::SECRET),
        (&planted, "whsec_of_somebody_else"),
        (&not_ours, stripe::SECRET),
        (&not_ours, "whsec_of_somebody_else"),
    ] {
        let signature = stripe::signature(secret, now_s(), body.as_bytes());
        let headers =
            [("Stripe-Signature", signature.as_str()), ("X-Planted", PAN), ("Cookie", CLIENT_SECRET)];
        answers.push_str(&system.post_raw(ingress, &headers, body.clone()).await.text);
        signatures.push(signature.split("v1=").nth(1).unwrap().to_owned());
    }
    let token = [(telegram::HEADER, telegram::TOKEN), ("X-Planted", PAN), ("traceparent", CLIENT_SECRET)];
    let update = system.post_to((ingress, "telegram"), &token, planted_update()).await;
    assert_eq!(update.word(), "accepted");
    answers.push_str(&update.text);
    listen_to_what_is_booked(&system).await;
    let on_the_bus = eventually("the event is on the bus", async || {
        let messages = system.vhost.peek(ports::Queue::Ledger, 100).await;
        // The events of both sources, two refused ones, and the body that is none.
        (messages.len() >= 5).then_some(messages)
    })
    .await;
    let shown = |message: &RawMessage| format!("{message:?} {}", String::from_utf8_lossy(&message.body()));
    let bus: String = on_the_bus.iter().map(shown).collect();
    let processor_process = Process::start(&system, "processor", &collector.variables());
    system.recorded(5).await;
    system.told(ingress, &planted).await;
    let books = everything_in_postgres(&system).await;
    let dump = system.redis.dump();
    let cache: String = dump
        .iter()
        .flat_map(|(key, value)| [String::from_utf8_lossy(key), String::from_utf8_lossy(value)])
        .collect();
    let booked = booked(&system, 2).await;
    let mut metrics = String::new();
    for admin in [admin, processor_process.address("admin").await] {
        metrics += &reqwest::get(format!("http://{admin}/metrics")).await.unwrap().text().await.unwrap();
    }
    let spans = spans_of(&collector, 5).await;

    for kept in ["evt_1", "evt_2", "event-too-old", "event-id-reused", "payload-invalid"] {
        assert!(books.contains(kept) && bus.contains(kept), "{kept} itself is there");
    }
    let places = [
        ("RabbitMQ", &bus),
        ("Redis", &cache),
        ("Postgres", &books),
        ("the ingress' log", &ingress_process.log()),
        ("the processor's log", &processor_process.log()),
        ("an answer", &answers),
        ("the metrics", &metrics),
        ("the spans", &spans),
        ("what is announced as booked", &booked),
    ];
    let mut secrets = vec![
        PAN,
        EMAIL,
        CLIENT_SECRET,
        stripe::SECRET,
        telegram::TOKEN,
        "a replay secret that only tests know",
        "Jenny",
    ];
    secrets.extend(signatures.iter().map(String::as_str));
    for (place, text) in places {
        for secret in &secrets {
            assert!(!text.contains(secret), "{secret} is in {place}");
        }
    }
    for shown in ["evt_1", "ch_1", "acct_dev", "booked", "1000"] {
        assert!(!cache.contains(shown), "{shown} is in Redis");
    }
    assert!(
        ingress_process.log().contains("\"Processing Stripe webhook event\""),
        "the fixed line of the log"
    );
    drop((ingress_process, processor_process));
    system.close().await;
    collector.stop().await;
}
