//! Messages: confirmed publishing, consumption that acknowledges only what was committed.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use ledger::UnixMillis;

/// The message bus.
pub trait Bus: Send + Sync {
    /// Publishes a message; `Ok` only when the broker has confirmed that it keeps the message.
    fn publish(&self, message: Outgoing) -> BoxFuture<'_, Result<(), NotConfirmed>>;

    /// Starts consuming `queue` with at most `prefetch` unacknowledged messages.
    fn subscribe(
        &self,
        queue: Queue,
        prefetch: u16,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, BusUnavailable>>;

    /// Whether publishing can be expected to work now.
    fn ready(&self) -> bool;
}

/// A stream of deliveries. Dropping it gives back what is not acknowledged.
pub trait Subscription: Send {
    /// Waits for one message, then for more until `linger` is over; at least one, in the order of their tags.
    fn receive(&mut self, linger: Linger) -> BoxFuture<'_, Result<Vec<Delivery>, BusUnavailable>>;

    /// Acknowledges every delivery up to and including `tag`. Call it only after COMMIT.
    fn ack_through(&mut self, tag: DeliveryTag) -> BoxFuture<'_, Result<(), BusUnavailable>>;

    /// Allows this many unacknowledged messages from now on. Cheapest before `ack_through`, while the batch that fills the
    /// prefetch is in hand: nothing is being delivered then that would have to be delivered again.
    fn widen(&mut self, prefetch: u16) -> BoxFuture<'_, Result<(), BusUnavailable>>;

    /// Stops; what is not acknowledged goes back to the queue.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// How many messages to wait for, and how long after the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linger {
    /// At most this many.
    pub messages_max: usize,
    /// At most this long after the first.
    pub after_first: Duration,
}

/// The queues of `countersign.events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// `countersign.ledger`: everything that is published.
    Ledger,
    /// `countersign.unrouted`: what no queue was bound for.
    Unrouted,
    /// `countersign.dead`: what was delivered too often.
    Dead,
}

impl Queue {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ledger, Self::Unrouted, Self::Dead];

    /// Its name on the broker.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ledger => "countersign.ledger",
            Self::Unrouted => "countersign.unrouted",
            Self::Dead => "countersign.dead",
        }
    }
}

/// Where messages are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Exchange {
    /// `countersign.events`: what the processor consumes. Nobody else binds to it.
    Events,
    /// `countersign.booked`: what has been booked, for whoever binds to it.
    Booked,
}

impl Exchange {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Events, Self::Booked];

    /// Its name on the broker.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "countersign.events",
            Self::Booked => "countersign.booked",
        }
    }
}

/// A publish that is not a success. Whether the message arrived is not known; the consumer is idempotent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotConfirmed {
    /// No connection, or the connection ended first.
    #[error("the bus is unreachable")]
    Unreachable,
    /// The broker refused it (nack), returned it, or confirms were off.
    #[error("the broker did not take the message")]
    Refused,
    /// No confirm within the deadline.
    #[error("no confirm within the deadline")]
    Deadline,
}

impl NotConfirmed {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Unreachable, Self::Refused, Self::Deadline];

    /// The word in metrics and spans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Deadline => "deadline",
        }
    }
}

/// The subscription ended or could not be had: subscribe again after a while.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the bus is unavailable: {0}")]
pub struct BusUnavailable(pub String);

/// A message to publish. It is persistent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub exchange: Exchange,
    /// `accepted.<source>.<type>`, …
    pub routing_key: String,
    /// Unique: `<instance>:<sequence>`.
    pub message_id: String,
    /// The AMQP `type`: the kind of message.
    pub kind: &'static str,
    /// The AMQP `timestamp`.
    pub sent_at: UnixMillis,
    /// What can be read without decoding the body.
    pub headers: Headers,
    /// The encoded message.
    pub body: Bytes,
}

/// The number of a delivery within its subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryTag(pub u64);

/// A message received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// To acknowledge it by.
    pub tag: DeliveryTag,
    /// Whether it was delivered before, to whomever.
    pub redelivered: bool,
    /// The routing key it was published with.
    pub routing_key: String,
    /// Its AMQP message id, if it has one.
    pub message_id: Option<String>,
    /// Its headers.
    pub headers: Headers,
    /// The encoded message.
    pub body: Bytes,
}

/// Names of the headers that travel beside a message.
pub mod header {
    /// The version of the body's format: `wire::FORMAT_VERSION` of the sender.
    pub const FORMAT: &str = "format";
    /// The instance that sent it.
    pub const INSTANCE: &str = "instance";
    /// Its number there.
    pub const SEQUENCE: &str = "sequence";
    /// The source.
    pub const SOURCE: &str = "source";
    /// The provider's account.
    pub const ACCOUNT: &str = "account";
    /// `live` or `test`.
    pub const LIVEMODE: &str = "livemode";
    /// The provider's event id.
    pub const EVENT_ID: &str = "event_id";
    /// The provider's event type.
    pub const EVENT_TYPE: &str = "event_type";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
}

/// Short texts by name: what a person with the management page can read, and what names a message that does not decode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(BTreeMap<String, String>);

impl Headers {
    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// The value of a header.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}
