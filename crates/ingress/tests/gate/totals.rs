//! Control totals: they list exactly what was confirmed, whatever befell the bus.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{join, join_all, select};
use ingress::{Answer, Problem, ReplayPolicy};
use ports::{BoxFuture, Bus, BusUnavailable, Handle, NotConfirmed, Outgoing, Queue, Subscription};
use testkit::memory::bus::{BusFault, MemoryBus};
use testkit::memory::replay::ReplayFault;
use testkit::simulation::Simulation;
use testkit::stripe;
use wire::{BusMessage, ControlTotal, Evidence, Listed};

use crate::{World, in_worlds, stripe_gate};

/// A bus that remembers what it has confirmed: the other side's word for it.
struct Witness {
    bus: Arc<MemoryBus>,
    confirmed: Mutex<Vec<Outgoing>>,
}

impl Bus for Witness {
    fn publish(&self, message: Outgoing) -> BoxFuture<'_, Result<(), NotConfirmed>> {
        Box::pin(async move {
            let published = self.bus.publish(message.clone()).await;
            if published.is_ok() {
                self.confirmed.lock().unwrap().push(message);
            }
            published
        })
    }

    fn subscribe(
        &self,
        queue: Queue,
        prefetch: u16,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, BusUnavailable>> {
        self.bus.subscribe(queue, prefetch)
    }

    fn ready(&self) -> bool {
        self.bus.ready()
    }
}

fn witnessed(handle: Handle) -> (World, Arc<Witness>) {
    let bus = Arc::new(MemoryBus::new(handle.clone()));
    let witness = Arc::new(Witness { bus: bus.clone(), confirmed: Mutex::default() });
    (World::over(witness.clone(), bus, handle, ReplayPolicy::Open, vec![stripe_gate()]), witness)
}

/// What is listed for a message; `None` of a control total.
fn as_listed(message: &Outgoing) -> Option<Listed> {
    let (origin, source, event_id) = match BusMessage::decode(message.body.clone()).unwrap() {
        BusMessage::Accepted(accepted) => {
            let key = accepted.event.key;
            (accepted.origin, key.source, key.event_id)
        }
        BusMessage::Refused(refused) => {
            let event_id = match refused.evidence {
                Evidence::Event(event) => event.key.event_id,
                Evidence::Body { sha256, .. } => {
                    let hex = data_encoding::HEXLOWER.encode(&sha256);
                    ledger::EventId::parse(&hex).unwrap()
                }
            };
            (refused.origin, refused.source, event_id)
        }
        BusMessage::Control(_) | BusMessage::Request(_) => return None,
    };
    Some(Listed { sequence: origin.sequence, source, event_id })
}

/// The totals that arrived, by window; one that arrived twice is the same to the letter.
fn totals(world: &World) -> Vec<ControlTotal> {
    let mut by_window: BTreeMap<u64, (Outgoing, ControlTotal)> = BTreeMap::new();
    for message in world.bus.messages(Queue::Ledger) {
        if let BusMessage::Control(total) = BusMessage::decode(message.body.clone()).unwrap() {
            assert_eq!(message.routing_key, format!("control.{}", world.gate.instance()));
            assert_eq!(message.message_id, format!("{}:window:{}", world.gate.instance(), total.window));
            assert_eq!(message.headers.value("instance"), Some(world.gate.instance().to_string().as_str()));
            let (first, _) = by_window.entry(total.window).or_insert((message.clone(), total));
            assert_eq!(*first, message);
        }
    }
    by_window.into_values().map(|(_, total)| total).collect()
}

#[expect(clippy::indexing_slicing, reason = "within")]
fn any<T: Copy>(handle: &Handle, of: &[T]) -> T {
    of[usize::from(handle.random::<1>()[0]) % of.len()]
}

