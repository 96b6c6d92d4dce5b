//! More than the system can take, for long or at once: what does not fit is refused, and what was taken is booked.

use core::ops::Range;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use countersign_tests::{Process, Reply, System, eventually, now_s};
use futures_util::stream::{self, StreamExt as _};
use ports::Queue;
use reqwest::Method;
use serde_json::json;
use testkit::stripe;

/// A percentile below this is no delay to anybody, whatever it was before.
const P99_FLOOR: Duration = Duration::from_millis(500);

/// How much longer the slowest may take than before.
const P99_GROWTH_MAX: u32 = 4;

/// One request, its answer, and how long that took.
struct Answered {
    n: i64,
    reply: Reply,
    took: Duration,
}

fn charge(n: i64) -> String {
    stripe::event(&format!("evt_{n}"), "charge.succeeded", now_s(), &stripe::charge(&format!("ch_{n}"), 100))
}

/// Tells each event once, so many at a time.
#[expect(clippy::disallowed_methods, reason = "the provider's clock")]
async fn tell(
    system: &System,
    ingress: SocketAddr,
    events: impl IntoIterator<Item = i64>,
    at_once: usize,
) -> Vec<Answered> {
    let telling = stream::iter(events).map(async |n| {
        let began = Instant::now();
        let reply = system.post(ingress, &charge(n)).await;
        Answered { n, reply, took: began.elapsed() }
    });
    telling.buffer_unordered(at_once).collect().await
}

