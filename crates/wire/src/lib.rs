#![doc = include_str!("../README.md")]

use bytes::Bytes;
use ledger::{EventKey, EventType, IdInvalid, ObjectId, Provider, UnixMillis};
use prost::Message as _;

mod id;

pub use id::{Fingerprint, InstanceId, Sequence};

#[expect(unreachable_pub, reason = "generated from proto/, documented there")]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/countersign.v1.rs"));
}

/// The version of the format: the number in the name of the protobuf package.
pub const FORMAT_VERSION: u8 = 1;

/// One message of the exchange `countersign.events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusMessage {
    /// An authentic, fresh event.
    Accepted(AcceptedEvent),
}

/// An authentic event that the ingress accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedEvent {
    /// The ingress process that accepted it.
    pub instance: InstanceId,
    /// Its number there.
    pub sequence: Sequence,
    /// What makes it one event.
    pub key: EventKey,
    /// The provider whose scheme its source speaks.
    pub provider: Provider,
    /// What happened, in the provider's words.
    pub event_type: EventType,
    /// The object it shows.
    pub object_id: Option<ObjectId>,
    /// The event's own creation.
    pub occurred_at: UnixMillis,
    /// Its arrival at the ingress.
    pub received_at: UnixMillis,
    /// What must be the same in every delivery of it.
    pub fingerprint: Fingerprint,
    /// The version of the keep-list that the payload was minimised with.
    pub keep_list_version: u32,
    /// The minimised event: JSON.
    pub payload: Bytes,
    /// Whether the cache was asked for a replay.
    pub replay_check: ReplayCheck,
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
    /// The fingerprint or the instance has another length.
    #[error("field {0} has the wrong length")]
    Length(&'static str),
}

impl BusMessage {
    /// The bytes that travel.
    pub fn encode(&self) -> Bytes {
        let Self::Accepted(event) = self;
        let accepted = proto::AcceptedEvent {
            instance: event.instance.to_string(),
            sequence: event.sequence.0,
            source: event.key.source.to_string(),
            provider: event.provider.to_string(),
            account: event.key.account.to_string(),
            livemode: event.key.livemode.is_live(),
            event_id: event.key.event_id.to_string(),
            event_type: event.event_type.to_string(),
            object_id: event.object_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            occurred_at_ms: event.occurred_at.0,
            received_at_ms: event.received_at.0,
            fingerprint_version: u32::from(event.fingerprint.version),
            fingerprint: Bytes::copy_from_slice(&event.fingerprint.digest),
            keep_list_version: event.keep_list_version,
            payload: event.payload.clone(),
            replay_unchecked: event.replay_check == ReplayCheck::Bypassed,
        };
        proto::BusMessage { kind: Some(proto::bus_message::Kind::Accepted(accepted)) }.encode_to_vec().into()
    }

    /// The message of these bytes.
    pub fn decode(bytes: Bytes) -> Result<Self, Undecodable> {
        let message = proto::BusMessage::decode(bytes).map_err(|_| Undecodable::Format)?;
        let proto::bus_message::Kind::Accepted(event) = message.kind.ok_or(Undecodable::Kind)?;
        Ok(Self::Accepted(AcceptedEvent {
            instance: InstanceId::parse(&event.instance).ok_or(Undecodable::Length("instance"))?,
            sequence: Sequence(event.sequence),
            key: EventKey {
                source: ledger::Source::parse(&event.source)?,
                account: ledger::ProviderAccount::parse(&event.account)?,
                livemode: ledger::Livemode::from_bool(event.livemode),
                event_id: ledger::EventId::parse(&event.event_id)?,
            },
            provider: Provider::parse(&event.provider)?,
            event_type: EventType::parse(&event.event_type)?,
            object_id: match event.object_id.as_str() {
                "" => None,
                id => Some(ObjectId::parse(id)?),
            },
            occurred_at: UnixMillis(event.occurred_at_ms),
            received_at: UnixMillis(event.received_at_ms),
            fingerprint: Fingerprint {
                version: u8::try_from(event.fingerprint_version)
                    .map_err(|_| Undecodable::Length("fingerprint_version"))?,
                digest: event
                    .fingerprint
                    .as_ref()
                    .try_into()
                    .map_err(|_| Undecodable::Length("fingerprint"))?,
            },
            keep_list_version: event.keep_list_version,
            payload: event.payload,
            replay_check: if event.replay_unchecked { ReplayCheck::Bypassed } else { ReplayCheck::Claimed },
        }))
    }
}

#[cfg(test)]
mod tests {
    use ledger::{EventId, Livemode, ProviderAccount, Source};
    use proptest::prelude::*;

    use super::*;

    fn event(id: &str, payload: Vec<u8>, minute: i64) -> AcceptedEvent {
        AcceptedEvent {
            instance: InstanceId::from_bytes([7; 16]),
            sequence: Sequence(1),
            key: EventKey {
                source: Source::parse("stripe").unwrap(),
                account: ProviderAccount::parse("acct_dev").unwrap(),
                livemode: Livemode::Live,
                event_id: EventId::parse(id).unwrap(),
            },
            provider: Provider::parse("stripe").unwrap(),
            event_type: EventType::parse("charge.succeeded").unwrap(),
            object_id: ObjectId::parse("ch_1").ok(),
            occurred_at: UnixMillis(minute * 60_000),
            received_at: UnixMillis(minute * 60_000 + 7),
            fingerprint: Fingerprint { version: 1, digest: [9; 32] },
            keep_list_version: 1,
            payload: payload.into(),
            replay_check: ReplayCheck::Bypassed,
        }
    }

    #[test]
    fn a_message_with_an_id_that_cannot_be_one_does_not_decode() {
        let mut bytes = BusMessage::Accepted(event("evt_1", vec![], 0)).encode().to_vec();
        let at = bytes.windows(5).position(|w| w == b"evt_1").unwrap();
        bytes[at] = b' ';
        assert!(matches!(BusMessage::decode(bytes.into()), Err(Undecodable::Identity(_))));
        assert_eq!(BusMessage::decode(Bytes::new()), Err(Undecodable::Kind));
        assert_eq!(BusMessage::decode(Bytes::from_static(b"\xff\xff")), Err(Undecodable::Format));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(id in "[!-~]{1,255}", payload: Vec<u8>, minute in 0_i64..1_000_000) {
            let message = BusMessage::Accepted(event(&id, payload, minute));
            prop_assert_eq!(BusMessage::decode(message.encode()), Ok(message));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(message) = BusMessage::decode(bytes.into()) {
                prop_assert_eq!(BusMessage::decode(message.encode()), Ok(message));
            }
        }
    }
}