/// Half a minute of deliveries of every kind over a bus and a cache that fail now and then.
async fn deliveries(world: &World) -> Vec<Answer> {
    let (handle, mut answers) = (&world.handle, Vec::new());
    for round in 0..12 {
        let faults = [
            BusFault::None,
            BusFault::None,
            BusFault::None,
            BusFault::Refused,
            BusFault::Unreachable,
            BusFault::CutOff,
            BusFault::ConfirmLost,
        ];
        world.bus.inject((0..4).map(|_| any(handle, &faults)));
        let cache = [ReplayFault::None, ReplayFault::None, ReplayFault::Refused, ReplayFault::AnswerLost];
        world.replay.inject((0..3).map(|_| any(handle, &cache)));
        let bodies: Vec<String> = (0..5)
            .map(|_| {
                let id = format!("evt_{}", any(handle, &[round, round, 1, 2]));
                let created = handle.now().seconds() - any(handle, &[0, 0, 0, 400]);
                let charge = stripe::charge("ch_1", any(handle, &[1000, 1000, 1000, 2000]));
                let event = stripe::event(&id, "charge.succeeded", created, &charge);
                any(handle, &[Some(()), Some(()), Some(()), None])
                    .map_or_else(|| format!("no event {round}"), |()| event)
            })
            .collect();
        answers.extend(join_all(bodies.iter().map(|body| world.post(body))).await);
        answers.push(world.post_signed("{}", None).await);
        handle.sleep(Duration::from_secs(any(handle, &[0, 1, 5, 15]))).await;
    }
    answers
}

#[test]
fn control_totals_list_exactly_what_was_confirmed_whatever_befalls_the_bus() {
    for seed in 0..100 {
        let simulation = Simulation::new(seed);
        simulation.run(async {
            let (world, witness) = witnessed(simulation.handle());
            let totals_ = world.gate.totals();
            let answers = {
                // The stop may come while a total is on its way.
                let done = async {
                    let answers = deliveries(&world).await;
                    world.gate.drained().await;
                    answers
                };
                match select(pin!(done), pin!(totals_.tell())).await {
                    futures_util::future::Either::Left((answers, _)) => answers,
                    futures_util::future::Either::Right((never, _)) => match never {},
                }
            };
            totals_.finish().await;

            let told = totals(&world);
            assert!(
                told.iter().map(|total| total.window).eq(1..=u64::try_from(told.len()).unwrap()),
                "seed {seed}"
            );
            let (mut listed, mut previous) = (Vec::new(), Vec::new());
            for (n, total) in told.iter().enumerate() {
                assert_eq!(total.previous, previous, "seed {seed}");
                previous.clone_from(&total.listed);
                listed.extend(total.listed.iter().cloned());
                assert_eq!(total.confirmed, u64::try_from(listed.len()).unwrap(), "seed {seed}");
                assert_eq!(total.last, n + 1 == told.len(), "seed {seed}");
            }
            let by_sequence = |listed: &mut Vec<Listed>| listed.sort_by_key(|listed| listed.sequence);
            let mut confirmed: Vec<Listed> =
                witness.confirmed.lock().unwrap().iter().filter_map(as_listed).collect();
            by_sequence(&mut confirmed);
            by_sequence(&mut listed);
            assert_eq!(listed, confirmed, "seed {seed}");

            let accepted = answers.iter().filter(|answer| matches!(answer, Answer::Accepted(_))).count();
            assert!(accepted <= confirmed.len(), "seed {seed}");
            for problem in [Problem::SignatureMissing, Problem::NotDurable] {
                let answered = answers.iter().filter(|answer| **answer == Answer::Refused(problem)).count();
                let counted = told.iter().flat_map(|total| &total.refusals);
                let counted = counted.filter(|refusals| refusals.reason.as_str() == problem.slug());
                let counted: u64 = counted.map(|refusals| refusals.count).sum();
                assert_eq!(counted, u64::try_from(answered).unwrap(), "seed {seed}: {}", problem.slug());
            }
        });
    }
}

#[test]
fn a_window_ends_after_ten_seconds_and_after_a_minute_if_there_is_nothing_to_tell() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let scenario = async {
            let after = async |ms: u64, windows: usize| {
                world.handle.sleep(Duration::from_millis(ms)).await;
                assert_eq!(totals(&world).len(), windows);
            };
            world.post(&world.body("evt_1")).await;
            after(9_999, 0).await;
            after(2, 1).await;
            after(59_998, 1).await;
            after(10, 2).await;
            world.post(&world.body("evt_2")).await;
            after(10_010, 3).await;
        };
        world
            .handle
            .within(Duration::from_mins(10), select(pin!(scenario), pin!(world.gate.totals().tell())))
            .await;
        let told = totals(&world);
        let listed: Vec<usize> = told.iter().map(|total| total.listed.len()).collect();
        assert_eq!(listed, [1, 0, 1]);
        assert!(told.iter().all(|total| !total.last));
        world.gate.totals().finish().await;
        assert!(totals(&world)[3].last);
    });
}

