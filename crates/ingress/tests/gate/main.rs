//! The gate over the in-memory ports, in virtual time: every answer, every counter, every failure between two steps.
#![expect(clippy::unwrap_used, reason = "tests")]

mod age;
mod evidence;
mod lines;
mod metrics;
mod several;
mod telegram;
mod totals;
mod wire_level;

use std::sync::Arc;
use std::time::Duration;

use ingress::{
    Answer, Arrival, Caller, Gate, Metrics, Pins, Policy, Problem, ReplayPolicy, Response, Seams, Secrets,
    SourceGate, TooOld,
};
use ledger::{ProviderAccount, Source};
use ports::{Bus, ClaimState, ClaimTimes, Handle, Queue};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use provider::telegram::CheckoutVerdict;
use signature::{Freshness, Scheme, Secret};
use testkit::memory::bus::{BusFault, MemoryBus};
use testkit::memory::replay::{MemoryReplay, ReplayFault};
use testkit::simulation::Simulation;
use testkit::stripe;
use wire::{AcceptedEvent, BusMessage, RefusedDelivery, ReplayCheck};

struct World {
    handle: Handle,
    gate: Arc<Gate>,
    bus: Arc<MemoryBus>,
    replay: Arc<MemoryReplay>,
    registry: Registry,
}

/// The source `stripe`, with nothing pinned.
fn stripe_gate() -> SourceGate {
    let secrets = ["whsec_of_tomorrow", stripe::SECRET];
    let secrets = secrets.map(|secret| Secret::parse(secret.as_bytes(), Scheme::Stripe).unwrap()).into();
    SourceGate {
        source: Source::parse("stripe").unwrap(),
        provider: provider::by_name("stripe").unwrap(),
        secrets: Arc::new(Secrets::fixed(Scheme::Stripe, secrets)),
        freshness: Freshness::of(Scheme::Stripe),
        own_account: ProviderAccount::parse(stripe::ACCOUNT).unwrap(),
        pins: Pins::default(),
        event_age_max_s: 300,
        too_old: TooOld::Reject,
        checkout: CheckoutVerdict::LeaveToBot,
    }
}

impl World {
    fn new(handle: Handle, replay_policy: ReplayPolicy) -> Self {
        Self::of(handle, replay_policy, vec![stripe_gate()])
    }

    fn of(handle: Handle, replay_policy: ReplayPolicy, sources: Vec<SourceGate>) -> Self {
        let bus = Arc::new(MemoryBus::new(handle.clone()));
        Self::over(bus.clone(), bus, handle, replay_policy, sources)
    }

    /// With `published` between the gate and its bus.
    fn over(
        published: Arc<dyn Bus>,
        bus: Arc<MemoryBus>,
        handle: Handle,
        replay_policy: ReplayPolicy,
        sources: Vec<SourceGate>,
    ) -> Self {
        let mut registry = Registry::default();
        let replay = Arc::new(MemoryReplay::new(ClaimTimes::default()));
        let metrics = Metrics::register(&mut registry, handle.clone(), &sources);
        let seams = Seams { replay: replay.clone(), bus: published };
        let policy = Policy {
            replay: replay_policy,
            in_flight_max: 100,
            patience: Duration::from_secs(8),
            control_total: Duration::from_secs(10),
        };
        let gate = Gate::new(sources, seams, handle.clone(), policy, metrics);
        Self { handle, gate, bus, replay, registry }
    }

    fn body(&self, event_id: &str) -> String {
        self.aged_body(event_id, 0)
    }

    /// An event that was made so many seconds ago.
    fn aged_body(&self, event_id: &str, age_s: i64) -> String {
        let created = self.handle.now().seconds() - age_s;
        stripe::event(event_id, "charge.succeeded", created, &stripe::charge("ch_1", 1000))
    }

    async fn post(&self, body: &str) -> Answer {
        let header = stripe::signature(stripe::SECRET, self.handle.now().seconds(), body.as_bytes());
        self.post_signed(body, Some(&header)).await
    }

    async fn post_signed(&self, body: &str, header: Option<&str>) -> Answer {
        self.post_from(None, body, header).await
    }

    async fn post_from(&self, caller: Option<Caller>, body: &str, header: Option<&str>) -> Answer {
        let entry = match self.gate.enter(caller).await {
            Ok(entry) => entry,
            Err(problem) => return self.gate.refused("stripe", problem),
        };
        let header = header.map(|value| ("Stripe-Signature", value));
        let arrival = Arrival { entry, ..self.arrival("stripe", header, body).await };
        self.gate.deliver(arrival).await.answer
    }

