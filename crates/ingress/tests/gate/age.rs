//! Events that are too old, and events of a mode or an account that their source is not for.

use std::time::Duration;

use ingress::{Answer, Pins, Problem, ReplayPolicy, SourceGate, TooOld};
use ledger::{Livemode, ProviderAccount, Reason};
use ports::{ClaimState, Queue};
use testkit::memory::bus::BusFault;
use testkit::simulation::Simulation;
use wire::{Evidence, ReplayCheck};

use crate::lines::logged;
use crate::{World, book, in_some_worlds, in_worlds, in_worlds_of, stripe_gate};

const TOO_OLD: Answer = Answer::Refused(Problem::EventTooOld);
const WRONG_MODE: Answer = Answer::Refused(Problem::EventWrongMode);

fn rejected(world: &World, reason: &str) -> String {
    world.metric(&format!("webhooks_rejected_total{{source=\"stripe\",reason=\"{reason}\"}}"))
}

#[test]
fn an_event_of_6_minutes_is_rejected_one_of_1_minute_accepted() {
    in_worlds(ReplayPolicy::Open, async |world| {
        assert!(matches!(world.post(&world.aged_body("evt_1", 60)).await, Answer::Accepted(_)));
        assert_eq!(world.post(&world.aged_body("evt_6", 360)).await, TOO_OLD);
        assert_eq!((world.accepted().len(), rejected(&world, "event-too-old").as_str()), (1, "1"));
    });
}

#[test]
fn an_event_of_300_seconds_is_accepted_and_one_of_301_rejected() {
    in_worlds(ReplayPolicy::Open, async |world| {
        // Whole seconds: what is left of the last one makes nothing older.
        world.handle.sleep(Duration::from_millis(999)).await;
        assert!(matches!(world.post(&world.aged_body("evt_300", 300)).await, Answer::Accepted(_)));
        assert_eq!(world.post(&world.aged_body("evt_301", 301)).await, TOO_OLD);
    });
}

#[test]
fn the_limit_is_the_source_s_own_and_zero_is_zero() {
    let at_once = || SourceGate { event_age_max_s: 0, ..stripe_gate() };
    in_worlds_of(at_once, async |world| {
        assert!(matches!(world.post(&world.aged_body("evt_0", 0)).await, Answer::Accepted(_)));
        // A clock that is ahead makes nothing old.
        assert!(matches!(world.post(&world.aged_body("evt_ahead", -60)).await, Answer::Accepted(_)));
        assert_eq!(world.post(&world.aged_body("evt_1", 1)).await, TOO_OLD);
    });
}

#[test]
fn what_is_too_old_is_told_to_the_books_whole_and_stands_parked_from_then_on() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = world.aged_body("evt_1", 301);
        assert_eq!(world.post(&body).await, TOO_OLD);
        let [message] = &world.bus.messages(Queue::Ledger)[..] else { panic!("one message") };
        assert_eq!(message.routing_key, "refused.stripe.event-too-old");
        assert_eq!(message.message_id, format!("{}:1", world.gate.instance()));
        assert_eq!((message.kind, message.headers.value("event_id")), ("RefusedDelivery", Some("evt_1")));
        let [refused] = &world.refused()[..] else { panic!("one refusal") };
        assert_eq!(
            (refused.reason, refused.origin.replay_check),
            (Reason::EventTooOld, ReplayCheck::Claimed)
        );
        let Evidence::Event(event) = &refused.evidence else { panic!("an event") };
        assert!(!event.payload.is_empty());
        assert_eq!(world.replay.record(&event.key).unwrap().state, ClaimState::Parked);
        for _ in 0..3 {
            assert!(matches!(world.post(&body).await, Answer::Parked(id) if id.as_str() == "evt_1"));
        }
        assert_eq!((world.published(), rejected(&world, "event-too-old").as_str()), (1, "1"));
        assert_eq!(world.metric("webhooks_rejected_rate"), "1");
        assert_eq!(world.metric("webhooks_answered_total{source=\"stripe\",answer=\"event-too-old\"}"), "1");
        assert_eq!(world.metric("webhooks_answered_total{source=\"stripe\",answer=\"parked\"}"), "3");
    });
}

#[test]
fn what_is_too_old_is_parked_or_accepted_where_the_source_says_so() {
    let park = || SourceGate { too_old: TooOld::Park, ..stripe_gate() };
    in_worlds_of(park, async |world| {
        let body = world.aged_body("evt_1", 301);
        assert!(matches!(world.post(&body).await, Answer::Parked(_)));
        assert_eq!((world.refused().len(), world.accepted().len()), (1, 0));
        assert_eq!(rejected(&world, "event-too-old"), "1");
    });
    let accept = || SourceGate { too_old: TooOld::Accept, ..stripe_gate() };
    in_worlds_of(accept, async |world| {
        assert!(matches!(world.post(&world.aged_body("evt_1", 301)).await, Answer::Accepted(_)));
        assert_eq!((world.refused().len(), world.accepted().len()), (0, 1));
        assert_eq!(rejected(&world, "event-too-old"), "0");
    });
}

