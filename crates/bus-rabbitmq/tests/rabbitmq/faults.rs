//! What the network and the broker may do meanwhile.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use bus_rabbitmq::{RabbitMq, Settings};
use futures_util::future::join_all;
use ports::{Bus as _, Handle, NotConfirmed, Queue};
use runtime::TokioExecutor;
use testkit::contract::bus::{message, until_ready};
use testkit::fault_proxy::{FaultProxy, Flow};
use testkit::servers::rabbitmq::Vhost;

use crate::{Broker, publish_in_the_end, settings, until};

/// A confirm may take 2 s; beyond that, a busy machine may.
const PROMPT: Duration = Duration::from_secs(4);

/// A bus behind a proxy, connected.
struct Behind {
    bus: RabbitMq,
    proxy: FaultProxy,
    handle: Handle,
    vhost: Vhost,
}

impl Behind {
    async fn ready(adjust: impl FnOnce(&mut Settings)) -> Self {
        let vhost = Vhost::fresh().await;
        let handle = TokioExecutor::handle();
        let (proxy, url) = FaultProxy::before_url(vhost.amqp_url()).await;
        let mut settings = settings(&url);
        adjust(&mut settings);
        let bus = RabbitMq::connect(settings, handle.clone());
        until_ready(&bus, &handle).await;
        Self { bus, proxy, handle, vhost }
    }

    async fn kept(&self) -> BTreeSet<String> {
        kept(&self.vhost).await
    }
}

async fn kept(vhost: &Vhost) -> BTreeSet<String> {
    let mut kept = BTreeSet::new();
    loop {
        let some = vhost.take(Queue::Ledger, 1000).await;
        if some.is_empty() {
            return kept;
        }
        kept.extend(some.iter().filter_map(|message| message.property("message_id")).map(str::to_owned));
    }
}

