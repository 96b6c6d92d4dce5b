//! The exchanges and queues of the bus, and the order in which they come to be.
//!
//! Arguments are for life: a queue that exists with others is refused (406) until somebody deletes or migrates it.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};
use ports::{Exchange, Queue};

use crate::link::{Link, LinkError};
use crate::settings::Declare;

/// Deliveries of a message after which it is dead. Written out, because the default is none before RabbitMQ 4.0 and 20
/// after; never -1, which 3.10 takes for zero.
const DELIVERIES: i32 = 20;

/// The same for the queue that has nowhere further to go: there the limit would mean deletion.
const LAST_DELIVERIES: i32 = 100_000;

/// What a channel is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Exchange(Exchange),
    Queue(Queue),
}

/// Declares everything, each thing after what it refers to: at-least-once dead-lettering retries only every three minutes
/// what it could not route, and an absent alternate exchange is a lost message. Or looks for what is used here.
pub(crate) async fn establish(
    link: &Link,
    channel: &Channel,
    declare: Declare,
    place: Place,
) -> Result<(), LinkError> {
    let topology = Topology { link, channel };
    match declare {
        Declare::Passive => topology.look(place).await,
        Declare::Declare => {
            topology.dead().await?;
            topology.unrouted().await?;
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
    async fn dead(&self) -> Result<(), LinkError> {
        let arguments = table([
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", AMQPValue::LongInt(LAST_DELIVERIES)),
        ]);
        self.behind_a_fanout(Queue::Dead, arguments).await
    }

    /// Its messages may end their processor as any others may, so they too are dead in the end.
    async fn unrouted(&self) -> Result<(), LinkError> {
        self.behind_a_fanout(Queue::Unrouted, mortal()).await
    }

    /// A fanout exchange and its queue, of the same name.
    async fn behind_a_fanout(&self, queue: Queue, arguments: FieldTable) -> Result<(), LinkError> {
        let name = queue.name();
        self.exchange(name, ExchangeKind::Fanout, FieldTable::default()).await?;
        self.queue(name, arguments).await?;
        self.bind(name, name, "").await
    }

    async fn events(&self) -> Result<(), LinkError> {
        let arguments = table([("alternate-exchange", text(Queue::Unrouted.name()))]);
        self.exchange(Exchange::Events.name(), ExchangeKind::Topic, arguments).await
    }

    async fn ledger(&self) -> Result<(), LinkError> {
        let name = Queue::Ledger.name();
        self.queue(name, mortal()).await?;
        self.bind(name, Exchange::Events.name(), "#").await
    }

    /// Brokers from 4.2.6 on want a right even for a look, so nothing is looked at but what is used.
    async fn look(&self, place: Place) -> Result<(), LinkError> {
        let arguments = FieldTable::default();
        match place {
            Place::Exchange(exchange) => {
                let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
                let any_kind = ExchangeKind::Topic; // Not compared by a passive declaration.
                let name = exchange.name().into();
                self.link.request(self.channel.exchange_declare(name, any_kind, options, arguments)).await
            }
            Place::Queue(queue) => {
                let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                let looking = self.channel.queue_declare(queue.name().into(), options, arguments);
                self.link.request(looking).await.map(drop)
            }
        }
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

/// A queue whose messages are dead after too many deliveries. Dead-lettering at least once needs all of strategy, overflow
/// and exchange; with one missing it is silently at most once.
fn mortal() -> FieldTable {
    table([
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongInt(DELIVERIES)),
        ("x-dead-letter-exchange", text(Queue::Dead.name())),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ])
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