#[test]
fn what_was_accepted_or_booked_is_a_replay_whatever_its_age() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = world.body("evt_1");
        world.post(&body).await;
        world.handle.sleep(Duration::from_secs(400)).await;
        assert!(matches!(world.post(&body).await, Answer::Replayed(_, None)));
        book(&world).await;
        world.handle.sleep(Duration::from_hours(24)).await;
        assert!(matches!(world.post(&body).await, Answer::Replayed(_, Some(_))));
        assert_eq!(world.published(), 1);
    });
}

#[test]
fn what_was_seen_fresh_and_turned_away_is_not_too_old_later() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = world.body("evt_1");
        world.bus.set_down(true);
        assert_eq!(world.post(&body).await, Answer::Refused(Problem::NotDurable));
        world.bus.set_down(false);
        world.handle.sleep(Duration::from_hours(1)).await;
        assert!(matches!(world.post(&body).await, Answer::Accepted(_)));
        assert!(world.refused().is_empty());
    });
}

#[test]
fn what_was_turned_away_is_not_too_old_later_even_if_the_cache_has_forgotten_it() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = world.body("evt_1");
        world.bus.set_down(true);
        assert_eq!(world.post(&body).await, Answer::Refused(Problem::NotDurable));
        world.bus.set_down(false);
        world.replay.forget_everything();
        world.handle.sleep(Duration::from_hours(1)).await;
        assert!(matches!(world.post(&body).await, Answer::Accepted(_)));
        assert!(world.refused().is_empty());
    });
}

#[test]
fn what_came_in_time_and_was_turned_away_without_a_claim_is_not_too_old_later() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let bodies: Vec<String> = (0..110).map(|n| world.body(&format!("evt_{n}"))).collect();
        let answers = futures_util::future::join_all(bodies.iter().map(|body| world.post(body))).await;
        let overloaded = answers.iter().filter(|answer| **answer == Answer::Refused(Problem::Overloaded));
        assert!(overloaded.count() > 0);
        world.replay.set_down(true);
        world.bus.set_down(true);
        let body = world.body("evt_unchecked");
        assert_eq!(world.post(&body).await, Answer::Refused(Problem::NotDurable));
        world.replay.set_down(false);
        world.bus.set_down(false);
        world.handle.sleep(Duration::from_hours(1)).await;
        let turned_away = bodies.iter().zip(&answers).filter(|(_, answer)| answer.status() == 503);
        for body in turned_away.map(|(body, _)| body).chain([&body]) {
            assert!(matches!(world.post(body).await, Answer::Accepted(_)));
        }
        assert!(world.refused().is_empty());
    });
    in_worlds(ReplayPolicy::Closed, async |world| {
        let body = world.body("evt_1");
        world.replay.set_down(true);
        assert_eq!(world.post(&body).await, Answer::Refused(Problem::ReplayStateUnavailable));
        world.replay.set_down(false);
        world.handle.sleep(Duration::from_hours(1)).await;
        assert!(matches!(world.post(&body).await, Answer::Accepted(_)));
    });
}

#[test]
fn what_was_old_when_it_first_came_stays_too_old() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = world.aged_body("evt_1", 301);
        world.bus.inject([BusFault::Refused]);
        assert_eq!(world.post(&body).await, Answer::Refused(Problem::NotDurable));
        assert_eq!(world.post(&body).await, TOO_OLD);
    });
}

#[test]
fn evidence_that_is_not_confirmed_is_a_503() {
    for fault in [BusFault::Refused, BusFault::Unreachable, BusFault::CutOff, BusFault::ConfirmLost] {
        in_worlds(ReplayPolicy::Open, async |world| {
            world.bus.inject([fault]);
            let body = world.aged_body("evt_1", 301);
            assert_eq!(world.post(&body).await, Answer::Refused(Problem::NotDurable), "{fault:?}");
            assert_eq!(rejected(&world, "event-too-old"), "0");
            // Free at once for the next try.
            assert_eq!(world.post(&body).await, TOO_OLD, "{fault:?}");
            assert_eq!(rejected(&world, "event-too-old"), "1");
        });
    }
}

#[test]
fn ten_thousand_repeats_of_a_stale_event_publish_one_notice() {
    in_some_worlds(1, ReplayPolicy::Open, async |world| {
        let body = world.aged_body("evt_1", 301);
        assert_eq!(world.post(&body).await, TOO_OLD);
        // What the cache would say, this process remembers where the cache cannot.
        for (cache_down, said) in [(true, "event-too-old"), (false, "parked")] {
            world.replay.set_down(cache_down);
            for _ in 0..50 {
                let repeats = (0..100).map(|_| world.post(&body));
                let answers = futures_util::future::join_all(repeats).await;
                assert!(answers.iter().all(|answer| answer.word() == said), "{answers:?}");
            }
        }
        assert_eq!((world.published(), rejected(&world, "event-too-old").as_str()), (1, "1"));
    });
}

