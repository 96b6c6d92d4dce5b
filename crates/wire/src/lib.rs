#![doc = include_str!("../README.md")]

use bytes::Bytes;
use ledger::{
    ActionId, EventId, EventKey, EventType, IdInvalid, ObjectId, ProblemSlug, Provider, ProviderAccount,
    Reason, Source, UnixMillis,
};
use prost::Message as _;

mod convert;
mod id;

pub use id::{Fingerprint, InstanceId, Sequence};

#[expect(
    unreachable_pub,
    clippy::struct_field_names,
    clippy::large_enum_variant,
    reason = "generated from proto/, documented there"
)]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/countersign.v1.rs"));
}

/// The version of the format: the number in the name of the protobuf package.
pub const FORMAT_VERSION: u8 = 1;

/// One message of the exchange `countersign.events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusMessage {
    /// An authentic event that was accepted.
    Accepted(AcceptedEvent),
    /// Evidence of an authentic delivery that was refused.
    Refused(RefusedDelivery),
    /// What an ingress knows to have been confirmed.
    Control(ControlTotal),
    /// An operator's action to be carried out.
    Request(Request),
}

/// An authentic event, minimised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What makes it one event.
    pub key: EventKey,
    /// The provider whose scheme its source speaks.
    pub provider: Provider,
    /// What happened, in the provider's words.
    pub event_type: EventType,
    /// The object it shows.
    pub object_id: Option<ObjectId>,
    /// The source's own account, as its ingress was told.
    pub own_account: ProviderAccount,
    /// Its own creation.
    pub occurred_at: UnixMillis,
    /// What must be the same in every delivery of it.
    pub fingerprint: Fingerprint,
    /// The version of the keep-list that the payload was minimised with.
    pub keep_list_version: u32,
    /// The minimised event: JSON.
    pub payload: Bytes,
}

/// How a delivery came to the ingress, and which message of its it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The ingress process.
    pub instance: InstanceId,
    /// The message's number there.
    pub sequence: Sequence,
    /// The delivery's arrival.
    pub received_at: UnixMillis,
    /// Whether the cache was asked for a replay.
    pub replay_check: ReplayCheck,
}

/// An event that the ingress accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedEvent {
    /// How it came.
    pub origin: Origin,
    /// The event.
    pub event: Event,
}

/// An authentic delivery that the ingress refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedDelivery {
    /// How it came.
    pub origin: Origin,
    /// Whose it was.
    pub source: Source,
    /// Why.
    pub reason: Reason,
    /// What was refused.
    pub evidence: Evidence,
}

/// What is kept of a refused delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// The event.
    Event(Event),
    /// A body that is no event: its SHA-256 and its length in bytes.
    Body {
        /// SHA-256 of the body.
        sha256: [u8; 32],
        /// Bytes.
        length: u64,
    },
}

/// What an ingress knows to have been confirmed, in one window of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlTotal {
    /// The ingress process.
    pub instance: InstanceId,
    /// The window's number there, from 1 and without gaps.
    pub window: u64,
    /// When it was closed.
    pub closed_at: UnixMillis,
    /// How many messages were confirmed since the instance began.
    pub confirmed: u64,
    /// Those of this window.
    pub listed: Vec<Listed>,
    /// Those of the window before, once more.
    pub previous: Vec<Listed>,
    /// Whether the instance ends with it.
    pub last: bool,
    /// Refusals in minutes that have ended.
    pub refusals: Vec<RefusalCount>,
}

/// A message that was confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub sequence: Sequence,
    /// Its source.
    pub source: Source,
    /// Its event; for a body that is no event, the hex digits of its SHA-256.
    pub event_id: EventId,
}

/// Refusals of one source for one reason within one minute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusalCount {
    /// The source.
    pub source: Source,
    /// The problem.
    pub reason: ProblemSlug,
    /// The minute's beginning.
    pub minute: UnixMillis,
    /// How many.
    pub count: u64,
}

/// An operator's action to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The row in the books without which nothing happens.
    pub action: ActionId,
}

/// Whether the cache was asked for a replay before the event was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayCheck {
    /// It was, and the event was free.
    Claimed,
    /// The cache was away: published all the same, Postgres decides.
    Bypassed,
}

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// Not the protobuf of `proto/`.
    #[error("not a message of this format")]
    Format,
    /// A kind of message that this version does not know.
    #[error("a message of an unknown kind")]
    Kind,
    /// A field cannot be what it should be.
    #[error(transparent)]
    Identity(#[from] IdInvalid),
    /// A field that must be there is missing, or cannot be what it should be.
    #[error("field {0} is missing or malformed")]
    Field(&'static str),
}

impl BusMessage {
    /// The bytes that travel.
    pub fn encode(&self) -> Bytes {
        proto::BusMessage { kind: Some(self.into()) }.encode_to_vec().into()
    }

    /// The message of these bytes.
    pub fn decode(bytes: Bytes) -> Result<Self, Undecodable> {
        let message = proto::BusMessage::decode(bytes).map_err(|_| Undecodable::Format)?;
        message.kind.ok_or(Undecodable::Kind)?.try_into()
    }

    /// Its kind, by name.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "AcceptedEvent",
            Self::Refused(_) => "RefusedDelivery",
            Self::Control(_) => "ControlTotal",
            Self::Request(_) => "Request",
        }
    }
}

impl Event {
    /// The key of this very content, for a content under an id that belongs to another one: the id, `#`, and the first 16
    /// hex digits of the fingerprint. Of an id too long for that, its SHA-256 stands for it.
    pub fn key_of_content(&self) -> EventKey {
        let hex = data_encoding::HEXLOWER;
        let content = hex.encode(self.fingerprint.digest.first_chunk::<8>().unwrap_or(&[0; 8]));
        let id = self.key.event_id.as_str();
        let hashed = || hex.encode(&ledger::content_digest(id.as_bytes()));
        let event_id = EventId::parse(&format!("{id}#{content}"))
            .or_else(|_| EventId::parse(&format!("{}#{content}", hashed())))
            .unwrap_or_else(|_| self.key.event_id.clone());
        EventKey { event_id, ..self.key.clone() }
    }
}

#[cfg(test)]
mod tests;
