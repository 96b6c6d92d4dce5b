use countersign_tests::{System, eventually, now_s};
use testkit::servers::postgres::Role;
use testkit::stripe;

fn body(n: usize) -> String {
    let charge = stripe::charge(&format!("ch_{n}"), 100);
    stripe::event(&format!("evt_{n}"), "charge.succeeded", now_s(), &charge)
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_without_redis_events_are_accepted_flagged_and_booked_once() {
    let mut system = System::new().await.with_redis_at("redis://127.0.0.1:1/0");
    let (ingress, admin) = system.start_ingress().await;
    system.start_processor().await;
    for _ in 0..2 {
        let reply = system.post(ingress, &body(1)).await;
        assert_eq!((reply.status, reply.word()), (200, "accepted"), "{reply:?}");
    }
    system.recorded(2).await;
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 1);
    assert_eq!(system.count("SELECT FROM countersign.delivery WHERE NOT replay_checked").await, 2);
    assert_eq!(system.count("SELECT FROM countersign.delivery WHERE outcome = 'hit'").await, 1);
    assert_eq!(system.metric(admin, "replay_bypassed_total{source=\"stripe\"}").await, 2);
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_without_redis_a_changed_content_under_the_same_id_is_parked() {
    let mut system = System::new().await.with_redis_at("redis://127.0.0.1:1/0");
    let (ingress, _) = system.start_ingress().await;
    system.start_processor().await;
    system.post(ingress, &body(1)).await;
    system.recorded(1).await;
    let changed = stripe::event("evt_1", "charge.succeeded", now_s(), &stripe::charge("ch_1", 999));
    system.post(ingress, &changed).await;
    system.recorded(2).await;
    assert_eq!(system.count("SELECT FROM countersign.event").await, 1);
    let parked = "SELECT FROM countersign.delivery WHERE outcome = 'parked' AND reason = 'event-id-reused'";
    assert_eq!(system.count(parked).await, 1);
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_without_rabbitmq_the_answer_is_503_and_a_retry_is_accepted() {
    let mut system = System::new().await;
    let (ingress, _) = system.start_ingress().await;
    system.vhost.refuse_connections().await;
    let mut events = 0;
    let refused = eventually("publishing fails", async || {
        // The broker lists a new connection with a delay.
        system.vhost.close_connections().await;
        events += 1;
        let reply = system.post(ingress, &body(events)).await;
        (reply.status == 503).then_some(reply)
    })
    .await;
    assert_eq!(refused.word(), "not-durable");
    assert!(refused.retry_after.is_some());
    system.vhost.allow_connections().await;
    eventually("publishing works again without a restart", async || {
        let retry = system.post(ingress, &body(events)).await;
        (retry.word() == "accepted").then_some(())
    })
    .await;
    system.start_processor().await;
    let expected = i64::try_from(events).unwrap();
    eventually("each is booked", async || {
        (system.count("SELECT FROM countersign.transaction").await == expected).then_some(())
    })
    .await;
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_an_outage_of_postgres_pauses_booking_and_loses_nothing() {
    let mut system = System::new().await;
    let (ingress, _) = system.start_ingress().await;
    system.start_processor().await;
    let owner = system.database.connect(Role::Superuser).await;
    let name = system.database.name().to_owned();
    let no_login = format!("ALTER DATABASE {name} CONNECTION LIMIT 0");
    owner.batch_execute(&no_login).await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'countersign_processor'";
    owner.batch_execute(cut).await.unwrap();
    for n in 0..20 {
        assert_eq!(system.post(ingress, &body(n)).await.word(), "accepted");
    }
    assert_eq!(system.count("SELECT FROM countersign.delivery").await, 0);
    owner.batch_execute(&format!("ALTER DATABASE {name} CONNECTION LIMIT -1")).await.unwrap();
    system.recorded(20).await;
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 20);
    assert_eq!(system.vhost.depth(ports::Queue::Dead).await, 0);
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_forged_or_copied_claim_suppresses_no_booking() {
    let mut system = System::new().await;
    let (ingress, _) = system.start_ingress().await;
    system.start_processor().await;
    assert_eq!(system.post(ingress, &body(1)).await.word(), "accepted");
    let first = system.redis.only_key();
    system.told(ingress, &body(1)).await;
    let sealed = system.redis.value(&first);
    system.post(ingress, &body(2)).await;
    system.told(ingress, &body(2)).await;
    let second = system.redis.keys().into_iter().find(|key| *key != first).unwrap();
    system.redis.forget();
    // Before the third event comes, an attacker who can write to Redis has planted what he could copy or make up.
    system.redis.forge(&second, &sealed);
    system.redis.forge(&first, b"booked");
    for n in [1, 2] {
        assert_eq!(system.post(ingress, &body(n)).await.word(), "accepted", "event {n}");
    }
    system.recorded(4).await;
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 2);
    system.close().await;
}