/// Publishes from several tasks until told to stop; gives the ids of what was confirmed.
async fn publish_until(bus: &RabbitMq, handle: &Handle, enough: &AtomicBool) -> BTreeSet<String> {
    let tasks = (0..4).map(async |task| {
        let mut confirmed = BTreeSet::new();
        for n in 0.. {
            if enough.load(Ordering::SeqCst) {
                break;
            }
            let batch: Vec<String> = (0..5).map(|k| format!("{task} {n} {k}")).collect();
            let began = handle.monotonic();
            let outcomes = join_all(batch.iter().map(|id| bus.publish(message(id)))).await;
            assert!(handle.monotonic() < began + PROMPT, "a publish did not end in time");
            let successes = outcomes.iter().zip(batch).filter(|(outcome, _)| outcome.is_ok());
            confirmed.extend(successes.map(|(_, id)| id));
            handle.sleep(Duration::from_millis(20)).await;
        }
        confirmed
    });
    join_all(tasks).await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_closes_connections_mid_flight_costs_no_confirmed_message() {
    let broker = Broker::ready().await;
    let enough = AtomicBool::new(false);
    let closing = async {
        let mut closed = 0;
        while closed < 3 {
            closed += broker.vhost.close_connections().await;
            until_ready(&broker.bus, &broker.handle).await;
        }
        enough.store(true, Ordering::SeqCst);
    };
    let (confirmed, ()) = tokio::join!(publish_until(&broker.bus, &broker.handle, &enough), closing);
    publish_in_the_end(&broker.bus, &broker.handle, "after").await;
    let kept = kept(&broker.vhost).await;
    assert_eq!(confirmed.difference(&kept).count(), 0, "confirmed and not kept");
    assert!(kept.contains("after"));
    assert!(confirmed.len() >= 20, "only {} were confirmed at all", confirmed.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_cuts_connections_mid_flight_costs_no_confirmed_message() {
    let behind = Behind::ready(|_| {}).await;
    let enough = AtomicBool::new(false);
    let cutting = async {
        for _ in 0..10 {
            behind.handle.sleep(Duration::from_millis(50)).await;
            behind.proxy.reset();
            until_ready(&behind.bus, &behind.handle).await;
        }
        enough.store(true, Ordering::SeqCst);
    };
    let (confirmed, ()) = tokio::join!(publish_until(&behind.bus, &behind.handle, &enough), cutting);
    publish_in_the_end(&behind.bus, &behind.handle, "after").await;
    let kept = behind.kept().await;
    assert_eq!(confirmed.difference(&kept).count(), 0, "confirmed and not kept");
    assert!(kept.contains("after"));
    assert!(confirmed.len() >= 20, "only {} were confirmed at all", confirmed.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_was_in_flight_ends_as_soon_as_the_connection_does() {
    let behind = Behind::ready(|_| {}).await;
    behind.proxy.set(Flow::Freeze);
    let began = behind.handle.monotonic();
    let cutting = async {
        behind.handle.sleep(Duration::from_millis(200)).await;
        behind.proxy.reset();
    };
    let publishing = join_all((0..100).map(|n| behind.bus.publish(message(&n.to_string()))));
    let (outcomes, ()) = tokio::join!(publishing, cutting);
    assert!(outcomes.iter().all(|outcome| *outcome == Err(NotConfirmed::Unreachable)), "{outcomes:?}");
    assert!(behind.handle.monotonic() < began + Duration::from_secs(2), "waited for the deadline");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_broker_costs_each_publish_its_deadline_and_the_bus_its_readiness() {
    let behind = Behind::ready(|settings| settings.confirm_deadline = Duration::from_millis(300)).await;
    behind.bus.publish(message("before")).await.unwrap();
    behind.proxy.set(Flow::Freeze);
    let began = behind.handle.monotonic();
    let outcomes = join_all((0..10).map(|n| behind.bus.publish(message(&n.to_string())))).await;
    assert!(behind.handle.monotonic() < began + PROMPT);
    assert!(outcomes.iter().all(|outcome| *outcome == Err(NotConfirmed::Deadline)), "{outcomes:?}");
    until(&behind.handle, "overdue confirms make it not ready", async || !behind.bus.ready()).await;
    behind.proxy.set(Flow::Pass);
    until_ready(&behind.bus, &behind.handle).await;
    behind.bus.publish(message("after")).await.unwrap();
    assert!(behind.kept().await.is_superset(&["before", "after"].map(str::to_owned).into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_confirms_nothing_is_made_anew_after_its_deadline() {
    let behind = Behind::ready(|settings| {
        settings.confirm_deadline = Duration::from_millis(200);
        settings.blocked_deadline = Duration::from_millis(600);
    })
    .await;
    behind.proxy.set(Flow::Freeze);
    assert_eq!(behind.bus.publish(message("frozen")).await, Err(NotConfirmed::Deadline));
    until(&behind.handle, "given up", async || {
        behind.bus.publish(message("frozen")).await == Err(NotConfirmed::Unreachable)
    })
    .await;
    behind.proxy.set(Flow::Pass);
    until_ready(&behind.bus, &behind.handle).await;
    behind.bus.publish(message("after")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_blocks_publishes_fail_at_once_and_are_not_sent_later() {
    let behind = Behind::ready(|_| {}).await;
    behind.bus.publish(message("before")).await.unwrap();
    behind.proxy.say(short_of_memory());
    until(&behind.handle, "not ready", async || !behind.bus.ready()).await;
    let began = behind.handle.monotonic();
    let outcomes = join_all((0..100).map(|n| behind.bus.publish(message(&n.to_string())))).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Err(NotConfirmed::Unreachable)), "{outcomes:?}");
    assert!(behind.handle.monotonic() < began + Duration::from_secs(1), "waited");
    behind.proxy.say(unblocked());
    until_ready(&behind.bus, &behind.handle).await;
    behind.bus.publish(message("after")).await.unwrap();
    assert_eq!(behind.kept().await, ["before", "after"].map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_blocked_for_too_long_is_made_anew() {
    let behind = Behind::ready(|settings| settings.blocked_deadline = Duration::from_millis(500)).await;
    until(&behind.handle, "it is listed", async || !behind.vhost.connections().await.is_empty()).await;
    let blocked = behind.vhost.connections().await;
    behind.proxy.say(short_of_memory());
    until(&behind.handle, "not ready", async || !behind.bus.ready()).await;
    until_ready(&behind.bus, &behind.handle).await;
    behind.bus.publish(message("after")).await.unwrap();
    until(&behind.handle, "the old one has gone", async || {
        let connections = behind.vhost.connections().await;
        connections.len() == 1 && connections != blocked
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_broker_is_no_error_and_is_found_when_it_comes() {
    let vhost = Vhost::fresh().await;
    let handle = TokioExecutor::handle();
    let (proxy, url) = FaultProxy::before_url(vhost.amqp_url()).await;
    // Frozen, it takes the connection and says nothing; on the port beside it, nobody listens.
    proxy.set(Flow::Freeze);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let absent = RabbitMq::connect(
        settings(&url.replace(&proxy.address.to_string(), &nobody.to_string())),
        handle.clone(),
    );
    let silent = RabbitMq::connect(settings(&url), handle.clone());
    for bus in [&absent, &silent] {
        assert!(!bus.ready());
        assert_eq!(bus.publish(message("evt_1")).await, Err(NotConfirmed::Unreachable));
    }
    assert!(absent.subscribe(Queue::Ledger, 1).await.is_err());
    proxy.set(Flow::Pass);
    until_ready(&silent, &handle).await;
    silent.publish(message("evt_1")).await.unwrap();
    absent.close().await;
}

/// What a broker short of memory says to its clients: connection.blocked (10, 60).
fn short_of_memory() -> Vec<u8> {
    method([10, 60], b"\x0alow memory")
}

/// What it says when that is over: connection.unblocked (10, 61).
fn unblocked() -> Vec<u8> {
    method([10, 61], b"")
}

/// A method frame on channel 0.
fn method([class, method]: [u8; 2], arguments: &[u8]) -> Vec<u8> {
    let size = u8::try_from(4 + arguments.len()).unwrap();
    let head = [1, 0, 0, 0, 0, 0, size, 0, class, 0, method];
    [&head, arguments, &[0xCE]].concat()
}