#[test]
fn refusals_of_known_sources_are_told_as_numbers_when_their_minute_is_over() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let body = world.aged_body("evt_1", 301);
        world.replay.set_down(true);
        let scenario = async {
            for _ in 0..3 {
                world.post_signed(&body, None).await;
                world.post(&body).await;
                world.post("{}").await;
                world.gate.refused("nobody", Problem::UnknownSource);
                world.gate.refused("stripe", Problem::MethodNotAllowed);
            }
            world.handle.sleep(Duration::from_secs(90)).await;
        };
        join(scenario, world.handle.within(Duration::from_secs(90), world.gate.totals().tell())).await;
        let told = totals(&world);
        assert!(told[0].refusals.is_empty(), "the minute is not over");
        let told: Vec<_> = told.iter().flat_map(|total| &total.refusals).collect();
        let counts: Vec<_> = told.iter().map(|refusals| (refusals.reason.as_str(), refusals.count)).collect();
        // Of what the books were told singly, only the repeats.
        let expected = [
            ("event-too-old", 2),
            ("method-not-allowed", 3),
            ("payload-invalid", 2),
            ("signature-missing", 3),
        ];
        assert_eq!(counts, expected);
        let minute = told[0].minute;
        assert_eq!(minute.0 % 60_000, 0);
        assert!(
            told.iter().all(|refusals| refusals.minute == minute && refusals.source.as_str() == "stripe")
        );
    });
}

#[test]
fn a_total_waits_for_its_confirm_and_comes_again_to_the_letter() {
    in_worlds(ReplayPolicy::Open, async |world| {
        let scenario = async {
            world.post(&world.body("evt_1")).await;
            world.handle.sleep(Duration::from_secs(9)).await;
            world.bus.inject([BusFault::ConfirmLost, BusFault::CutOff, BusFault::Refused]);
            world.handle.sleep(Duration::from_secs(2)).await;
            // Another total must not overtake the one that waits.
            while world.post(&world.body("evt_2")).await.status() != 200 {}
            world.handle.sleep(Duration::from_secs(30)).await;
        };
        join(scenario, world.handle.within(Duration::from_mins(1), world.gate.totals().tell())).await;
        let sent = world.bus.messages(Queue::Ledger).into_iter().filter(|sent| sent.kind == "ControlTotal");
        let sent: Vec<Outgoing> = sent.collect();
        let of_first = sent.iter().filter(|total| total.message_id.ends_with(":window:1")).count();
        assert!(of_first >= 2, "{of_first}");
        let told = totals(&world);
        assert_eq!((told[0].listed.len(), told[1].listed.len(), told[1].previous.len()), (1, 1, 1));
    });
}

#[test]
fn a_total_that_was_on_its_way_when_the_stop_came_is_sent_before_the_last_one() {
    in_worlds(ReplayPolicy::Open, async |world| {
        world.post(&world.body("evt_1")).await;
        world.bus.inject([BusFault::Unreachable, BusFault::Unreachable]);
        let stopped = Duration::from_millis(10_050);
        world.handle.within(stopped, world.gate.totals().tell()).await;
        assert!(totals(&world).is_empty());
        world.post_signed("{}", None).await;
        world.gate.totals().finish().await;
        let told = totals(&world);
        let [first, last] = &told[..] else { panic!("two totals: {told:?}") };
        assert_eq!((first.window, first.listed.len(), first.last), (1, 1, false));
        assert_eq!((last.window, last.previous.len(), last.last), (2, 1, true));
        assert_eq!(last.refusals.len(), 1, "the minute is not over, and there is no later total");
    });
}

#[test]
fn an_instance_that_took_nothing_says_that_it_ends() {
    in_worlds(ReplayPolicy::Open, async |world| {
        world.gate.drained().await;
        world.gate.totals().finish().await;
        let [total] = &totals(&world)[..] else { panic!("one total") };
        assert_eq!((total.window, total.confirmed, total.last), (1, 0, true));
        assert_eq!(world.post(&world.body("evt_1")).await, Answer::Refused(Problem::Overloaded));
    });
}