fn p99(answered: &[Answered]) -> Duration {
    let mut took: Vec<Duration> = answered.iter().map(|each| each.took).collect();
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

fn assert_as_fast(now: &[Answered], before: &[Answered]) {
    let (now, before) = (p99(now), p99(before));
    assert!(now < P99_FLOOR.max(before * P99_GROWTH_MAX), "p99 {now:?}, before {before:?}");
}

/// The events that were refused; nothing but this refusal may stand among the answers.
fn refused(answered: &[Answered], slug: &str) -> Vec<i64> {
    let refused = answered.iter().filter(|each| each.reply.word() != "accepted").map(
        |Answered { n, reply, .. }| {
            assert_eq!((reply.status, reply.word()), (503, slug), "{reply:?}");
            let seconds: Option<u32> = reply.retry_after.as_deref().and_then(|text| text.parse().ok());
            assert!(seconds.is_some_and(|seconds| seconds > 0), "{reply:?}");
            *n
        },
    );
    refused.collect()
}

/// Each of the events is told until it is accepted, as its provider would.
async fn tell_again(system: &System, ingress: SocketAddr, events: Vec<i64>, at_once: usize) {
    stream::iter(events)
        .for_each_concurrent(at_once, async |n| {
            eventually("a retry is accepted", async || {
                (system.post(ingress, &charge(n)).await.word() == "accepted").then_some(())
            })
            .await;
        })
        .await;
}

/// Waits until the events stand in the books, and holds that each stands there once.
async fn assert_booked_once(system: &System, events: Range<i64>) {
    let count = events.end - events.start;
    system.recorded(count).await;
    for (what, expected) in [
        ("SELECT FROM countersign.delivery", count),
        ("SELECT FROM countersign.event WHERE outcome = 'booked'", count),
        ("SELECT FROM countersign.transaction", count),
        ("SELECT DISTINCT event_id FROM countersign.event", count),
    ] {
        assert_eq!(system.count(what).await, expected, "{what}");
    }
    assert_eq!(system.vhost.depth(Queue::Dead).await, 0);
}

/// Lets only so many messages wait in the work queue, as an operator does: by a policy.
async fn limit_queue(system: &System, messages: usize) {
    let policy = json!({
        "pattern": "^countersign\\.ledger$",
        "apply-to": "queues",
        "definition": { "max-length": messages },
    });
    system.vhost.api(Method::PUT, "policies/{vhost}/limit", policy).await;
    eventually("the queue has its limit", async || {
        let queue = system.vhost.api(Method::GET, "queues/{vhost}/countersign.ledger", json!(null)).await;
        (queue["policy"] == "limit").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_without_postgres_the_queue_fills_to_its_limit_then_503_and_nothing_is_lost() {
    const WAITING_MAX: usize = 200;
    const AT_ONCE: usize = 16;
    const ROUND: i64 = 100;
    let mut system = System::new().await;
    let (ingress, _) = system.start_ingress().await;
    system.start_processor().await;
    let before = tell(&system, ingress, 0..2 * ROUND, AT_ONCE).await;
    assert!(refused(&before, "not-durable").is_empty());
    system.recorded(2 * ROUND).await;
    limit_queue(&system, WAITING_MAX).await;

    system.lose_postgres().await;
    let (mut told, mut waiting, mut turned_away) = (2 * ROUND, 0, Vec::new());
    let mut during = Vec::new();
    while turned_away.len() < WAITING_MAX {
        // What the processor had in hand is out of the queue; more than 500 it never takes.
        assert!(waiting < 4 * WAITING_MAX + 500, "{waiting} were accepted and nothing was refused");
        let round = tell(&system, ingress, told..told + ROUND, AT_ONCE).await;
        let full = refused(&round, "not-durable");
        (told, waiting) = (told + ROUND, waiting + round.len() - full.len());
        turned_away.extend(full);
        during.extend(round);
    }
    assert!(waiting >= WAITING_MAX, "{waiting} were accepted");
    assert_as_fast(&during, &before);
    assert_eq!(system.count("SELECT FROM countersign.delivery").await, 2 * ROUND);

    system.regain_postgres().await;
    tell_again(&system, ingress, turned_away, AT_ONCE).await;
    assert_booked_once(&system, 0..told).await;
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_ten_times_over_capacity_is_503_in_bounded_memory_and_what_was_accepted_is_booked_once() {
    const CAPACITY: usize = 16;
    const CONFIRM: Duration = Duration::from_millis(25);
    const GROWTH_MAX_KIB: u64 = 32 << 10;
    const CALM: i64 = 160;
    const FLOOD: i64 = 1_600;
    let mut system = System::new().await.with_more_config("ingress", "in_flight_max = 16");
    let proxy = system.behind_a_proxy().await;
    let process = Process::start(&system, "ingress", &[("RUST_LOG", "info")]);
    let ingress = process.address("address").await;
    system.ready(process.address("admin").await).await;
    proxy.delay(CONFIRM);
    let before = tell(&system, ingress, 0..CALM, CAPACITY).await;
    assert!(refused(&before, "overloaded").is_empty());
    let calm_kib = process.resident_kib();

    // Who cannot sign is not told how busy we are.
    let forgeries = stream::iter(0..FLOOD / 20).for_each_concurrent(CAPACITY, async |n| {
        let signature = stripe::signature("whsec_of_somebody_else", now_s(), charge(n).as_bytes());
        let reply = system.post_raw(ingress, &[("Stripe-Signature", &signature)], charge(n)).await;
        assert_eq!((reply.status, reply.word()), (401, "signature-mismatch"), "{reply:?}");
    });
    let flood = tell(&system, ingress, CALM..CALM + FLOOD, 10 * CAPACITY);
    let ((), flood) = futures_util::future::join(forgeries, flood).await;
    let flooded_kib = process.resident_kib();
    assert!(
        flooded_kib < (2 * calm_kib).max(calm_kib + GROWTH_MAX_KIB),
        "{calm_kib} KiB, then {flooded_kib}"
    );
    let turned_away = refused(&flood, "overloaded");
    assert!(!turned_away.is_empty() && turned_away.len() < flood.len(), "{} refused", turned_away.len());

    let after = tell(&system, ingress, turned_away, CAPACITY).await;
    assert!(refused(&after, "overloaded").is_empty(), "it is normal again");
    assert_as_fast(&after, &before);
    system.start_processor().await;
    assert_booked_once(&system, 0..CALM + FLOOD).await;
    system.close().await;
}
