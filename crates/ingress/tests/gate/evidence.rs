//! Contents under a used id, and bodies that are no event.

use std::time::Duration;

use ingress::{Answer, Problem, ReplayPolicy};
use ledger::Reason;
use ports::{ClaimState, Queue};
use testkit::memory::bus::BusFault;
use testkit::memory::replay::ReplayFault;
use testkit::stripe;
use wire::{Evidence, ReplayCheck};

use crate::lines::logged;
use crate::{World, in_some_worlds, in_worlds};

const REUSED: Answer = Answer::Refused(Problem::EventIdReused);
const INVALID: Answer = Answer::Refused(Problem::PayloadInvalid);
const NOT_DURABLE: Answer = Answer::Refused(Problem::NotDurable);

/// The event `evt_1` with another content.
fn another(world: &World, amount: i64) -> String {
    let now = world.handle.now().seconds();
    stripe::event("evt_1", "charge.succeeded", now, &stripe::charge("ch_1", amount))
}

fn reused(world: &World) -> String {
    world.metric("webhooks_rejected_total{source=\"stripe\",reason=\"event-id-reused\"}")
}

#[test]
fn another_content_under_a_used_id_is_told_to_the_books_and_parked_from_then_on() {
    in_worlds(ReplayPolicy::Open, async |world| {
        world.post(&world.body("evt_1")).await;
        let other = another(&world, 2000);
        assert_eq!(world.post(&other).await, REUSED);
        let message = &world.bus.messages(Queue::Ledger)[1];
        assert_eq!(message.routing_key, "refused.stripe.event-id-reused");
        assert_eq!(message.message_id, format!("{}:2", world.gate.instance()));
        let [refused] = &world.refused()[..] else { panic!("one refusal") };
        let Evidence::Event(event) = &refused.evidence else { panic!("an event") };
        assert_eq!((refused.reason, event.key.event_id.as_str()), (Reason::EventIdReused, "evt_1"));
        assert_eq!(world.replay.record(&event.key_of_content()).unwrap().state, ClaimState::Parked);
        for _ in 0..2 {
            assert!(matches!(world.post(&other).await, Answer::Parked(id) if id.as_str() == "evt_1"));
        }
        // A third content is another refusal, and the first one still a replay.
        assert_eq!(world.post(&another(&world, 3000)).await, REUSED);
        assert!(matches!(world.post(&world.body("evt_1")).await, Answer::Replayed(..)));
        assert_eq!((world.refused().len(), world.accepted().len(), reused(&world).as_str()), (2, 1, "2"));
    });
}

#[test]
fn another_content_whose_evidence_is_not_confirmed_is_a_503_and_free_for_the_next_try() {
    in_worlds(ReplayPolicy::Open, async |world| {
        world.post(&world.body("evt_1")).await;
        world.bus.inject([BusFault::Refused]);
        let other = another(&world, 2000);
        assert_eq!(world.post(&other).await, NOT_DURABLE);
        assert_eq!(world.post(&other).await, REUSED);
        assert!(matches!(world.post(&other).await, Answer::Parked(_)));
        assert_eq!((world.refused().len(), reused(&world).as_str()), (1, "1"));
    });
}

#[test]
fn another_content_is_told_to_the_books_once_also_when_the_cache_goes_away_between_two_questions() {
    in_worlds(ReplayPolicy::Open, async |world| {
        world.post(&world.body("evt_1")).await;
        let other = another(&world, 2000);
        for _ in 0..2 {
            world.replay.inject([ReplayFault::None, ReplayFault::Refused]);
            assert_eq!(world.post(&other).await, REUSED);
        }
        let [refused] = &world.refused()[..] else { panic!("one refusal") };
        assert_eq!(refused.origin.replay_check, ReplayCheck::Bypassed);
        assert_eq!(reused(&world), "1");
    });
}

