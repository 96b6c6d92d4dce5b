//! What becomes of the announcements that other teams may bind to.

use ports::{Bus as _, Exchange, Headers, NotConfirmed, Outgoing, Queue, header};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::contract::bus::message;
use testkit::servers::rabbitmq::RawMessage;

use crate::{Broker, publish_in_the_end};

fn booked(event_id: &str) -> Outgoing {
    Outgoing {
        exchange: Exchange::Booked,
        routing_key: "booked.stripe.charge.succeeded".to_owned(),
        kind: "BookedEvent",
        headers: Headers::default().with(header::EVENT_ID, event_id),
        body: "{\"outcome\":\"booked\"}".into(),
        ..message(event_id)
    }
}

impl Broker {
    /// A queue of another team, bound to what is booked.
    async fn bind_foreign(&self, routing_key: &str, arguments: Value) {
        let queue = json!({ "durable": true, "arguments": arguments });
        self.vhost.api(Method::PUT, "queues/{vhost}/reporting", queue).await;
        let binding = json!({ "routing_key": routing_key });
        self.vhost.api(Method::POST, "bindings/{vhost}/e/countersign.booked/q/reporting", binding).await;
    }

    async fn take_foreign(&self) -> Vec<RawMessage> {
        let how = json!({ "count": 10, "ackmode": "ack_requeue_false", "encoding": "base64" });
        let messages = self.vhost.api(Method::POST, "queues/{vhost}/reporting/get", how).await;
        serde_json::from_value(messages).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_booked_reaches_whoever_binds_to_it_and_no_queue_of_ours() {
    let broker = Broker::ready().await;
    broker.bus.publish(booked("before anybody was bound")).await.unwrap();
    broker.bind_foreign("booked.stripe.#", json!({})).await;
    broker.bus.publish(booked("evt_1")).await.unwrap();
    let elsewhere = "booked.telegram.message".to_owned();
    broker.bus.publish(Outgoing { routing_key: elsewhere, ..booked("evt_2") }).await.unwrap();
    let taken = broker.take_foreign().await;
    let [taken] = taken.as_slice() else { panic!("one message: {taken:?}") };
    assert_eq!(taken.routing_key, "booked.stripe.charge.succeeded");
    assert_eq!(taken.body(), b"{\"outcome\":\"booked\"}");
    assert_eq!(taken.property("content_type"), Some("application/json"));
    assert_eq!(taken.property("type"), Some("BookedEvent"));
    assert_eq!(taken.property("message_id"), Some("evt_1"));
    assert_eq!(taken.properties["delivery_mode"], 2);
    assert_eq!(taken.header(header::EVENT_ID), Some("evt_1"));
    for queue in Queue::ALL {
        assert_eq!(broker.vhost.depth(queue).await, 0, "{queue:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_of_somebody_else_refuses_what_is_booked_and_harms_no_event() {
    let broker = Broker::ready().await;
    broker.bind_foreign("#", json!({ "x-max-length": 1, "x-overflow": "reject-publish" })).await;
    broker.bus.publish(booked("evt_1")).await.unwrap();
    assert_eq!(broker.bus.publish(booked("evt_2")).await, Err(NotConfirmed::Refused));
    let connections = broker.vhost.connections().await;
    broker.bus.publish(message("an event")).await.unwrap();
    assert_eq!(broker.vhost.connections().await, connections);
    assert_eq!(broker.vhost.take(Queue::Ledger, 10).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_somebody_deleted_is_made_anew() {
    let broker = Broker::ready().await;
    broker.vhost.api(Method::DELETE, "exchanges/{vhost}/countersign.booked", Value::Null).await;
    broker.bus.publish(booked("into the void")).await.unwrap_err();
    publish_in_the_end(&broker.bus, &broker.handle, "an event").await;
    broker.bind_foreign("#", json!({})).await;
    broker.bus.publish(booked("evt_1")).await.unwrap();
    assert_eq!(broker.take_foreign().await.len(), 1);
}