    async fn arrival(&self, source: &str, header: Option<(&str, &str)>, body: &str) -> Arrival {
        let headers = header.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        Arrival {
            source: source.to_owned(),
            headers: headers.into_iter().collect(),
            body: body.to_owned().into(),
            received_at: self.handle.now(),
            entry: self.gate.enter(None).await.unwrap(),
        }
    }

    async fn post_to(&self, source: &str, header: (&str, &str), body: &str) -> Response {
        self.gate.deliver(self.arrival(source, Some(header), body).await).await
    }

    /// The value of one line of /metrics.
    fn metric(&self, line: &str) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let value = text.lines().find_map(|each| each.strip_prefix(line)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{line} in\n{text}")).to_owned()
    }

    /// The counters with fixed names: replay blocks, hits, invalid signatures, rejections of each kind.
    fn counters(&self) -> [String; 6] {
        let rejected = |reason: &str| {
            self.metric(&format!("webhooks_rejected_total{{source=\"stripe\",reason=\"{reason}\"}}"))
        };
        [
            self.metric("billing_webhook_replay_block_total"),
            self.metric("idempotent_hits_total{operation=\"webhook\"}"),
            self.metric("billing_webhook_invalid_sig_total"),
            rejected("signature-expired"),
            rejected("signature-from-future"),
            rejected("event-id-reused"),
        ]
    }

    fn published(&self) -> usize {
        self.bus.messages(Queue::Ledger).len()
    }

    fn messages(&self) -> impl Iterator<Item = BusMessage> {
        let messages = self.bus.messages(Queue::Ledger).into_iter();
        messages.map(|message| BusMessage::decode(message.body).unwrap())
    }

    fn accepted(&self) -> Vec<AcceptedEvent> {
        let accepted = self.messages().filter_map(|message| match message {
            BusMessage::Accepted(accepted) => Some(accepted),
            BusMessage::Refused(_) | BusMessage::Control(_) | BusMessage::Request(_) => None,
        });
        accepted.collect()
    }

    fn refused(&self) -> Vec<RefusedDelivery> {
        let refused = self.messages().filter_map(|message| match message {
            BusMessage::Refused(refused) => Some(refused),
            BusMessage::Accepted(_) | BusMessage::Control(_) | BusMessage::Request(_) => None,
        });
        refused.collect()
    }
}

/// Runs `test` in worlds of several seeds: the order in which tasks run is another in each.
fn in_worlds(policy: ReplayPolicy, test: impl AsyncFn(World)) {
    in_some_worlds(20, policy, test);
}

fn in_some_worlds(worlds: u64, policy: ReplayPolicy, test: impl AsyncFn(World)) {
    for seed in 0..worlds {
        let simulation = Simulation::new(seed);
        simulation.run(test(World::new(simulation.handle(), policy)));
    }
}

/// Runs `test` in worlds of several seeds, whose source is made so.
fn in_worlds_of(gate: impl Fn() -> SourceGate, test: impl AsyncFn(World)) {
    for seed in 0..20 {
        let simulation = Simulation::new(seed);
        simulation.run(test(World::of(simulation.handle(), ReplayPolicy::Open, vec![gate()])));
    }
}

#[test]
fn a_new_event_is_allowed() {
    in_worlds(ReplayPolicy::Open, async |world| {
        for id in ["evt_1", "evt_2"] {
            assert!(matches!(world.post(&world.body(id)).await, Answer::Accepted(of) if of.as_str() == id));
        }
        assert_eq!((world.accepted().len(), world.refused().len()), (2, 0));
    });
}

#[test]
fn a_genuine_event_is_published_once_with_everything_that_names_it() {
    in_worlds(ReplayPolicy::Open, async |world| {
        assert!(
            matches!(world.post(&world.body("evt_1")).await, Answer::Accepted(id) if id.as_str() == "evt_1")
        );
        let messages = world.bus.messages(Queue::Ledger);
        let [message] = messages.as_slice() else { panic!("one message: {messages:?}") };
        assert_eq!(message.routing_key, "accepted.stripe.charge.succeeded");
        assert_eq!(message.message_id, format!("{}:1", world.gate.instance()));
        assert_eq!(message.headers.value("event_id"), Some("evt_1"));
        assert_eq!(message.headers.value("livemode"), Some("test"));
        assert_eq!(message.headers.value("format"), Some("1"));
        let [AcceptedEvent { origin, event }] = &world.accepted()[..] else { panic!("an event") };
        assert_eq!((origin.sequence.0, origin.replay_check), (1, ReplayCheck::Claimed));
        assert_eq!(event.own_account.as_str(), stripe::ACCOUNT);
        assert_eq!(world.counters(), ["0"; 6]);
    });
}

