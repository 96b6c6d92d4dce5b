//! One history: servers, services and clients in one seeded executor, and what goes wrong among them.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::join_all;
use ingress::Gate;
use ledger::{ActionId, ActionKind, Reason, Status};
use ports::{Books, Bus, Exchange, Handle, Headers, Linger, Outgoing, Queue, Replay};
use testkit::memory::books::{MemoryBooks, Pages, Target};
use testkit::memory::bus::MemoryBus;
use testkit::memory::replay::MemoryReplay;
use testkit::simulation::{Process, Simulation};
use wire::{BusMessage, InstanceId, Request};

use crate::auditors::{ALL_DUE, Audits, auditor, run};
use crate::checker::{Verdict, check};
use crate::clients::{Attempt, courier};
use crate::plan::{Plan, Service, Trouble, Weather};
use crate::sabotage::{Sabotage, sabotaged};
use crate::services::{Running, ingress, processor};
use crate::witness::{Damage, Witness};
use countersign_tests::Dice;

/// So often a message may come back before it is dead.
const DELIVERY_LIMIT: usize = 20;

/// How many auditors look at the books.
const AUDITORS: usize = 2;

/// What has not ended by then does not.
const DRAINED_WITHIN: Duration = Duration::from_hours(2);

/// The pause between two looks at the queues. Control totals come every so many whole seconds and are there for milliseconds:
/// whoever looks in step with them sees one each time.
const LOOKS_APART: Duration = Duration::from_millis(1_009);

pub(crate) struct World {
    pub(crate) simulation: Simulation,
    pub(crate) handle: Handle,
    pub(crate) plan: Arc<Plan>,
    pub(crate) sabotage: Sabotage,
    pub(crate) dice: Dice,
    /// The auditors': what they do changes nothing for anybody else.
    pub(crate) chance: Dice,
    pub(crate) bodies: Vec<Bytes>,
    pub(crate) witness: Arc<Witness>,
    pub(crate) audits: Arc<Audits>,
    pub(crate) replay: Arc<dyn Replay>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) books: Arc<dyn Books>,
    pub(crate) servers: Servers,
    state: Mutex<State>,
}

/// The servers themselves.
#[derive(Clone)]
pub(crate) struct Servers {
    pub(crate) handle: Handle,
    pub(crate) replay: Arc<MemoryReplay>,
    pub(crate) bus: Arc<MemoryBus>,
    pub(crate) books: Arc<MemoryBooks>,
}

#[derive(Default)]
struct State {
    weather: Weather,
    running: BTreeMap<Service, Running>,
    /// Whether ingresses, and processors, that end are not started again.
    ending: (bool, bool),
    log: Vec<Attempt>,
    /// How often a service ended or lost its connection.
    disconnections: usize,
}

/// Runs the history of a seed and judges it.
pub(crate) fn history(seed: u64, sabotage: Sabotage) -> Verdict {
    let simulation = Simulation::new(seed);
    let world = World::new(seed, &simulation, sabotage);
    simulation.run(world.clone().live());
    let log = {
        let mut state = world.state();
        state.running.clear();
        core::mem::take(&mut state.log)
    };
    let verdict = check(&world, &log);
    // The witness holds the books that hold it: a million histories must not stay.
    world.servers.books.watch(|_, _| {});
    verdict
}

