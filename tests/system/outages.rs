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
    let ((one, admin), (other, _)) = (system.start_ingress().await, system.start_ingress().await);
    system.start_processor().await;
    // The second one knows nothing of the first; each remembers what was confirmed to it.
    for (ingress, word) in [(one, "accepted"), (other, "accepted"), (one, "replayed"), (other, "replayed")] {
        let reply = system.post(ingress, &body(1)).await;
        assert_eq!((reply.status, reply.word()), (200, word), "{reply:?}");
    }
    system.recorded(2).await;
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 1);
    assert_eq!(system.count("SELECT FROM countersign.delivery WHERE NOT replay_checked").await, 2);
    assert_eq!(system.count("SELECT FROM countersign.delivery WHERE outcome = 'hit'").await, 1);
    assert_eq!(system.metric(admin, "replay_bypassed_total{source=\"stripe\"}").await, 1);
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
    system.lose_postgres().await;
    for n in 0..20 {
        assert_eq!(system.post(ingress, &body(n)).await.word(), "accepted");
    }
    assert_eq!(system.count("SELECT FROM countersign.delivery").await, 0);
    system.regain_postgres().await;
    system.recorded(20).await;
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 20);
    assert_eq!(system.vhost.depth(ports::Queue::Dead).await, 0);
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_an_outage_of_rabbitmq_longer_than_the_age_limit_parks_nothing() {
    let mut system = System::new().await.with_more_config("sources.stripe", "event_age_max_s = 3");
    let (ingress, _) = system.start_ingress().await;
    system.start_processor().await;
    system.vhost.refuse_connections().await;
    let mut before = 1_000;
    eventually("publishing fails", async || {
        // The broker lists a new connection with a delay.
        system.vhost.close_connections().await;
        before += 1;
        (system.post(ingress, &body(before)).await.status == 503).then_some(())
    })
    .await;
    let created = now_s();
    let bodies: Vec<String> = (1..=20).map(body).collect();
    eventually("the outage outlasts the age limit, and the provider goes on trying", async || {
        for body in &bodies {
            assert_eq!(system.post(ingress, body).await.word(), "not-durable");
        }
        (now_s() > created + 4).then_some(())
    })
    .await;
    system.vhost.allow_connections().await;
    for body in &bodies {
        eventually("a retry with a fresh signature is accepted", async || {
            let reply = system.post(ingress, body).await;
            (reply.status == 200).then_some(())
        })
        .await;
    }
    eventually("all are recorded", async || {
        let recorded = "SELECT FROM countersign.event WHERE event_id NOT LIKE 'evt_1___'";
        (system.count(recorded).await == 20).then_some(())
    })
    .await;
    let ids: Vec<String> = (1..=20).map(|n| format!("'evt_{n}'")).collect();
    let booked = "SELECT FROM countersign.event WHERE outcome = 'booked' AND event_id IN";
    assert_eq!(system.count(&format!("{booked} ({})", ids.join(","))).await, 20);
    assert_eq!(system.count("SELECT FROM countersign.event WHERE outcome = 'parked'").await, 0);
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_full_disk_of_postgres_pauses_booking_and_loses_nothing() {
    let mut system = System::new().await;
    let (ingress, _) = system.start_ingress().await;
    system.start_processor().await;
    let owner = system.database.connect(Role::Superuser).await;
    // What a full disk says when a transaction is about to be committed.
    let full = "CREATE FUNCTION countersign.disk_is_full() RETURNS TRIGGER LANGUAGE plpgsql AS $$
          BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'No space left on device'; END $$;
        CREATE CONSTRAINT TRIGGER disk_is_full AFTER INSERT ON countersign.delivery
          DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION countersign.disk_is_full()";
    owner.batch_execute(full).await.unwrap();
    for n in 0..20 {
        assert_eq!(system.post(ingress, &body(n)).await.word(), "accepted");
    }
    eventually("a transaction was rolled back", async || {
        let tried = "SELECT FROM pg_stat_database WHERE datname = current_database() AND xact_rollback > 0";
        (system.count(tried).await == 1).then_some(())
    })
    .await;
    assert_eq!(system.count("SELECT FROM countersign.delivery").await, 0);
    let space = "DROP TRIGGER disk_is_full ON countersign.delivery; DROP FUNCTION countersign.disk_is_full()";
    owner.batch_execute(space).await.unwrap();
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