#[test]
fn a_duplicate_event_is_answered_and_not_published_again() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = world.body("evt_1");
        world.post(&body).await;
        assert!(matches!(world.post(&body).await, Answer::Replayed(_, None)));
        assert_eq!(world.published(), 1);
        assert_eq!(world.counters(), ["1", "0", "0", "0", "0", "0"]);
    });
}

#[test]
fn a_replay_of_a_booked_event_gets_its_stored_result() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = world.body("evt_1");
        world.post(&body).await;
        book(&world).await;
        let Answer::Replayed(_, Some(result)) = world.post(&body).await else { panic!("a stored result") };
        assert_eq!(result.0, "{\"outcome\":\"booked\"}");
        assert_eq!(world.counters(), ["1", "1", "0", "0", "0", "0"]);
    });
}

#[test]
fn a_forgery_is_refused_and_leaves_nothing() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = world.body("evt_1");
        let forged =
            stripe::signature("whsec_of_somebody_else", world.handle.now().seconds(), body.as_bytes());
        assert_eq!(
            world.post_signed(&body, Some(&forged)).await,
            Answer::Refused(Problem::SignatureMismatch)
        );
        assert_eq!(world.post_signed(&body, None).await, Answer::Refused(Problem::SignatureMissing));
        assert_eq!(world.post_signed(&body, Some("t=1")).await, Answer::Refused(Problem::SignatureMalformed));
        assert_eq!(world.published(), 0);
        assert_eq!(world.counters(), ["0", "0", "3", "0", "0", "0"]);
    });
}

/// What is said to an event that was signed so many seconds from now.
async fn signed_in(world: &World, seconds: i64) -> Answer {
    let body = world.body("evt_1");
    let at = world.handle.now().seconds() + seconds;
    world.post_signed(&body, Some(&stripe::signature(stripe::SECRET, at, body.as_bytes()))).await
}

#[test]
fn a_signature_older_than_its_limit_is_rejected() {
    in_worlds(ReplayPolicy::Open, async |world| {
        for repeats in ["1", "2"] {
            assert_eq!(signed_in(&world, -601).await, Answer::Refused(Problem::SignatureExpired));
            // A rejection each time, and never an invalid signature.
            assert_eq!(world.counters(), ["0", "0", "0", repeats, "0", "0"]);
            assert_eq!(world.metric("webhooks_rejected_rate"), repeats);
        }
        assert_eq!(world.published(), 0);
        assert!(matches!(signed_in(&world, -600).await, Answer::Accepted(_)));
        world.handle.sleep(Duration::from_secs(3601)).await;
        assert_eq!(world.metric("webhooks_rejected_rate"), "0");
    });
}

#[test]
fn a_signature_from_the_future_is_rejected() {
    in_worlds(ReplayPolicy::Open, async |world| {
        assert_eq!(signed_in(&world, 301).await, Answer::Refused(Problem::SignatureFromFuture));
        assert_eq!(world.counters(), ["0", "0", "0", "0", "1", "0"]);
        assert_eq!(world.published(), 0);
        assert!(matches!(signed_in(&world, 300).await, Answer::Accepted(_)));
    });
}

#[test]
fn replay_block_invalid_signature_and_idempotent_hit_are_counted() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = world.body("evt_1");
        let forged =
            stripe::signature("whsec_of_somebody_else", world.handle.now().seconds(), body.as_bytes());
        for header in [None, Some("t=1"), Some(forged.as_str())] {
            world.post_signed(&body, header).await;
        }
        assert_eq!(world.counters(), ["0", "0", "3", "0", "0", "0"]);
        world.post(&body).await;
        world.post(&body).await;
        assert_eq!(world.counters(), ["1", "0", "3", "0", "0", "0"]);
        book(&world).await;
        world.post(&body).await;
        assert_eq!(world.counters(), ["2", "1", "3", "0", "0", "0"]);
    });
}

