use countersign_tests::{System, eventually, now_s};
use futures_util::future::join_all;
use testkit::servers::postgres::Role;
use testkit::stripe;

fn charge_succeeded(event_id: &str, charge_id: &str) -> String {
    stripe::event(event_id, "charge.succeeded", now_s(), &stripe::charge(charge_id, 1000))
}

fn payment_intent_succeeded(event_id: &str, charge_id: &str) -> String {
    stripe::event(event_id, "payment_intent.succeeded", now_s(), &stripe::payment_intent(charge_id, 1000))
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_signed_charge_becomes_balanced_entries_with_its_trace() {
    let mut system = System::new().await;
    let (ingress, admin) = system.start_ingress().await;
    system.start_processor().await;
    let body = charge_succeeded("evt_1", "ch_1");
    let reply = system.post(ingress, &body).await;
    assert_eq!((reply.status, reply.word()), (200, "accepted"), "{reply:?}");
    assert_eq!(reply.body["event_id"], "evt_1");
    system.recorded(1).await;

    let client = system.database.connect(Role::Superuser).await;
    let rows = client
        .query("SELECT account, amount_minor, event_id, movement_key, trace_id, currency FROM countersign.journal ORDER BY entry_id", &[])
        .await
        .unwrap();
    let legs: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(legs, [("assets:stripe:clearing".to_owned(), 1000), ("income:sales".to_owned(), -1000)]);
    for row in &rows {
        assert_eq!(row.get::<_, String>(2), "evt_1");
        assert_eq!(row.get::<_, String>(3), "stripe/acct_dev/test/ch_1/capture");
        assert_eq!(row.get::<_, String>(4).len(), 32, "a W3C trace id");
        assert_eq!(row.get::<_, String>(5).trim(), "USD");
    }

    let replay = eventually("the result is stored", async || {
        let reply = system.post(ingress, &body).await;
        assert_eq!((reply.status, reply.word()), (200, "replayed"), "{reply:?}");
        reply.body.get("result").cloned()
    })
    .await;
    assert_eq!(replay["outcome"], "booked");
    assert_eq!(replay["movements"][0], "stripe/acct_dev/test/ch_1/capture");
    assert!(system.metric(admin, "idempotent_hits_total{operation=\"webhook\"}").await == 1);
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 1);
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_fifty_deliveries_at_once_to_two_ingresses_book_once() {
    let mut system = System::new().await;
    let (one, _) = system.start_ingress().await;
    let (two, _) = system.start_ingress().await;
    system.start_processor().await;
    let body = charge_succeeded("evt_1", "ch_1");
    let posts = (0..50).map(|n| system.post(if n % 2 == 0 { one } else { two }, &body));
    let replies = join_all(posts).await;
    let of = |word: &str| replies.iter().filter(|reply| reply.word() == word).count();
    let (accepted, others) = (of("accepted"), of("replayed") + of("delivery-in-flight"));
    assert_eq!((accepted, others), (1, 49), "{replies:?}");
    for reply in replies.iter().filter(|reply| reply.word() == "delivery-in-flight") {
        assert_eq!(reply.status, 409);
        assert!(reply.retry_after.is_some());
        let retry = system.post(two, &body).await;
        assert_eq!((retry.status, retry.word()), (200, "replayed"));
    }
    system.told(one, &body).await;
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 1);
    assert_eq!(system.count("SELECT FROM countersign.delivery").await, 1);
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_charge_and_payment_intent_of_one_charge_book_once_in_any_order() {
    let mut system = System::new().await;
    let (ingress, _) = system.start_ingress().await;
    system.start_processor().await;
    system.post(ingress, &charge_succeeded("evt_1", "ch_1")).await;
    system.recorded(1).await;
    system.post(ingress, &payment_intent_succeeded("evt_2", "ch_1")).await;
    system.recorded(2).await;
    system.post(ingress, &payment_intent_succeeded("evt_3", "ch_2")).await;
    system.recorded(3).await;
    system.post(ingress, &charge_succeeded("evt_4", "ch_2")).await;
    system.recorded(4).await;
    let (charge, intent) = (charge_succeeded("evt_5", "ch_3"), payment_intent_succeeded("evt_6", "ch_3"));
    tokio::join!(system.post(ingress, &charge), system.post(ingress, &intent));
    system.recorded(6).await;
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 3);
    assert_eq!(system.count("SELECT FROM countersign.event WHERE outcome = 'booked'").await, 6);
    assert_eq!(system.count("SELECT FROM countersign.event_transaction WHERE role = 'first'").await, 3);
    assert_eq!(system.count("SELECT FROM countersign.event_transaction WHERE role = 'describer'").await, 3);
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_booked_is_kept_with_its_reason() {
    let mut system = System::new().await;
    let (ingress, _) = system.start_ingress().await;
    system.start_processor().await;
    let novelty = serde_json::json!({ "id": "x_1", "object": "novelty", "amount": 5, "currency": "usd" });
    let uncaptured = serde_json::json!({
        "id": "ch_9", "object": "charge", "status": "succeeded", "captured": false, "amount": 5, "currency": "usd",
    });
    for (event_type, object) in [
        ("novelty.created", novelty),
        ("charge.succeeded", uncaptured),
        ("customer.created", serde_json::json!({ "id": "cus_1", "object": "customer" })),
        ("invoice.paid", serde_json::json!({ "id": "in_1", "object": "invoice" })),
        (
            "charge.captured",
            serde_json::json!({ "id": "ch_8", "object": "charge", "status": "succeeded", "captured": true, "amount_captured": -5, "currency": "usd" }),
        ),
    ] {
        let body = stripe::event(&format!("evt_{event_type}"), event_type, now_s(), &object);
        assert_eq!(system.post(ingress, &body).await.word(), "accepted");
    }
    system.recorded(5).await;
    let client = system.database.connect(Role::Operator).await;
    let rows = client
        .query("SELECT event_type, outcome, reason, payload FROM countersign.event ORDER BY event_type", &[])
        .await
        .unwrap();
    let kept: Vec<(String, String, String)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let expected = [
        ("charge.captured", "parked", "amount-unreadable"),
        ("charge.succeeded", "ignored", "nothing-moved-yet"),
        ("customer.created", "ignored", "moves-no-money"),
        ("invoice.paid", "ignored", "described-elsewhere"),
        ("novelty.created", "parked", "unknown-money"),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(kept, expected);
    assert!(rows.iter().all(|row| row.get::<_, String>(3).contains("\"type\"")), "the evidence is kept");
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 0);
    system.close().await;
}
