//! What is counted beside the names that other people fixed.

use core::time::Duration;

use ingress::ReplayPolicy;
use prometheus_client::encoding::text::encode;
use testkit::memory::bus::BusFault;
use testkit::simulation::Simulation;
use testkit::stripe;

use crate::{World, in_worlds};

/// Every series of `/metrics`, without buckets.
fn series(world: &World) -> Vec<(String, f64)> {
    let mut text = String::new();
    encode(&mut text, &world.registry).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{"));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn everything_is_there_with_a_zero_before_anything_happens() {
    let simulation = Simulation::new(0);
    let world = World::new(simulation.handle(), ReplayPolicy::Open);
    let all = series(&world);
    for name in [
        "billing_webhook_replay_block_total",
        "idempotent_hits_total{operation=\"webhook\"}",
        "billing_webhook_invalid_sig_total",
        "webhooks_rejected_total{source=\"stripe\",reason=\"event-too-old\"}",
        "webhooks_rejected_rate",
        "webhook_age_seconds_count",
        "webhook_age_p95",
        "webhook_age_max",
        "webhooks_answered_total{source=\"other\",answer=\"unknown-source\"}",
        "webhook_events_total{source=\"stripe\",type=\"charge\",outcome=\"accepted\"}",
        "webhook_events_total{source=\"stripe\",type=\"other\",outcome=\"refused\"}",
        "webhook_last_accepted_timestamp_seconds{source=\"stripe\"}",
        "webhook_clock_skew_seconds{source=\"stripe\"}",
        "webhook_secret_last_match_timestamp_seconds{source=\"stripe\",secret=\"1\"}",
        "publish_confirm_seconds_count",
        "publish_outcomes_total{outcome=\"deadline\"}",
        "replay_bypassed_total{source=\"stripe\"}",
        "http_server_active_requests{http_request_method=\"POST\"}",
    ] {
        assert!(all.contains(&(name.to_owned(), 0.0)), "{name} in {all:#?}");
    }
    assert!(all.iter().all(|(_, value)| *value == 0.0), "{all:#?}");
}

#[test]
fn an_event_is_counted_by_the_family_of_its_type_and_what_became_of_it() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let count = |family: &str, outcome: &str| {
            world.metric(&format!(
                "webhook_events_total{{source=\"stripe\",type=\"{family}\",outcome=\"{outcome}\"}}"
            ))
        };
        let body = world.body("evt_1");
        world.post(&body).await;
        world.post(&body).await;
        world.post(&world.aged_body("evt_2", 301)).await;
        let created = world.handle.now().seconds();
        let unheard = stripe::event("evt_3", "v9.invented", created, &stripe::charge("ch_3", 1));
        world.post(&unheard).await;
        let counted = [count("charge", "accepted"), count("charge", "replayed"), count("charge", "refused")];
        assert_eq!(counted, ["1", "1", "1"]);
        assert_eq!(count("other", "accepted"), "1");
        let accepted = world.metric("webhook_last_accepted_timestamp_seconds{source=\"stripe\"}");
        assert_eq!(accepted, world.handle.now().seconds().to_string());
    });
}

#[test]
fn a_publish_is_counted_by_its_end_and_a_confirm_is_timed() {
    in_worlds(ReplayPolicy::Open, async |world| {
        world.bus.inject([BusFault::Refused, BusFault::Unreachable]);
        for id in ["evt_1", "evt_2", "evt_3"] {
            world.post(&world.body(id)).await;
        }
        for (outcome, count) in
            [("refused", "1"), ("unreachable", "1"), ("confirmed", "1"), ("deadline", "0")]
        {
            assert_eq!(
                world.metric(&format!("publish_outcomes_total{{outcome=\"{outcome}\"}}")),
                count,
                "{outcome}"
            );
        }
        assert_eq!(world.metric("publish_confirm_seconds_count"), "1");
    });
}

#[test]
fn the_skew_of_clocks_is_that_of_most_authentic_deliveries_also_of_those_refused_for_it() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let now = world.handle.now().seconds();
        let signed = |secret: &str, at: i64, body: &str| stripe::signature(secret, at, body.as_bytes());
        let skew = || world.metric("webhook_clock_skew_seconds{source=\"stripe\"}");
        for (id, at) in [("evt_1", now - 2), ("evt_2", now + 400), ("evt_3", now + 410)] {
            let body = world.body(id);
            world.post_signed(&body, Some(&signed(stripe::SECRET, at, &body))).await;
        }
        assert_eq!(skew(), "400");
        // A stranger's claims about the time count for nothing.
        for n in 0..10 {
            let body = world.body(&format!("evt_forged_{n}"));
            world.post_signed(&body, Some(&signed("whsec_of_somebody_else", now - 9000, &body))).await;
        }
        assert_eq!(skew(), "400");
    });
}

#[test]
fn one_captured_delivery_that_is_sent_over_and_over_says_nothing_of_the_clocks() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let skew = || world.metric("webhook_clock_skew_seconds{source=\"stripe\"}");
        let captured_at = world.handle.now().seconds();
        let captured = world.body("evt_1");
        let signature = stripe::signature(stripe::SECRET, captured_at, captured.as_bytes());
        world.post_signed(&captured, Some(&signature)).await;
        for _ in 0..4 {
            world.handle.sleep(Duration::from_mins(6)).await;
            for _ in 0..10 {
                world.post_signed(&captured, Some(&signature)).await;
            }
            assert_eq!(skew(), "0");
        }
        // Where a clock is wrong everything genuine is refused for it, and is new.
        for id in ["evt_2", "evt_3"] {
            let body = world.body(id);
            let signed_at = world.handle.now().seconds() - 700;
            world
                .post_signed(&body, Some(&stripe::signature(stripe::SECRET, signed_at, body.as_bytes())))
                .await;
            world.handle.sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(skew(), "-700");
    });
}