/// Tells the cache, as the processor does after COMMIT, that the first event is booked.
async fn book(world: &World) {
    let event = world.accepted().remove(0).event;
    let settled = ports::Settled {
        state: ClaimState::Booked,
        fingerprint: event.fingerprint,
        result: ports::StoredResult("{\"outcome\":\"booked\"}".to_owned()),
        trace: None,
        now: world.handle.now(),
        retention_ms: 72 * 3_600_000,
    };
    ports::Replay::settle(world.replay.as_ref(), &event.key, settled).await.unwrap();
}

#[test]
fn the_replay_cache_holds_an_accepted_event_for_600_seconds() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = world.body("evt_1");
        assert!(matches!(world.post(&body).await, Answer::Accepted(_)));
        world.handle.sleep(Duration::from_millis(599_999)).await;
        assert!(matches!(world.post(&body).await, Answer::Replayed(_, None)));
        world.handle.sleep(Duration::from_millis(1)).await;
        // Let through, old as it is: its provider sent it in time. The books see that it is none.
        assert!(matches!(world.post(&body).await, Answer::Accepted(_)));
        assert_eq!((world.accepted().len(), world.published()), (2, 2));
    });
}

#[test]
fn one_valid_request_sent_100_000_times_in_a_quarter_of_an_hour_is_published_twice() {
    in_some_worlds(1, ReplayPolicy::Open, async |world| {
        let body = world.body("evt_1");
        let header = stripe::signature(stripe::SECRET, world.handle.now().seconds(), body.as_bytes());
        let mut answers = std::collections::BTreeMap::new();
        for minute in 0..15 {
            for _ in 0..100_000 / 15 {
                let answer = world.post_signed(&body, Some(&header)).await;
                *answers.entry((minute >= 10, answer.word())).or_insert(0_usize) += 1;
            }
            world.handle.sleep(Duration::from_mins(1)).await;
        }
        // At 600 s the cache lets it through once more, and the books see that it is none. A second later its signature has
        // expired: that is counted, by minute.
        let late = ["accepted", "replayed", "signature-expired"].map(|word| (true, word));
        let words: Vec<_> = answers.into_keys().collect();
        assert_eq!(words, [&[(false, "accepted"), (false, "replayed")], &late[..]].concat());
        assert_eq!(world.published(), 2);
    });
}

#[test]
fn of_fifty_deliveries_at_once_one_is_published() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = world.body("evt_1");
        let answers = futures_util::future::join_all((0..50).map(|_| world.post(&body))).await;
        let accepted = answers.iter().filter(|answer| matches!(answer, Answer::Accepted(_))).count();
        let others = answers.iter().filter(|answer| {
            matches!(answer, Answer::Replayed(..) | Answer::Refused(Problem::DeliveryInFlight { .. }))
        });
        assert_eq!((accepted, others.count(), world.published()), (1, 49, 1));
        assert!(matches!(world.post(&body).await, Answer::Replayed(..)));
    });
}

#[test]
fn a_failing_cache_lets_the_event_through() {
    in_worlds(ReplayPolicy::Open, async |world| {
        world.replay.set_down(true);
        assert!(matches!(world.post(&world.body("evt_1")).await, Answer::Accepted(_)));
        assert_eq!(world.accepted()[0].origin.replay_check, ReplayCheck::Bypassed);
        assert_eq!(world.metric("replay_bypassed_total{source=\"stripe\"}"), "1");
    });
}

#[test]
fn without_the_cache_one_request_sent_over_and_over_is_published_once_and_logged_no_more() {
    let lines = lines::logged(|| {
        in_some_worlds(1, ReplayPolicy::Open, async |world| {
            let body = world.body("evt_1");
            // Confirmed while the cache still answered, and while it does not.
            assert!(matches!(world.post(&body).await, Answer::Accepted(_)));
            world.replay.set_down(true);
            let down = world.body("evt_2");
            assert!(matches!(world.post(&down).await, Answer::Accepted(_)));
            for body in [&body, &down].into_iter().cycle().take(200) {
                assert!(matches!(world.post(body).await, Answer::Replayed(_, None)));
            }
            assert_eq!(world.published(), 2);
            assert_eq!(world.counters(), ["200", "0", "0", "0", "0", "0"]);
            assert_eq!(world.metric("replay_bypassed_total{source=\"stripe\"}"), "1");
            // Another content is another event, and 600 s are all that the cache would have remembered.
            let created = world.handle.now().seconds();
            let other = stripe::event("evt_1", "charge.succeeded", created, &stripe::charge("ch_1", 999));
            assert!(matches!(world.post(&other).await, Answer::Accepted(_)));
            world.handle.sleep(Duration::from_mins(10)).await;
            assert_eq!(world.post(&body).await, Answer::Refused(Problem::EventTooOld));
        });
    });
    let said = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(
        (said("Processing Stripe webhook event"), said("without the replay check")),
        (3, 3),
        "{lines:?}"
    );
}

