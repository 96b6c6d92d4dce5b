//! What becomes of a message on the way in.

use core::time::Duration;

use bus_rabbitmq::{Declare, RabbitMq, Settings};
use futures_util::future::join_all;
use ports::{Bus as _, NotConfirmed, Outgoing, Queue};
use reqwest::Method;
use runtime::TokioExecutor;
use serde_json::{Value, json};
use testkit::contract::bus::{message, until_ready};
use testkit::servers::rabbitmq::Vhost;

use crate::{Broker, publish_in_the_end, settings, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_the_management_page_can_read_what_a_message_is() {
    let broker = Broker::ready().await;
    broker.bus.publish(message("evt_1")).await.unwrap();
    let kept = broker.vhost.take(Queue::Ledger, 1).await.remove(0);
    assert_eq!(kept.body(), message("evt_1").body);
    assert_eq!(kept.routing_key, "accepted.stripe.charge.succeeded");
    assert_eq!(kept.properties["delivery_mode"], 2);
    assert_eq!(kept.properties["timestamp"], 1_790_000_000);
    assert_eq!(kept.property("content_type"), Some("application/x-protobuf"));
    assert_eq!(kept.property("message_id"), Some("evt_1"));
    assert_eq!(kept.property("type"), Some("accepted"));
    assert_eq!(kept.header("event_id"), Some("evt_1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_publishes_in_flight_at_once_are_all_confirmed_and_kept() {
    let broker = Broker::ready().await;
    let ids: Vec<String> = (0..500).map(|n| format!("{n:03}")).collect();
    let confirmed = join_all(ids.iter().map(|id| broker.bus.publish(message(id)))).await;
    assert!(confirmed.iter().all(Result::is_ok));
    let kept = broker.vhost.take(Queue::Ledger, 1000).await;
    let mut kept: Vec<_> = kept.iter().filter_map(|message| message.property("message_id")).collect();
    kept.sort_unstable();
    assert_eq!(kept, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_mailbox_holds_is_refused_at_once_and_nothing_is_lost_of_the_rest() {
    let broker = Broker::ready().await;
    let confirmed = join_all((0..4000).map(|n| broker.bus.publish(message(&n.to_string())))).await;
    let kept = broker.vhost.take(Queue::Ledger, 5000).await.len();
    let successes = confirmed.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(successes >= 1024, "{successes}");
    assert!(kept >= successes);
    let refused = confirmed.iter().filter(|outcome| **outcome == Err(NotConfirmed::Unreachable)).count();
    assert_eq!(successes + refused, 4000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_megabyte_arrives_whole() {
    let broker = Broker::ready().await;
    let body: Vec<u8> = (0..1_048_576_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    broker.bus.publish(Outgoing { body: body.clone().into(), ..message("large") }).await.unwrap();
    broker.bus.publish(Outgoing { body: Vec::new().into(), ..message("empty") }).await.unwrap();
    let kept = broker.vhost.take(Queue::Ledger, 2).await;
    assert!(kept[0].body() == body);
    assert!(kept[1].body().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_queue_is_bound_for_is_confirmed_and_kept_in_unrouted() {
    let broker = Broker::ready().await;
    let path = "bindings/{vhost}/e/countersign.events/q/countersign.ledger/%23";
    broker.vhost.api(Method::DELETE, path, Value::Null).await;
    broker.bus.publish(message("astray")).await.unwrap();
    assert_eq!(broker.vhost.depth(Queue::Ledger).await, 0);
    assert_eq!(broker.vhost.take(Queue::Unrouted, 10).await[0].property("message_id"), Some("astray"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_amqp_cannot_say_is_refused_and_harms_no_other() {
    let broker = Broker::ready().await;
    let unsayable = Outgoing { routing_key: "x".repeat(300), ..message("unsayable") };
    let (good, refused) = tokio::join!(broker.bus.publish(message("good")), broker.bus.publish(unsayable));
    assert_eq!((good, refused), (Ok(()), Err(NotConfirmed::Refused)));
    let connections = broker.vhost.connections().await;
    broker.bus.publish(message("next")).await.unwrap();
    assert_eq!(broker.vhost.connections().await, connections);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_channel_is_replaced_on_the_same_connection() {
    let broker = Broker::ready().await;
    broker.bus.publish(message("before")).await.unwrap();
    until(&broker.handle, "the connection is listed", async || broker.vhost.connections().await.len() == 1)
        .await;
    let connections = broker.vhost.connections().await;
    broker.vhost.api(Method::DELETE, "exchanges/{vhost}/countersign.events", Value::Null).await;
    // No exchange: the broker ends the channel (404).
    broker.bus.publish(message("into the void")).await.unwrap_err();
    publish_in_the_end(&broker.bus, &broker.handle, "after").await;
    assert_eq!(broker.vhost.connections().await, connections);
    let kept = broker.vhost.take(Queue::Ledger, 10).await;
    let kept: Vec<_> = kept.iter().filter_map(|message| message.property("message_id")).collect();
    assert_eq!(kept, ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passive_bus_declares_nothing_and_works_when_the_topology_is_there() {
    let vhost = Vhost::fresh().await;
    let handle = TokioExecutor::handle();
    let passive = Settings { declare: Declare::Passive, ..settings(vhost.amqp_url()) };
    let passive = RabbitMq::connect(passive, handle.clone());
    handle.sleep(Duration::from_millis(500)).await;
    assert!(!passive.ready());
    assert_eq!(
        vhost.api(Method::GET, "exchanges/{vhost}/countersign.events", Value::Null).await,
        Value::Null
    );
    let declaring = RabbitMq::connect(settings(vhost.amqp_url()), handle.clone());
    until_ready(&declaring, &handle).await;
    until_ready(&passive, &handle).await;
    passive.publish(message("evt_1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_keeps_the_bus_from_being_ready_until_it_is_gone() {
    let vhost = Vhost::fresh().await;
    let other = json!({ "durable": true, "arguments": { "x-queue-type": "classic" } });
    vhost.api(Method::PUT, "queues/{vhost}/countersign.ledger", other).await;
    let handle = TokioExecutor::handle();
    let bus = RabbitMq::connect(settings(vhost.amqp_url()), handle.clone());
    handle.sleep(Duration::from_millis(500)).await;
    assert!(!bus.ready());
    assert_eq!(bus.publish(message("evt_1")).await, Err(NotConfirmed::Unreachable));
    vhost.delete_queue(Queue::Ledger).await;
    until_ready(&bus, &handle).await;
    bus.publish(message("evt_1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_awaits_what_is_in_flight_and_ends_the_connections() {
    let broker = Broker::ready().await;
    let subscription = broker.bus.subscribe(Queue::Ledger, 1).await.unwrap();
    until(&broker.handle, "both are listed", async || broker.vhost.connections().await.len() == 2).await;
    let publishing = join_all((0..100).map(|n| broker.bus.publish(message(&n.to_string()))));
    let closing = async {
        tokio::task::yield_now().await;
        broker.bus.close().await;
    };
    let (confirmed, ()) = tokio::join!(publishing, closing);
    assert!(confirmed.iter().all(Result::is_ok), "{confirmed:?}");
    assert!(!broker.bus.ready());
    assert_eq!(broker.bus.publish(message("late")).await, Err(NotConfirmed::Unreachable));
    assert!(broker.bus.subscribe(Queue::Ledger, 1).await.is_err());
    until(&broker.handle, "none is left", async || broker.vhost.connections().await.is_empty()).await;
    drop(subscription);
    assert_eq!(broker.vhost.take(Queue::Ledger, 200).await.len(), 100);
}
