//! What every `Bus` promises. Each function leaves the queues as it found them, empty, and its subscriptions closed, so
//! that all can run on one bus, one after the other.

use core::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use ledger::UnixMillis;
use ports::{
    Bus, Delivery, DeliveryTag, Exchange, Handle, Headers, Linger, Outgoing, Queue, Subscription, header,
};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for what should not come to come.
const QUIET: Duration = Duration::from_millis(300);

/// The whole contract.
pub async fn all(bus: &dyn Bus, handle: &Handle) {
    let contract = Contract { bus, handle };
    until_ready(bus, handle).await;
    contract.a_message_is_delivered_once_and_as_it_was_published().await;
    contract.messages_come_in_the_order_of_their_confirms().await;
    contract.many_publishes_at_once_are_all_confirmed_and_delivered().await;
    contract.a_publish_whose_caller_has_gone_still_arrives().await;
    contract.a_subscription_holds_no_more_than_its_prefetch().await;
    contract.receiving_ends_with_enough_messages_or_after_the_linger().await;
    contract.receiving_can_be_given_up_without_losing_a_message().await;
    contract.an_acknowledgement_covers_all_before_it_and_nothing_after().await;
    contract.acknowledging_twice_is_harmless_and_what_was_not_received_is_refused().await;
    contract.what_is_not_acknowledged_comes_back_redelivered_and_in_order().await;
    contract.widening_lets_more_through().await;
    contract.widening_loses_repeats_and_reorders_nothing().await;
    contract.two_subscriptions_share_a_queue().await;
    contract.a_message_that_comes_back_too_often_is_dead().await;
    contract.what_is_booked_is_taken_though_nobody_wants_it_and_comes_to_no_queue_of_ours().await;
}

/// A message with everything a message has.
pub fn message(id: &str) -> Outgoing {
    Outgoing {
        exchange: Exchange::Events,
        routing_key: "accepted.stripe.charge.succeeded".to_owned(),
        message_id: id.to_owned(),
        kind: "accepted",
        sent_at: UnixMillis(1_790_000_000_000),
        headers: Headers::default()
            .with(header::SOURCE, "stripe")
            .with(header::EVENT_ID, id)
            .with(header::TRACEPARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        body: Bytes::from(format!("body of {id} \u{0}\u{ff}")),
    }
}

/// Waits until the bus says that publishing can be expected to work.
pub async fn until_ready(bus: &dyn Bus, handle: &Handle) {
    let ready = async {
        while !bus.ready() {
            handle.sleep(Duration::from_millis(10)).await;
        }
    };
    handle.within(PATIENCE, ready).await.expect("the bus becomes ready: is RabbitMQ running (`make up`)?");
}

/// Subscribes, trying again while the bus is unavailable.
pub async fn subscribe(bus: &dyn Bus, handle: &Handle, queue: Queue, prefetch: u16) -> Box<dyn Subscription> {
    let subscribing = async {
        loop {
            match bus.subscribe(queue, prefetch).await {
                Ok(subscription) => return subscription,
                Err(_unavailable) => handle.sleep(Duration::from_millis(10)).await,
            }
        }
    };
    handle.within(PATIENCE, subscribing).await.expect("a subscription")
}

/// Receives exactly `count` messages and acknowledges them.
pub async fn receive_and_ack(
    subscription: &mut dyn Subscription,
    handle: &Handle,
    count: usize,
) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        let linger = at_once(count - deliveries.len());
        let received = handle.within(PATIENCE, subscription.receive(linger)).await;
        let Some(received) = received else {
            panic!("received {} of {count} messages", deliveries.len());
        };
        let received = received.expect("a subscription that lasts");
        subscription.ack_through(received.last().expect("at least one").tag).await.expect("acknowledged");
        deliveries.extend(received);
    }
    deliveries
}

/// Takes what there is, without waiting for more.
pub const fn at_once(messages_max: usize) -> Linger {
    Linger { messages_max, after_first: Duration::ZERO }
}

/// The message ids, in order.
pub fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.message_id.as_deref().unwrap_or("none")).collect()
}

struct Contract<'a> {
    bus: &'a dyn Bus,
    handle: &'a Handle,
}