#[test]
fn what_was_not_confirmed_is_no_replay_without_the_cache() {
    for fault in [BusFault::Refused, BusFault::ConfirmLost] {
        in_worlds(ReplayPolicy::Open, async |world| {
            world.replay.set_down(true);
            world.bus.inject([fault]);
            let body = world.body("evt_1");
            assert_eq!(world.post(&body).await, Answer::Refused(Problem::NotDurable), "{fault:?}");
            assert!(matches!(world.post(&body).await, Answer::Accepted(_)), "{fault:?}");
            assert!(matches!(world.post(&body).await, Answer::Replayed(_, None)), "{fault:?}");
        });
    }
}

#[test]
fn without_the_cache_events_are_refused_where_that_was_chosen() {
    in_worlds(ReplayPolicy::Closed, async |world| {
        world.replay.set_down(true);
        let answer = world.post(&world.body("evt_1")).await;
        assert_eq!(answer, Answer::Refused(Problem::ReplayStateUnavailable));
        assert_eq!(world.published(), 0);
    });
}

#[test]
fn what_the_broker_does_not_confirm_is_refused_and_free_for_the_next_try() {
    for fault in [BusFault::Refused, BusFault::Unreachable, BusFault::ConfirmLost] {
        in_worlds(ReplayPolicy::Open, async |world| {
            world.bus.inject([fault]);
            let body = world.body("evt_1");
            assert_eq!(world.post(&body).await, Answer::Refused(Problem::NotDurable), "{fault:?}");
            assert!(matches!(world.post(&body).await, Answer::Accepted(_)), "{fault:?}");
        });
    }
}

#[test]
fn a_claim_whose_answer_was_lost_costs_ten_seconds_at_most() {
    in_worlds(ReplayPolicy::Closed, async |world| {
        world.replay.inject([ReplayFault::AnswerLost]);
        let body = world.body("evt_1");
        assert_eq!(world.post(&body).await, Answer::Refused(Problem::ReplayStateUnavailable));
        let in_flight = Problem::DeliveryInFlight { retry_after_s: 10 };
        assert_eq!(world.post(&body).await, Answer::Refused(in_flight));
        world.handle.sleep(Duration::from_secs(10)).await;
        assert!(matches!(world.post(&body).await, Answer::Accepted(_)));
    });
}

#[test]
fn a_client_that_hangs_up_does_not_stop_the_work() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = world.body("evt_1");
        let gone = world.handle.within(Duration::ZERO, world.post(&body)).await;
        world.handle.sleep(Duration::from_secs(1)).await;
        assert_eq!(world.published(), 1, "the client saw {gone:?}");
        assert!(matches!(world.post(&body).await, Answer::Replayed(..)));
    });
}

#[test]
fn the_age_of_events_is_measured() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let created = world.handle.now().seconds();
        let old = stripe::event("evt_1", "charge.succeeded", created - 100, &stripe::charge("ch_1", 1));
        let new = stripe::event("evt_2", "charge.succeeded", created, &stripe::charge("ch_2", 1));
        world.post(&old).await;
        world.post(&new).await;
        assert_eq!(world.metric("webhook_age_max"), "100");
        assert_eq!(world.metric("webhook_age_p95"), "100");
        assert_eq!(world.metric("webhook_age_seconds_count"), "2");
        world.handle.sleep(Duration::from_secs(301)).await;
        assert_eq!(world.metric("webhook_age_max"), "0");
    });
}