impl World {
    fn new(seed: u64, simulation: &Simulation, sabotage: Sabotage) -> Arc<Self> {
        let handle = simulation.handle();
        let plan = Arc::new(sabotage.plan(Plan::of(seed)));
        let servers = Servers {
            replay: Arc::new(MemoryReplay::default()),
            bus: Arc::new(MemoryBus::new(handle.clone())),
            books: Arc::new(MemoryBooks::new()),
            handle: handle.clone(),
        };
        let witness =
            Witness::new(Arc::clone(&plan), handle.clone(), servers.bus.clone(), servers.books.clone());
        let seeing = Arc::clone(&witness);
        servers.replay.watch(move |key, seen| seeing.cache(key, seen));
        let audits = Audits::new(sabotage);
        let (seeing, noting, clock) = (Arc::clone(&witness), Arc::clone(&audits), handle.clone());
        servers.books.watch(move |before, after| {
            seeing.commit(before, after);
            noting.committed(after, clock.now());
        });
        let (replay, bus, books) = sabotaged(sabotage, &servers);
        Arc::new(Self {
            simulation: simulation.clone(),
            handle,
            sabotage,
            dice: Dice::new(seed, 2),
            chance: Dice::new(seed, 4),
            bodies: plan.contents.iter().map(|content| Bytes::from(content.body.clone())).collect(),
            witness,
            audits,
            replay,
            bus,
            books,
            servers,
            state: Mutex::new(State { weather: plan.weather, ..State::default() }),
            plan,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn weather(&self) -> Weather {
        self.state().weather
    }

    pub(crate) fn is_ending(&self, service: Service) -> bool {
        let (ingresses, processors) = self.state().ending;
        match service {
            Service::Ingress(_) => ingresses,
            Service::Processor(_) => processors,
        }
    }

    /// A connection to the broker ended, or its process did.
    pub(crate) fn disconnected(&self) {
        self.state().disconnections += 1;
    }

    /// Whether some message may be dead for no fault of its own.
    pub(crate) fn is_worn(&self) -> bool {
        self.state().disconnections > DELIVERY_LIMIT
    }

    /// Whether an ingress is running.
    pub(crate) fn is_running(&self, instance: InstanceId) -> bool {
        let state = self.state();
        state
            .running
            .values()
            .filter_map(|running| running.gate.as_ref())
            .any(|gate| gate.instance() == instance)
    }

    /// Whether some queue has a message of that name.
    pub(crate) fn is_queued(&self, message_id: &str) -> bool {
        self.servers.bus.holds(|message| message.message_id == message_id)
    }

    /// What is committed at this instant.
    pub(crate) fn books_seen<T>(&self, look: impl FnOnce(&Pages) -> T) -> T {
        self.servers.books.look(look)
    }

    /// The poison ended a process: that is no bystander's fault, and no reason for one to die.
    pub(crate) fn poisoned(&self) {
        let mut state = self.state();
        state.disconnections = state.disconnections.saturating_sub(1);
    }

    pub(crate) fn restart_pause(&self) -> Duration {
        Duration::from_millis(self.dice.pick(&[0, 100, 3_000]))
    }

    pub(crate) fn log(&self, attempt: Attempt) {
        self.state().log.push(attempt);
    }

    pub(crate) fn started(&self, service: Service, running: Running) {
        self.state().running.insert(service, running);
    }

    pub(crate) fn ended(&self, service: Service) {
        let mut state = self.state();
        state.running.remove(&service);
        state.disconnections += 1;
    }

    /// An ingress that takes requests, if there is one where this request arrives.
    pub(crate) fn some_ingress(&self) -> Option<(Process, Arc<Gate>)> {
        let service = Service::Ingress(self.dice.index(self.plan.ingresses));
        let state = self.state();
        let running = state.running.get(&service).filter(|running| !running.stop.is_cancelled())?;
        Some((running.process.clone(), running.gate.clone()?))
    }

    fn running(&self, service: Service) -> Option<Running> {
        self.state().running.get(&service).cloned()
    }

    async fn live(self: Arc<Self>) {
        let services = (0..self.plan.ingresses)
            .map(|index| self.handle.spawn("ingress", ingress(Arc::clone(&self), index)));
        let ingresses: Vec<_> = services.collect();
        let services = (0..self.plan.processors)
            .map(|index| self.handle.spawn("processor", processor(Arc::clone(&self), index)));
        let processors: Vec<_> = services.collect();
        let clients = (0..self.plan.couriers.len())
            .map(|number| self.handle.spawn("client", courier(Arc::clone(&self), number)));
        let clients: Vec<_> = clients.collect();
        for number in 0..AUDITORS {
            drop(self.handle.spawn("auditor", auditor(Arc::clone(&self), number)));
        }
        for (at, trouble) in self.plan.troubles.clone() {
            let world = Arc::clone(&self);
            drop(self.handle.spawn("trouble", async move {
                world.handle.sleep(at).await;
                world.befall(trouble).await;
            }));
        }
        self.handle.sleep(self.plan.heals_after).await;
        self.heal();
        join_all(clients).await;
        self.drain().await;
        if self.plan.released {
            self.release_all();
            self.drain().await;
        }
        self.end(Service::Ingress(0));
        join_all(ingresses).await;
        self.drain().await;
        self.end(Service::Processor(0));
        join_all(processors).await;
        self.handle.sleep(ALL_DUE).await;
        for number in 0..AUDITORS {
            run(&self, number).await;
        }
    }

    async fn befall(&self, trouble: Trouble) {
        let Servers { bus, replay, books, .. } = &self.servers;
        match trouble {
            Trouble::Kill(service, turns) => {
                if let Some(running) = self.running(service) {
                    running.process.kill_after(turns);
                }
            }
            Trouble::Stop(service) => {
                if let Some(running) = self.running(service) {
                    running.stop.cancel();
                }
            }
            Trouble::Freeze(service, time) => {
                if let Some(running) = self.running(service) {
                    running.process.freeze();
                    self.handle.sleep(time).await;
                    running.process.thaw();
                }
            }
            Trouble::Clock(service, ahead_ms) => {
                if let Some(running) = self.running(service) {
                    running.process.set_clock_ahead(ahead_ms);
                }
            }
            Trouble::BusDown(time) => {
                bus.set_down(true);
                self.state().disconnections += 1;
                self.handle.sleep(time).await;
                bus.set_down(false);
            }
            Trouble::BusCut => {
                self.state().disconnections += 1;
                bus.disconnect();
            }
            Trouble::Unbound(time) => {
                bus.set_bound(false);
                self.handle.sleep(time).await;
                bus.set_bound(true);
            }
            Trouble::ReplayDown(time) => {
                replay.set_down(true);
                self.handle.sleep(time).await;
                replay.set_down(false);
            }
            Trouble::ReplayFlushed => {
                self.witness.cache_forgot();
                replay.forget_everything();
            }
            Trouble::ReplaySpoilt => {
                self.witness.cache_forgot();
                replay.spoil_everything();
            }
            Trouble::ReplayRestored(ago) => {
                let copy = replay.copy();
                self.handle.sleep(ago).await;
                self.witness.cache_fell_back();
                replay.restore(copy);
            }
            Trouble::BooksDown(time) => {
                books.set_down(true);
                self.handle.sleep(time).await;
                books.set_down(false);
            }
        }
    }

    /// From now on nothing goes wrong that has not begun.
    fn heal(&self) {
        let mut state = self.state();
        state.weather = Weather::default();
        for running in state.running.values() {
            running.process.spare();
            running.process.set_clock_ahead(0);
        }
    }

    /// Stops all services of a kind for good.
    fn end(&self, kind: Service) {
        let mut state = self.state();
        match kind {
            Service::Ingress(_) => state.ending.0 = true,
            Service::Processor(_) => state.ending.1 = true,
        }
        let of_kind = |service: &Service| core::mem::discriminant(service) == core::mem::discriminant(&kind);
        for (_, running) in state.running.iter().filter(|(service, _)| of_kind(service)) {
            running.stop.cancel();
        }
    }

    /// Waits until every queue is empty.
    async fn drain(&self) {
        let since = self.handle.monotonic();
        // What is late has arrived by then.
        self.handle.sleep(Duration::from_secs(30)).await;
        loop {
            let left: usize = Queue::ALL.into_iter().map(|queue| self.servers.bus.depth(queue)).sum();
            if left == 0 {
                return;
            }
            if self.handle.monotonic().saturating_sub(since) > DRAINED_WITHIN {
                return self.witness.object(Damage::Stuck, format!("{left} messages are never settled"));
            }
            self.handle.sleep(LOOKS_APART).await;
        }
    }

    /// An operator releases everything that is parked, each request sent twice.
    fn release_all(&self) {
        let books = &self.servers.books;
        let targets = books.look(|pages| {
            let parked = |status: Status| status == Status::Parked;
            let events = pages.events.iter().filter(|(_, event)| parked(event.standing().0));
            let events = events.map(|(key, _)| Target::Event(key.clone()));
            let evidence = pages.deliveries.iter().filter(|(_, row)| {
                matches!(
                    row.reason,
                    Some(Reason::EventIdReused | Reason::DeadLettered | Reason::PayloadInvalid)
                )
            });
            let evidence = evidence.map(|((instance, sequence), _)| Target::Delivery(*instance, *sequence));
            events.chain(evidence).collect::<Vec<_>>()
        });
        for target in targets {
            let action = books.ask(ActionKind::Release, target);
            for _ in 0..2 {
                self.servers.bus.put(Queue::Ledger, self.request(action));
            }
        }
    }

    /// The message that asks for an action.
    fn request(&self, action: ActionId) -> Outgoing {
        let message = BusMessage::Request(Request { action });
        Outgoing {
            exchange: Exchange::Events,
            routing_key: "request.release".to_owned(),
            message_id: format!("request:{action}"),
            kind: message.kind(),
            sent_at: self.handle.now(),
            headers: Headers::default(),
            body: message.encode(),
        }
    }
}

#[test]
fn traffic_that_keeps_time_with_the_looks_is_not_stuck() {
    let simulation = Simulation::new(0);
    let world = World::new(0, &simulation, Sabotage::Nothing);
    let traffic = {
        let world = Arc::clone(&world);
        async move {
            let mut consumer = world.servers.bus.subscribe(Queue::Ledger, 1).await.unwrap();
            let linger = Linger { messages_max: 1, after_first: Duration::ZERO };
            loop {
                world.servers.bus.put(Queue::Ledger, world.request(ActionId(1)));
                let delivery = consumer.receive(linger).await.unwrap().remove(0);
                world.handle.sleep(Duration::from_millis(5)).await;
                consumer.ack_through(delivery.tag).await.unwrap();
                world.handle.sleep(Duration::from_millis(29_995)).await;
            }
        }
    };
    simulation.run(async {
        // In the queue two milliseconds before every look that keeps a time of thirty seconds.
        world.handle.sleep(Duration::from_millis(29_998)).await;
        drop(world.handle.spawn("traffic", traffic));
        world.handle.sleep(Duration::from_millis(2)).await;
        world.drain().await;
    });
    assert_eq!(world.witness.violations(), []);
}
