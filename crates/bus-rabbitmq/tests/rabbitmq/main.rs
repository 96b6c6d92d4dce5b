//! The adapter on a real broker: the contract of the port, and what only a broker can do to it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed expectation is how a test reports")]

mod booked;
mod consuming;
mod faults;
mod publishing;
mod returned;

use core::time::Duration;

use bus_rabbitmq::{Address, RabbitMq, Settings};
use ports::{Bus as _, Handle};
use runtime::TokioExecutor;
use testkit::contract::bus::{message, until_ready};
use testkit::servers::rabbitmq::Vhost;

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bus on a vhost of its own.
struct Broker {
    bus: RabbitMq,
    handle: Handle,
    vhost: Vhost,
}

impl Broker {
    /// Connected.
    async fn ready() -> Self {
        let vhost = Vhost::fresh().await;
        let handle = TokioExecutor::handle();
        let bus = RabbitMq::connect(settings(vhost.amqp_url()), handle.clone());
        until_ready(&bus, &handle).await;
        Self { bus, handle, vhost }
    }
}

fn settings(amqp_url: &str) -> Settings {
    let address: Address = amqp_url.parse().expect("an AMQP URL");
    Settings::new(address, "test")
}

/// Waits until `condition` holds.
async fn until(handle: &Handle, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let holding = async {
        while !condition().await {
            handle.sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(handle.within(PATIENCE, holding).await.is_some(), "in vain: {what}");
}

/// Publishing works again, without a restart.
async fn publish_in_the_end(bus: &RabbitMq, handle: &Handle, id: &str) {
    until(handle, "publishing works again", async || bus.publish(message(id)).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_over_rabbitmq_keep_the_contract() {
    let broker = Broker::ready().await;
    testkit::contract::bus::all(&broker.bus, &broker.handle).await;
    broker.bus.close().await;
}
