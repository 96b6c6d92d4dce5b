//! The driver's worst trap: with publishes in flight at once, a returned message may be taken for a confirmed one.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use ports::{Bus as _, Outgoing, Queue};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::contract::bus::{message, until_ready};

use crate::Broker;

const ROUNDS: usize = 5;
const PUBLISHES: usize = 200;

/// The ledger takes only half of the messages, and unrouted does not take the rest: the broker returns them.
async fn break_topology(broker: &Broker) {
    let half = json!({ "routing_key": "good.#" });
    broker.vhost.api(Method::POST, "bindings/{vhost}/e/countersign.events/q/countersign.ledger", half).await;
    let all = "bindings/{vhost}/e/countersign.events/q/countersign.ledger/%23";
    broker.vhost.api(Method::DELETE, all, Value::Null).await;
    let unrouted = "bindings/{vhost}/e/countersign.unrouted/q/countersign.unrouted/~";
    broker.vhost.api(Method::DELETE, unrouted, Value::Null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_queue_for_it_a_message_is_never_confirmed_and_the_topology_heals() {
    let broker = Broker::ready().await;
    let mut confirmed = BTreeSet::new();
    for round in 0..ROUNDS {
        until_ready(&broker.bus, &broker.handle).await;
        break_topology(&broker).await;
        let (good, sound) = ("good.key".to_owned(), format!("{round} sound"));
        broker.bus.publish(Outgoing { routing_key: good, ..message(&sound) }).await.unwrap();
        confirmed.insert(sound);
        let outcomes = join_all((0..PUBLISHES).map(async |n| {
            let routing_key = if n % 7 == 6 { "bad.key" } else { "good.key" }.to_owned();
            let id = format!("{round} {n}");
            let outcome = broker.bus.publish(Outgoing { routing_key, ..message(&id) }).await;
            (id, outcome)
        }))
        .await;
        assert!(outcomes.iter().any(|(_, outcome)| outcome.is_err()), "{round}");
        confirmed.extend(outcomes.into_iter().filter(|(_, outcome)| outcome.is_ok()).map(|(id, _)| id));
    }
    let kept = kept(&broker).await;
    let lost: Vec<_> = confirmed.difference(&kept).collect();
    assert!(lost.is_empty(), "confirmed and not kept: {lost:?}");
    until_ready(&broker.bus, &broker.handle).await;
    broker.bus.publish(Outgoing { routing_key: "bad.key".to_owned(), ..message("healed") }).await.unwrap();
    assert!(self::kept(&broker).await.contains("healed"));
}

async fn kept(broker: &Broker) -> BTreeSet<String> {
    let mut kept = BTreeSet::new();
    for queue in [Queue::Ledger, Queue::Unrouted] {
        let messages = broker.vhost.take(queue, ROUNDS * PUBLISHES + 1).await;
        kept.extend(messages.iter().filter_map(|message| message.property("message_id")).map(str::to_owned));
    }
    kept
}
