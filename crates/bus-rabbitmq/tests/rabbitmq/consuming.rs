//! What becomes of a message on the way out.

use bus_rabbitmq::Depth;
use ports::{Bus as _, Queue};
use runtime::TokioExecutor;
use testkit::contract::bus::{at_once, ids, message, receive_and_ack, subscribe, until_ready};
use testkit::fault_proxy::FaultProxy;
use testkit::servers::rabbitmq::Vhost;

use crate::{Broker, PATIENCE, settings, until};

#[tokio::test(flavor = "multi_thread")]
async fn when_its_queue_is_deleted_a_subscription_ends_and_the_next_one_makes_the_queue_again() {
    let broker = Broker::ready().await;
    let mut subscription = broker.bus.subscribe(Queue::Ledger, 1).await.unwrap();
    let deleting = broker.vhost.delete_queue(Queue::Ledger);
    let (received, ()) = tokio::join!(subscription.receive(at_once(1)), deleting);
    received.unwrap_err();
    // Until then, what is published waits in unrouted.
    broker.bus.publish(message("meanwhile")).await.unwrap();
    let mut subscription = subscribe(&broker.bus, &broker.handle, Queue::Ledger, 1).await;
    broker.bus.publish(message("afterwards")).await.unwrap();
    let received = receive_and_ack(&mut *subscription, &broker.handle, 1).await;
    assert_eq!(ids(&received), ["afterwards"]);
    let mut unrouted = subscribe(&broker.bus, &broker.handle, Queue::Unrouted, 1).await;
    let received = receive_and_ack(&mut *unrouted, &broker.handle, 1).await;
    assert_eq!(ids(&received), ["meanwhile"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_ends_every_subscription_and_what_was_in_hand_comes_back() {
    let broker = Broker::ready().await;
    broker.bus.publish(message("in hand")).await.unwrap();
    let mut ledger = subscribe(&broker.bus, &broker.handle, Queue::Ledger, 10).await;
    let mut dead = subscribe(&broker.bus, &broker.handle, Queue::Dead, 10).await;
    let in_hand = ledger.receive(at_once(10)).await.unwrap();
    until(&broker.handle, "both connections are closed", async || {
        broker.vhost.close_connections().await == 2
    })
    .await;
    assert!(broker.handle.within(PATIENCE, dead.receive(at_once(1))).await.unwrap().is_err());
    ledger.ack_through(in_hand[0].tag).await.unwrap_err();
    ledger.receive(at_once(1)).await.unwrap_err();
    ledger.widen(20).await.unwrap_err();
    let mut ledger = subscribe(&broker.bus, &broker.handle, Queue::Ledger, 10).await;
    let received = receive_and_ack(&mut *ledger, &broker.handle, 1).await;
    assert_eq!((ids(&received), received[0].redelivered), (vec!["in hand"], true));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_the_prefetch_is_not_handed_out_once_the_connection_is_lost() {
    let vhost = Vhost::fresh().await;
    let handle = TokioExecutor::handle();
    let (proxy, url) = FaultProxy::before_url(vhost.amqp_url()).await;
    let bus = bus_rabbitmq::RabbitMq::connect(settings(&url), handle.clone());
    until_ready(&bus, &handle).await;
    for id in ["one", "two", "three"] {
        bus.publish(message(id)).await.unwrap();
    }
    let mut subscription = subscribe(&bus, &handle, Queue::Ledger, 3).await;
    let received = subscription.receive(at_once(1)).await.unwrap();
    assert_eq!(ids(&received), ["one"]);
    proxy.reset();
    until(&handle, "it has ended", async || subscription.widen(3).await.is_err()).await;
    subscription.receive(at_once(1)).await.unwrap_err();
    let mut subscription = subscribe(&bus, &handle, Queue::Ledger, 3).await;
    let received = receive_and_ack(&mut *subscription, &handle, 3).await;
    assert_eq!(ids(&received), ["one", "two", "three"]);
    assert!(received.iter().all(|delivery| delivery.redelivered));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_message_says_where_and_why_it_died() {
    let broker = Broker::ready().await;
    broker.bus.publish(message("poison")).await.unwrap();
    for _ in 0..21 {
        let mut subscription = subscribe(&broker.bus, &broker.handle, Queue::Ledger, 1).await;
        subscription.receive(at_once(1)).await.unwrap();
    }
    let mut dead = subscribe(&broker.bus, &broker.handle, Queue::Dead, 1).await;
    let received = receive_and_ack(&mut *dead, &broker.handle, 1).await.remove(0);
    let death = received.headers.value("x-death").unwrap();
    for part in ["queue=countersign.ledger", "reason=delivery_limit", "count=1"] {
        assert!(death.contains(part), "{death}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_deep_a_queue_is_and_who_consumes_it_is_known_once_something_is_consumed() {
    let broker = Broker::ready().await;
    broker.bus.depth(Queue::Ledger).await.unwrap_err();
    for id in ["one", "two", "three"] {
        broker.bus.publish(message(id)).await.unwrap();
    }
    let dead = subscribe(&broker.bus, &broker.handle, Queue::Dead, 1).await;
    until(&broker.handle, "the queue is three messages deep", async || {
        broker.bus.depth(Queue::Ledger).await.unwrap() == Depth { messages: 3, consumers: 0 }
    })
    .await;
    assert_eq!(broker.bus.depth(Queue::Dead).await.unwrap(), Depth { messages: 0, consumers: 1 });
    // One that is not there costs its channel, and the subscription nothing.
    broker.vhost.delete_queue(Queue::Unrouted).await;
    broker.bus.depth(Queue::Unrouted).await.unwrap_err();
    assert_eq!(broker.bus.depth(Queue::Dead).await.unwrap().consumers, 1);
    drop(dead);
}