#[test]
fn a_stale_event_that_the_cache_has_forgotten_is_parked_there_again_and_not_told_again() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = world.aged_body("evt_1", 301);
        assert_eq!(world.post(&body).await, TOO_OLD);
        world.replay.forget_everything();
        assert_eq!(world.post(&body).await, TOO_OLD);
        assert!(matches!(world.post(&body).await, Answer::Parked(_)));
        assert_eq!((world.published(), rejected(&world, "event-too-old").as_str()), (1, "1"));
    });
}

#[test]
fn of_a_hundred_at_once_without_the_cache_one_tells_the_books() {
    in_worlds(ReplayPolicy::Open, async |world| {
        world.replay.set_down(true);
        let body = world.aged_body("evt_1", 301);
        let answers = futures_util::future::join_all((0..100).map(|_| world.post(&body))).await;
        assert!(answers.contains(&TOO_OLD));
        // Whose evidence is not known to be durable yet is to come again.
        let others = answers.iter().filter(|answer| **answer != TOO_OLD);
        assert!(others.into_iter().all(|answer| *answer == Answer::Refused(Problem::NotDurable)));
        assert_eq!(world.published(), 1);
        assert_eq!(world.refused()[0].origin.replay_check, ReplayCheck::Bypassed);
    });
}

#[test]
fn an_old_event_is_named_in_the_log_once_in_words_that_people_search_for() {
    let lines = logged(|| {
        let simulation = Simulation::new(1);
        simulation.run(async {
            let world = World::new(simulation.handle(), ReplayPolicy::Open);
            world.replay.set_down(true);
            for _ in 0..3 {
                world.post(&world.aged_body("evt_1", 301)).await;
            }
        });
    });
    let warned: Vec<_> = lines.iter().filter(|line| line.contains("possible replay attack")).collect();
    let [line] = &warned[..] else { panic!("one line: {lines:?}") };
    assert!(line.starts_with("WARN message=Rejecting old webhook event (possible replay attack) "), "{line}");
    for field in
        ["event_id=evt_1", "event_type=charge.succeeded", "event_created=1794999699", "age_seconds=301"]
    {
        assert!(line.contains(&format!(" {field}")), "{field} in {line}");
    }
}

fn of_account(body: &str, account: &str) -> String {
    body.replace("\"object\": \"event\"", &format!("\"object\": \"event\", \"account\": \"{account}\""))
}

#[test]
fn an_event_of_another_mode_than_its_source_is_pinned_to_is_refused_and_kept() {
    let pinned = || {
        let pins = Pins { livemode: Some(Livemode::Test), accounts: None };
        SourceGate { pins, ..stripe_gate() }
    };
    in_worlds_of(pinned, async |world| {
        assert!(matches!(world.post(&world.body("evt_test")).await, Answer::Accepted(_)));
        // However old it is.
        for (id, age_s) in [("evt_live", 0), ("evt_old", 301)] {
            let live = world.aged_body(id, age_s).replace("\"livemode\": false", "\"livemode\": true");
            assert_eq!(world.post(&live).await, WRONG_MODE);
            assert!(matches!(world.post(&live).await, Answer::Parked(_)));
        }
        let refused = world.refused();
        assert_eq!(refused.len(), 2);
        assert!(refused.iter().all(|refused| refused.reason == Reason::EventWrongMode));
        assert_eq!(rejected(&world, "event-wrong-mode"), "2");
        assert_eq!(world.bus.messages(Queue::Ledger)[1].routing_key, "refused.stripe.event-wrong-mode");
    });
}

#[test]
fn an_event_of_an_account_that_its_source_does_not_list_is_refused_and_kept() {
    let account = |text: &str| ProviderAccount::parse(text).unwrap();
    let pinned = || {
        let pins = Pins { livemode: None, accounts: Some(vec![account("acct_2")]) };
        SourceGate { pins, ..stripe_gate() }
    };
    in_worlds_of(pinned, async |world| {
        assert!(matches!(world.post(&world.body("evt_own")).await, Answer::Accepted(_)));
        for (id, of) in [("evt_1", "acct_2"), ("evt_2", testkit::stripe::ACCOUNT)] {
            let body = of_account(&world.body(id), of);
            assert!(matches!(world.post(&body).await, Answer::Accepted(_)), "{of}");
        }
        assert_eq!(world.post(&of_account(&world.body("evt_3"), "acct_3")).await, WRONG_MODE);
    });
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = of_account(&world.body("evt_1"), "acct_3");
        assert!(matches!(world.post(&body).await, Answer::Accepted(_)), "nothing is pinned");
    });
}