impl Contract<'_> {
    async fn a_message_is_delivered_once_and_as_it_was_published(&self) {
        let published = message("as it was");
        self.bus.publish(published.clone()).await.unwrap();
        let mut subscription = self.subscribe(10).await;
        let received = receive_and_ack(&mut *subscription, self.handle, 1).await.remove(0);
        assert!(!received.redelivered);
        assert_eq!(received.routing_key, published.routing_key);
        assert_eq!(received.message_id.as_deref(), Some("as it was"));
        assert_eq!(received.body, published.body);
        for (name, value) in published.headers.iter() {
            assert_eq!(received.headers.value(name), Some(value), "{name}");
        }
        self.expect_quiet(&mut *subscription).await;
        subscription.close().await;
        self.expect_empty().await;
    }

    async fn messages_come_in_the_order_of_their_confirms(&self) {
        let published = self.publish("order", 30).await;
        let mut subscription = self.subscribe(50).await;
        let received = receive_and_ack(&mut *subscription, self.handle, 30).await;
        assert_eq!(ids(&received), published);
        assert!(received.windows(2).all(|pair| pair[0].tag < pair[1].tag));
        subscription.close().await;
    }

    async fn many_publishes_at_once_are_all_confirmed_and_delivered(&self) {
        let published: Vec<String> = (0..200).map(|n| format!("many {n:03}")).collect();
        let confirmed = join_all(published.iter().map(|id| self.bus.publish(message(id)))).await;
        assert!(confirmed.iter().all(Result::is_ok), "{confirmed:?}");
        let mut subscription = self.subscribe(64).await;
        let received = receive_and_ack(&mut *subscription, self.handle, 200).await;
        subscription.close().await;
        let mut received = ids(&received);
        received.sort_unstable();
        assert_eq!(received, published);
    }

    async fn a_publish_whose_caller_has_gone_still_arrives(&self) {
        assert!(self.bus.publish(message("hung up")).now_or_never().is_none(), "confirmed in no time");
        let mut subscription = self.subscribe(1).await;
        assert_eq!(ids(&receive_and_ack(&mut *subscription, self.handle, 1).await), ["hung up"]);
        subscription.close().await;
    }

    async fn a_subscription_holds_no_more_than_its_prefetch(&self) {
        let published = self.publish("prefetch", 5).await;
        let mut subscription = self.subscribe(2).await;
        let mut received = Vec::new();
        for (expected, after_first) in [(2, PATIENCE), (2, PATIENCE), (1, QUIET)] {
            let began = self.handle.monotonic();
            let batch = subscription.receive(Linger { messages_max: 10, after_first }).await.unwrap();
            assert_eq!(batch.len(), expected);
            assert!(self.handle.monotonic() < began + PATIENCE, "waited although no more could come");
            subscription.ack_through(batch[expected - 1].tag).await.unwrap();
            received.extend(batch);
        }
        assert_eq!(ids(&received), published);
        subscription.close().await;
    }

    async fn receiving_ends_with_enough_messages_or_after_the_linger(&self) {
        let published = self.publish("linger", 3).await;
        let mut subscription = self.subscribe(10).await;
        let began = self.handle.monotonic();
        let patient = Linger { messages_max: 2, after_first: PATIENCE };
        let enough = subscription.receive(patient).await.unwrap();
        assert!(self.handle.monotonic() < began + PATIENCE, "waited although it had enough");
        assert_eq!(enough.len(), 2);
        let began = self.handle.monotonic();
        let rest = subscription.receive(Linger { messages_max: 2, after_first: QUIET }).await.unwrap();
        assert!(self.handle.monotonic() >= began + QUIET, "did not wait for more");
        let received = [enough, rest].concat();
        assert_eq!(ids(&received), published);
        subscription.ack_through(received[2].tag).await.unwrap();
        subscription.close().await;
    }

    async fn receiving_can_be_given_up_without_losing_a_message(&self) {
        let mut subscription = self.subscribe(10).await;
        for after_first in [PATIENCE, PATIENCE] {
            let linger = Linger { messages_max: 10, after_first };
            assert!(self.handle.within(QUIET, subscription.receive(linger)).await.is_none());
            self.publish("given up", 1).await;
        }
        let received = receive_and_ack(&mut *subscription, self.handle, 2).await;
        assert!(received.iter().all(|delivery| !delivery.redelivered));
        subscription.close().await;
    }

    async fn an_acknowledgement_covers_all_before_it_and_nothing_after(&self) {
        let published = self.publish("through", 5).await;
        let mut subscription = self.subscribe(10).await;
        let received = self.receive(&mut *subscription, 5).await;
        subscription.ack_through(received[2].tag).await.unwrap();
        subscription.close().await;
        let mut subscription = self.subscribe(10).await;
        let rest = receive_and_ack(&mut *subscription, self.handle, 2).await;
        assert_eq!(ids(&rest), published[3..]);
        self.expect_quiet(&mut *subscription).await;
        subscription.close().await;
    }

    async fn acknowledging_twice_is_harmless_and_what_was_not_received_is_refused(&self) {
        self.publish("twice", 2).await;
        let mut subscription = self.subscribe(10).await;
        let first = subscription.receive(at_once(1)).await.unwrap().remove(0);
        let unreceived = DeliveryTag(first.tag.0 + 1);
        subscription.ack_through(unreceived).await.unwrap_err();
        subscription.ack_through(first.tag).await.unwrap();
        subscription.ack_through(first.tag).await.unwrap();
        receive_and_ack(&mut *subscription, self.handle, 1).await;
        subscription.close().await;
    }

    async fn what_is_not_acknowledged_comes_back_redelivered_and_in_order(&self) {
        let published = self.publish("back", 4).await;
        for way in ["closed", "dropped"] {
            let mut subscription = self.subscribe(10).await;
            let received = self.receive(&mut *subscription, 4).await;
            assert_eq!(ids(&received), published, "{way}");
            assert!(received.iter().all(|delivery| delivery.redelivered == (way == "dropped")), "{way}");
            match way {
                "closed" => subscription.close().await,
                _ => drop(subscription),
            }
        }
        let mut subscription = self.subscribe(10).await;
        let received = receive_and_ack(&mut *subscription, self.handle, 4).await;
        assert_eq!(ids(&received), published);
        assert!(received.iter().all(|delivery| delivery.redelivered));
        subscription.close().await;
    }

    async fn widening_lets_more_through(&self) {
        let published = self.publish("wide", 6).await;
        let mut subscription = self.subscribe(1).await;
        let mut received = self.receive(&mut *subscription, 1).await;
        self.expect_quiet(&mut *subscription).await;
        subscription.widen(4).await.unwrap();
        received.extend(self.receive(&mut *subscription, 3).await);
        assert_eq!(ids(&received), published[..4], "with one in hand");
        assert!(
            received.iter().all(|delivery| !delivery.redelivered),
            "widened while nothing was on its way"
        );
        subscription.ack_through(received[3].tag).await.unwrap();
        received.extend(receive_and_ack(&mut *subscription, self.handle, 2).await);
        assert_eq!(ids(&received), published);
        self.expect_quiet(&mut *subscription).await;
        subscription.close().await;
        self.expect_empty().await;
    }

    async fn widening_loses_repeats_and_reorders_nothing(&self) {
        let published = self.publish("wider", 300).await;
        let mut received = Vec::new();
        let (mut subscription, mut prefetch) = (self.subscribe(1).await, 1_u16);
        while received.len() < published.len() {
            received.extend(receive_and_ack(&mut *subscription, self.handle, 1).await);
            if prefetch < 256 {
                prefetch *= 2;
                subscription.widen(prefetch).await.unwrap();
            }
        }
        assert_eq!(ids(&received), published);
        self.expect_quiet(&mut *subscription).await;
        subscription.close().await;
        self.expect_empty().await;
    }

    async fn two_subscriptions_share_a_queue(&self) {
        let (mut one, mut other) = (self.subscribe(2).await, self.subscribe(2).await);
        let published = self.publish("shared", 4).await;
        let mut received = receive_and_ack(&mut *one, self.handle, 2).await;
        received.extend(receive_and_ack(&mut *other, self.handle, 2).await);
        one.close().await;
        other.close().await;
        let mut received = ids(&received);
        received.sort_unstable();
        assert_eq!(received, published);
    }

    async fn a_message_that_comes_back_too_often_is_dead(&self) {
        self.publish("poison", 1).await;
        for delivery in 0..21 {
            let mut subscription = self.subscribe(1).await;
            let received = self.receive(&mut *subscription, 1).await;
            assert_eq!(received[0].redelivered, delivery > 0);
            subscription.close().await;
        }
        let mut dead = subscribe(self.bus, self.handle, Queue::Dead, 1).await;
        let received = receive_and_ack(&mut *dead, self.handle, 1).await.remove(0);
        assert_eq!(received.message_id.as_deref(), Some("poison 000"));
        assert_eq!(received.body, message("poison 000").body);
        assert_eq!(received.headers.value(header::SOURCE), Some("stripe"));
        assert_eq!(received.headers.value("x-first-death-reason"), Some("delivery_limit"));
        assert_eq!(received.headers.value("x-first-death-queue"), Some(Queue::Ledger.name()));
        dead.close().await;
        self.expect_empty().await;
    }

    async fn what_is_booked_is_taken_though_nobody_wants_it_and_comes_to_no_queue_of_ours(&self) {
        let booked = Outgoing { exchange: Exchange::Booked, ..message("booked") };
        self.bus.publish(booked).await.expect("confirmed");
        for queue in Queue::ALL {
            let mut subscription = subscribe(self.bus, self.handle, queue, 1).await;
            self.expect_quiet(&mut *subscription).await;
            subscription.close().await;
        }
    }

    async fn publish(&self, name: &str, count: usize) -> Vec<String> {
        let ids: Vec<String> = (0..count).map(|n| format!("{name} {n:03}")).collect();
        for id in &ids {
            self.bus.publish(message(id)).await.expect("confirmed");
        }
        ids
    }

    async fn subscribe(&self, prefetch: u16) -> Box<dyn Subscription> {
        subscribe(self.bus, self.handle, Queue::Ledger, prefetch).await
    }

    async fn receive(&self, subscription: &mut dyn Subscription, count: usize) -> Vec<Delivery> {
        let linger = Linger { messages_max: count, after_first: PATIENCE };
        let received = self.handle.within(PATIENCE * 2, subscription.receive(linger)).await;
        let received = received.expect("a message").expect("a subscription that lasts");
        assert_eq!(received.len(), count);
        received
    }

    async fn expect_quiet(&self, subscription: &mut dyn Subscription) {
        let unexpected = self.handle.within(QUIET, subscription.receive(at_once(1))).await;
        assert_eq!(unexpected, None);
    }

    /// Every subscription before must be closed.
    async fn expect_empty(&self) {
        let mut subscription = self.subscribe(1).await;
        self.expect_quiet(&mut *subscription).await;
        subscription.close().await;
    }
}