#[test]
fn another_content_that_is_on_its_way_is_in_flight() {
    in_worlds(ReplayPolicy::Open, async |world| {
        world.post(&world.body("evt_1")).await;
        let other = another(&world, 2000);
        let answers = futures_util::future::join_all((0..20).map(|_| world.post(&other))).await;
        assert_eq!(answers.iter().filter(|answer| **answer == REUSED).count(), 1);
        let fine = |answer: &Answer| match answer {
            Answer::Refused(problem) => {
                matches!(problem, Problem::EventIdReused | Problem::DeliveryInFlight { .. })
            }
            Answer::Parked(_) => true,
            Answer::Accepted(_) | Answer::Replayed(..) => false,
        };
        assert!(answers.iter().all(fine), "{answers:?}");
        assert_eq!(world.refused().len(), 1);
    });
}

#[test]
fn a_body_that_is_no_event_is_told_to_the_books_by_its_digest_and_never_again() {
    in_worlds(ReplayPolicy::Open, async |world| {
        for body in ["", "{}", "not json", "{\"object\":\"event\",\"id\":\"evt_1\"}"] {
            for _ in 0..3 {
                assert_eq!(world.post(body).await, INVALID, "{body}");
            }
            let refused = world.refused().pop().unwrap();
            let Evidence::Body { sha256, length } = refused.evidence else { panic!("a body") };
            let bytes = u64::try_from(body.len()).unwrap();
            assert_eq!((sha256, length), (ledger::content_digest(body.as_bytes()), bytes));
            assert_eq!(refused.reason, Reason::PayloadInvalid);
        }
        let messages = world.bus.messages(Queue::Ledger);
        assert_eq!(messages.len(), 4);
        for message in messages {
            assert_eq!(message.routing_key, "refused.stripe.payload-invalid");
            assert_eq!(message.headers.value("event_id"), None);
        }
        assert_eq!(world.counters(), ["0"; 6]);
    });
}

#[test]
fn a_body_that_is_no_event_is_logged_once() {
    let lines = logged(|| {
        in_some_worlds(1, ReplayPolicy::Open, async |world| {
            for body in ["", "", "{}", "{}", "{}"] {
                assert_eq!(world.post(body).await, INVALID, "{body}");
            }
        });
    });
    let warned = lines.iter().filter(|line| line.contains("An authentic delivery is no event"));
    assert_eq!(warned.collect::<Vec<_>>().len(), 2, "{lines:?}");
}

#[test]
fn a_body_that_is_no_event_is_a_503_until_the_books_are_told() {
    in_worlds(ReplayPolicy::Open, async |world| {
        world.bus.inject([BusFault::Refused, BusFault::ConfirmLost]);
        assert_eq!(world.post("{}").await, NOT_DURABLE);
        assert_eq!(world.post("{}").await, NOT_DURABLE);
        assert_eq!(world.post("{}").await, INVALID);
        assert_eq!(world.post("{}").await, INVALID);
    });
}

#[test]
fn a_notice_is_published_again_when_the_provider_s_retries_are_over() {
    in_worlds(ReplayPolicy::Open, async |world| {
        world.post("{}").await;
        world.handle.sleep(Duration::from_hours(71)).await;
        world.post("{}").await;
        assert_eq!(world.published(), 1);
        world.handle.sleep(Duration::from_hours(1)).await;
        world.post("{}").await;
        assert_eq!(world.published(), 2);
    });
}

#[test]
fn a_delivery_in_flight_is_to_come_again_when_the_other_one_s_claim_ends() {
    in_worlds(ReplayPolicy::Closed, async |world| {
        world.replay.inject([ReplayFault::AnswerLost]);
        let body = world.body("evt_1");
        world.post(&body).await;
        for (waited_ms, retry_after_s) in [(0, 10), (1, 10), (8_998, 2), (1, 1), (999, 1)] {
            world.handle.sleep(Duration::from_millis(waited_ms)).await;
            let answer = world.post(&body).await;
            assert_eq!(answer, Answer::Refused(Problem::DeliveryInFlight { retry_after_s }));
        }
        world.handle.sleep(Duration::from_millis(1)).await;
        assert!(matches!(world.post(&body).await, Answer::Accepted(_)));
    });
}
