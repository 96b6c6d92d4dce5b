//! Redis is stopped, hangs, is slow to greet, and comes back.

use core::time::Duration;

use ports::{Claim, Promotion, Replay, ReplayUnavailable};
use replay_redis::{RedisReplay, Settings};
use testkit::contract::replay::{ask, event, settled, take};
use testkit::fault_proxy::{FaultProxy, Flow};
use testkit::servers::redis::KeyPrefix;

use crate::fault::{eventually, nobody, scripted};
use crate::{handle, replay, settings};

const OPEN: &str = "Redis is left alone after repeated failures";

/// Gives up after 700 ms, and leaves Redis alone after two failures.
fn impatient(url: &str, settings: Settings) -> Settings {
    Settings { url: url.into(), budget: Duration::from_millis(700), failures_max: 2, ..settings }
}

async fn fails_in_time_and_is_left_alone(replay: &RedisReplay, what: &str) {
    let handle = handle();
    let key = event("evt_1");
    for _ in 0..2 {
        let since = handle.monotonic();
        let ReplayUnavailable(reason) = replay.claim(&key, ask(1, 0)).await.unwrap_err();
        let took = handle.monotonic().saturating_sub(since);
        assert!(took < Duration::from_millis(1400), "{took:?} of a budget of 700 ms");
        assert_eq!(reason, what);
    }
    assert_eq!(replay.claim(&key, ask(1, 0)).await, Err(ReplayUnavailable(OPEN.to_owned())));
    assert_eq!(replay.settle(&key, settled("booked", 0)).await, Err(ReplayUnavailable(OPEN.to_owned())));
    replay.ready().await.unwrap_err();
}

#[tokio::test]
async fn a_redis_that_is_stopped_is_unavailable_at_once() {
    let settings = impatient(&nobody().await, Settings::new("".into(), vec![7; 32].into()));
    let paused = Settings { pause: Duration::from_hours(1), ..settings };
    fails_in_time_and_is_left_alone(&replay(&paused), "Redis: I/O error").await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_unavailable_within_the_budget() {
    let handle = handle();
    let prefix = KeyPrefix::fresh();
    let (proxy, url) = FaultProxy::before_url(prefix.url()).await;
    let settings = Settings { pause: Duration::from_hours(1), ..impatient(&url, settings(&prefix)) };
    let from_the_start = replay(&settings);
    let connected = replay(&settings);
    eventually(&handle, "connected", async || connected.ready().await.is_ok()).await;
    proxy.set(Flow::Freeze);
    let late = "no answer within 700 ms";
    tokio::join!(
        fails_in_time_and_is_left_alone(&from_the_start, late),
        fails_in_time_and_is_left_alone(&connected, late),
    );
}

#[tokio::test]
async fn claims_go_on_by_themselves_when_redis_is_back() {
    let handle = handle();
    let prefix = KeyPrefix::fresh();
    let (proxy, url) = FaultProxy::before_url(prefix.url()).await;
    let key = event("evt_1");
    let held = take(&*replay(&settings(&prefix)), &key, ask(1, 0)).await;
    let settings = Settings { pause: Duration::from_millis(10), ..impatient(&url, settings(&prefix)) };
    let replay = replay(&settings);
    eventually(&handle, "connected", async || replay.ready().await.is_ok()).await;
    for outage in [Flow::Refuse, Flow::Freeze] {
        proxy.set(outage);
        let now = ask(1, 0).now;
        replay.promote(&key, held.clone(), Promotion::Accepted, now).await.unwrap_err();
        eventually(&handle, "left alone", async || {
            replay.claim(&key, ask(2, 0)).await == Err(ReplayUnavailable(OPEN.to_owned()))
        })
        .await;
        proxy.set(Flow::Pass);
        let in_flight = Claim::InFlight { retry_after_ms: 10_000 };
        eventually(&handle, "back", async || replay.claim(&key, ask(2, 0)).await == Ok(in_flight.clone()))
            .await;
    }
}

#[tokio::test]
async fn a_greeting_that_is_slower_than_the_budget_still_ends_in_a_connection() {
    let handle = handle();
    let url = scripted(&handle, Duration::from_millis(300), |_| "$-1\r\n".to_owned()).await;
    let settings = Settings {
        url: url.as_str().into(),
        budget: Duration::from_millis(100),
        failures_max: u32::MAX,
        ..Settings::new("".into(), vec![7; 32].into())
    };
    let (replay, key) = (replay(&settings), event("evt_1"));
    replay.claim(&key, ask(1, 0)).await.unwrap_err();
    eventually(&handle, "connected", async || replay.claim(&key, ask(1, 0)).await.is_ok()).await;
}
