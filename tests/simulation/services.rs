//! The services' own logic as processes that end, and are started again.

use core::pin::pin;
use core::time::Duration;
use std::sync::{Arc, LazyLock};

use futures_util::future::{Either, select, try_join3};
use ingress::{Gate, Pins, Policy, ReplayPolicy, Seams, Secrets, SourceGate, TooOld};
use ledger::{Livemode, PostingTable, Provider};
use ports::{Handle, Queue};
use processor::{Booker, Connected, Consumption, Pace, Patience, SourceTerms, Sources, Teller, consume};
use prometheus_client::registry::Registry;
use provider::telegram::CheckoutVerdict;
use signature::{Freshness, Scheme, Secret};
use testkit::simulation::Process;
use testkit::{stripe, telegram};
use tokio_util::sync::CancellationToken;

use crate::link::Link;
use crate::plan::{Sender, Service};
use crate::sabotage::Sabotage;
use crate::witness::Damage;
use crate::world::World;

/// A process that runs.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) process: Process,
    /// An ingress' gate.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Its soft stop.
    pub(crate) stop: CancellationToken,
}

/// Read once: the table is a file.
static POLICY: LazyLock<Arc<processor::Policy>> = LazyLock::new(|| {
    let terms = |sender: Sender| SourceTerms {
        provider: Provider::parse(sender.name()).unwrap(),
        own_account: sender.account(),
        connected: Connected::Book,
        settles_with: None,
    };
    let sources = [Sender::Stripe, Sender::Telegram].map(|sender| (sender.source(), terms(sender)));
    let sources = Sources::new(sources.into()).unwrap();
    Arc::new(processor::Policy { table: PostingTable::built_in(), sources })
});

/// What is counted matters to nobody here.
static COUNTED: LazyLock<Arc<processor::Metrics>> =
    LazyLock::new(|| Arc::new(processor::Metrics::register(&mut Registry::default())));

fn source_gate(sender: Sender, sabotage: Sabotage) -> SourceGate {
    let (scheme, secret, too_old, checkout) = match sender {
        Sender::Stripe => (Scheme::Stripe, stripe::SECRET, TooOld::Reject, CheckoutVerdict::LeaveToBot),
        Sender::Telegram => (Scheme::Telegram, telegram::TOKEN, TooOld::Accept, CheckoutVerdict::Approve),
    };
    let secrets = core::iter::once(secret).chain(sabotage.secret_more(sender));
    let secrets = secrets.map(|secret| Secret::parse(secret.as_bytes(), scheme).unwrap()).collect();
    let gate = SourceGate {
        source: sender.source(),
        provider: provider::by_name(sender.name()).unwrap(),
        secrets: Arc::new(Secrets::fixed(scheme, secrets)),
        freshness: Freshness::of(scheme),
        own_account: sender.account(),
        pins: Pins { livemode: Some(Livemode::Test), accounts: None },
        event_age_max_s: 300,
        too_old,
        checkout,
    };
    sabotage.source(gate)
}

/// An ingress, started again whenever it ends, until the end.
pub(crate) async fn ingress(world: Arc<World>, index: usize) {
    while !world.is_ending(Service::Ingress(index)) {
        let process = world.simulation.process();
        let handle = process.handle();
        let link = Link::new(Arc::clone(&world), process.clone());
        let sources = [Sender::Stripe, Sender::Telegram];
        let sources: Vec<_> = sources.map(|sender| source_gate(sender, world.sabotage)).into();
        let metrics = ingress::Metrics::register(&mut Registry::default(), handle.clone(), &sources);
        let policy = Policy {
            replay: if world.plan.closed { ReplayPolicy::Closed } else { ReplayPolicy::Open },
            in_flight_max: world.plan.in_flight_max,
            patience: Duration::from_secs(8),
            control_total: world.plan.window,
        };
        let seams = Seams { replay: link.clone(), bus: link };
        let gate = Gate::new(sources, seams, handle.clone(), policy, metrics);
        let stop = CancellationToken::new();
        let whole = handle.spawn("ingress", serve(Arc::clone(&gate), stop.clone()));
        let instance = gate.instance();
        world.started(Service::Ingress(index), Running { process: process.clone(), gate: Some(gate), stop });
        if whole.await.is_some() {
            world.witness.ended_well(instance);
        }
        world.ended(Service::Ingress(index));
        process.kill();
        world.handle.sleep(world.restart_pause()).await;
    }
}

/// What `ingress::App::run` does beside serving HTTP.
async fn serve(gate: Arc<Gate>, stop: CancellationToken) {
    let totals = gate.totals();
    if let Either::Right((never, _)) = select(pin!(stop.cancelled()), pin!(totals.tell())).await {
        match never {}
    }
    if let Either::Right((never, _)) = select(pin!(gate.drained()), pin!(totals.tell())).await {
        match never {}
    }
    totals.finish().await;
}

/// A processor, started again whenever it ends, until the end.
pub(crate) async fn processor(world: Arc<World>, index: usize) {
    while !world.is_ending(Service::Processor(index)) {
        let process = world.simulation.process();
        let link = Link::new(Arc::clone(&world), process.clone());
        let stop = CancellationToken::new();
        let whole = process.handle().spawn("processor", process_all(link, process.handle(), stop.clone()));
        world.started(Service::Processor(index), Running { process: process.clone(), gate: None, stop });
        if let Some(Err(outage)) = whole.await {
            world.witness.object(Damage::Stuck, format!("a processor gave up: {outage}"));
        }
        world.ended(Service::Processor(index));
        process.kill();
        world.handle.sleep(world.restart_pause()).await;
    }
}

/// What `processor::App::run` does once the books are reached.
async fn process_all(
    link: Arc<Link>,
    handle: Handle,
    stop: CancellationToken,
) -> Result<(), processor::Outage> {
    let work = Consumption {
        booker: Booker::new(link.clone(), handle.clone(), Patience::default()),
        teller: Teller::new(link.clone(), link.clone(), handle.clone(), Arc::clone(&COUNTED)),
        policy: Arc::clone(&POLICY),
        handle,
        pace: Pace::default(),
        metrics: Arc::clone(&COUNTED),
    };
    let set_aside = Consumption { pace: Pace::one_at_a_time(), ..work.clone() };
    try_join3(
        consume(&work, link.as_ref(), Queue::Ledger, &stop),
        consume(&set_aside, link.as_ref(), Queue::Unrouted, &stop),
        consume(&set_aside, link.as_ref(), Queue::Dead, &stop),
    )
    .await
    .map(|_| ())
}