#[test]
fn every_active_secret_is_tried_and_says_when_it_last_matched() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let gauge = |index: u8| {
            let name = "webhook_secret_last_match_timestamp_seconds";
            world.metric(&format!("{name}{{source=\"stripe\",secret=\"{index}\"}}"))
        };
        let now = world.handle.now().seconds();
        let sign = |secret: &str, body: &str| stripe::signature(secret, now, body.as_bytes());
        assert_eq!((gauge(0), gauge(1)), ("0".to_owned(), "0".to_owned()));
        let body = world.body("evt_1");
        world.post_signed(&body, Some(&sign("whsec_of_somebody_else", &body))).await;
        assert_eq!((gauge(0), gauge(1)), ("0".to_owned(), "0".to_owned()));
        assert!(matches!(world.post(&body).await, Answer::Accepted(_)));
        assert_eq!((gauge(0), gauge(1)), ("0".to_owned(), now.to_string()));
        let body = world.body("evt_2");
        let answer = world.post_signed(&body, Some(&sign("whsec_of_tomorrow", &body))).await;
        assert!(matches!(answer, Answer::Accepted(_)));
        assert_eq!((gauge(0), gauge(1)), (now.to_string(), now.to_string()));
    });
}

/// The one address that a proxy nobody told us of gives everybody.
fn shared() -> Caller {
    Caller::at([203, 0, 113, 9].into())
}

#[test]
fn behind_a_thousand_forgeries_from_one_address_a_genuine_delivery_is_accepted() {
    in_some_worlds(2, ReplayPolicy::Open, async |world| {
        let (genuine, shared) = (world.body("evt_1"), Some(shared()));
        let now = world.handle.now().seconds();
        let signed = stripe::signature(stripe::SECRET, now, genuine.as_bytes());
        let forged = stripe::signature("whsec_of_somebody_else", now, genuine.as_bytes());
        let first = world.post_from(shared, &genuine, Some(&forged)).await;
        assert_eq!(first, Answer::Refused(Problem::SignatureMismatch));
        let forgeries = (0..999).map(|_| world.post_from(shared, &genuine, Some(&forged)));
        let forgeries = futures_util::future::join_all(forgeries);
        let genuine = world.post_from(shared, &genuine, Some(&signed));
        let (forgeries, genuine) = futures_util::future::join(forgeries, genuine).await;
        assert!(matches!(genuine, Answer::Accepted(_)), "{genuine:?}");
        assert!(forgeries.iter().all(|answer| *answer == Answer::Refused(Problem::SignatureMismatch)));
    });
}

#[test]
fn a_failing_address_is_told_to_come_again_while_the_places_are_taken_and_the_provider_never_is() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let (stranger, provider) = (Some(shared()), Some(Caller::at([192, 0, 2, 1].into())));
        let post = async |caller, id: &str| {
            let body = world.body(id);
            let header = stripe::signature(stripe::SECRET, world.handle.now().seconds(), body.as_bytes());
            world.post_from(caller, &body, Some(&header)).await
        };
        assert!(matches!(post(provider, "evt_1").await, Answer::Accepted(_)));
        for caller in [stranger, provider] {
            world.post_from(caller, "{}", None).await;
        }
        let mut slow = Vec::new();
        while let Ok(entry) = world.gate.enter(stranger).await {
            slow.push(entry);
            assert!(slow.len() < 1_000, "places are bounded");
        }
        assert_eq!(post(stranger, "evt_2").await, Answer::Refused(Problem::TooManyFailures));
        let counted = "webhooks_answered_total{source=\"stripe\",answer=\"too-many-failures\"}";
        assert_eq!(world.metric(counted), "1");
        assert!(matches!(post(provider, "evt_3").await, Answer::Accepted(_)));
        drop(slow);
        assert!(matches!(post(stranger, "evt_2").await, Answer::Accepted(_)));
    });
}

#[test]
fn more_than_can_be_admitted_at_a_time_is_overload_and_only_for_the_authentic() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let bodies: Vec<String> = (0..150).map(|n| world.body(&format!("evt_{n}"))).collect();
        let answers = futures_util::future::join_all(bodies.iter().map(|body| world.post(body))).await;
        let accepted = answers.iter().filter(|answer| matches!(answer, Answer::Accepted(_))).count();
        let overloaded =
            answers.iter().filter(|answer| **answer == Answer::Refused(Problem::Overloaded)).count();
        assert_eq!((accepted + overloaded, accepted), (150, world.published()));
        assert!(accepted >= 100, "100 fit: {accepted}");
        let again =
            futures_util::future::join_all(bodies.iter().take(100).map(|body| world.post(body))).await;
        assert!(again.iter().all(|answer| answer.status() == 200), "nothing is left stuck");
    });
}
