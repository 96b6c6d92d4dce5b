//! The exchanges and queues of the bus, and the order in which they come to be.
//!
//! Arguments are for life: a queue that exists with others is refused (406) until somebody deletes or migrates it.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};
use ports::{Exchange, Queue};

use crate::link::{Link, LinkError};
use crate::settings::Declare;

/// Deliveries of a message of `countersign.ledger` after which it is dead. Written out, because the default is none
/// before RabbitMQ 4.0 and 20 after; never -1, which 3.10 takes for zero.
const LEDGER_DELIVERIES: i32 = 20;

/// The same for the queues that have nowhere further to go: there the limit would mean deletion.
const LAST_RESORT_DELIVERIES: i32 = 100_000;

/// Declares or looks for everything, each thing after what it refers to: at-least-once dead-lettering retries only
/// every three minutes what it could not route, and an absent alternate exchange is a lost message.
pub(crate) async fn establish(link: &Link, channel: &Channel, declare: Declare) -> Result<(), LinkError> {
    let topology = Topology { link, channel };
    match declare {
        Declare::Passive => topology.look().await,
        Declare::Declare => {
            topology.last_resort(Queue::Unrouted).await?;
            topology.last_resort(Queue::Dead).await?;
            topology.events().await?;
            topology.ledger().await?;
            topology.exchange(Exchange::Booked.name(), ExchangeKind::Topic, FieldTable::default()).await
        }
    }
}

struct Topology<'a> {
    link: &'a Link,
    channel: &'a Channel,
}

impl Topology<'_> {
    /// A fanout exchange and its quorum queue, of the same name.
    async fn last_resort(&self, queue: Queue) -> Result<(), LinkError> {
        let name = queue.name();
        self.exchange(name, ExchangeKind::Fanout, FieldTable::default()).await?;
        let arguments = table([
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", AMQPValue::LongInt(LAST_RESORT_DELIVERIES)),
        ]);
        self.queue(name, arguments).await?;
        self.bind(name, name, "").await
    }

    async fn events(&self) -> Result<(), LinkError> {
        let arguments = table([("alternate-exchange", text(Queue::Unrouted.name()))]);
        self.exchange(Exchange::Events.name(), ExchangeKind::Topic, arguments).await
    }

    /// Dead-lettering at least once needs all of strategy, overflow and exchange; with one missing it is silently at
    /// most once.
    async fn ledger(&self) -> Result<(), LinkError> {
        let name = Queue::Ledger.name();
        let arguments = table([
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", AMQPValue::LongInt(LEDGER_DELIVERIES)),
            ("x-dead-letter-exchange", text(Queue::Dead.name())),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ]);
        self.queue(name, arguments).await?;
        self.bind(name, Exchange::Events.name(), "#").await
    }

    async fn look(&self) -> Result<(), LinkError> {
        let [events, booked] = Exchange::ALL.map(Exchange::name);
        for name in [Queue::Unrouted.name(), Queue::Dead.name(), events, booked] {
            let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
            let any_kind = ExchangeKind::Topic; // Not compared by a passive declaration.
            let looking =
                self.channel.exchange_declare(name.into(), any_kind, options, FieldTable::default());
            self.link.request(looking).await?;
        }
        for queue in Queue::ALL {
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let looking = self.channel.queue_declare(queue.name().into(), options, FieldTable::default());
            self.link.request(looking).await?;
        }
        Ok(())
    }

    async fn exchange(&self, name: &str, kind: ExchangeKind, arguments: FieldTable) -> Result<(), LinkError> {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        self.link.request(self.channel.exchange_declare(name.into(), kind, options, arguments)).await
    }

    async fn queue(&self, name: &str, arguments: FieldTable) -> Result<(), LinkError> {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.link.request(self.channel.queue_declare(name.into(), options, arguments)).await?;
        Ok(())
    }

    async fn bind(&self, queue: &str, exchange: &str, key: &str) -> Result<(), LinkError> {
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let binding = self.channel.queue_bind(queue.into(), exchange.into(), key.into(), options, arguments);
        self.link.request(binding).await
    }
}

fn table<const N: usize>(arguments: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert(name.into(), value);
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}
