//! Between the typed messages and those of `proto/`.

use bytes::Bytes;
use ledger::{
    ActionId, EventId, EventKey, EventType, Livemode, ObjectId, ProblemSlug, Provider, ProviderAccount,
    Reason, Source, UnixMillis,
};

use crate::proto::bus_message::Kind;
use crate::proto::{self, refused_delivery};
use crate::{
    AcceptedEvent, BusMessage, ControlTotal, Event, Evidence, Fingerprint, InstanceId, Listed, Origin,
    RefusalCount, RefusedDelivery, ReplayCheck, Request, Sequence, Undecodable,
};

impl From<&BusMessage> for Kind {
    fn from(message: &BusMessage) -> Self {
        match message {
            BusMessage::Accepted(AcceptedEvent { origin, event }) => Self::Accepted(proto::AcceptedEvent {
                instance: origin.instance.to_string(),
                sequence: origin.sequence.0,
                received_at_ms: origin.received_at.0,
                replay_unchecked: origin.replay_check == ReplayCheck::Bypassed,
                event: Some(event.into()),
            }),
            BusMessage::Refused(RefusedDelivery { origin, source, reason, evidence }) => {
                Self::Refused(proto::RefusedDelivery {
                    instance: origin.instance.to_string(),
                    sequence: origin.sequence.0,
                    received_at_ms: origin.received_at.0,
                    replay_unchecked: origin.replay_check == ReplayCheck::Bypassed,
                    source: source.to_string(),
                    reason: reason.to_string(),
                    evidence: Some(evidence.into()),
                })
            }
            BusMessage::Control(total) => Self::Control(total.into()),
            BusMessage::Request(Request { action }) => Self::Request(proto::Request { action_id: action.0 }),
        }
    }
}

impl From<&Evidence> for refused_delivery::Evidence {
    fn from(evidence: &Evidence) -> Self {
        match evidence {
            Evidence::Event(event) => Self::Event(event.into()),
            Evidence::Body { sha256, length } => {
                Self::Body(proto::Body { sha256: Bytes::copy_from_slice(sha256), length: *length })
            }
        }
    }
}

impl From<&Event> for proto::Event {
    fn from(event: &Event) -> Self {
        Self {
            source: event.key.source.to_string(),
            provider: event.provider.to_string(),
            account: event.key.account.to_string(),
            livemode: event.key.livemode.is_live(),
            event_id: event.key.event_id.to_string(),
            event_type: event.event_type.to_string(),
            object_id: event.object_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            own_account: event.own_account.to_string(),
            occurred_at_ms: event.occurred_at.0,
            fingerprint_version: u32::from(event.fingerprint.version),
            fingerprint: Bytes::copy_from_slice(&event.fingerprint.digest),
            keep_list_version: event.keep_list_version,
            payload: event.payload.clone(),
        }
    }
}

impl From<&ControlTotal> for proto::ControlTotal {
    fn from(total: &ControlTotal) -> Self {
        let listed = |listing: &[Listed]| listing.iter().map(Into::into).collect();
        Self {
            instance: total.instance.to_string(),
            window: total.window,
            closed_at_ms: total.closed_at.0,
            confirmed: total.confirmed,
            listed: listed(&total.listed),
            previous: listed(&total.previous),
            r#final: total.last,
            refusals: total.refusals.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Listed> for proto::Listed {
    fn from(listed: &Listed) -> Self {
        Self {
            sequence: listed.sequence.0,
            source: listed.source.to_string(),
            event_id: listed.event_id.to_string(),
        }
    }
}

impl From<&RefusalCount> for proto::RefusalCount {
    fn from(refusals: &RefusalCount) -> Self {
        Self {
            source: refusals.source.to_string(),
            reason: refusals.reason.to_string(),
            minute_ms: refusals.minute.0,
            count: refusals.count,
        }
    }
}

impl TryFrom<Kind> for BusMessage {
    type Error = Undecodable;

    fn try_from(kind: Kind) -> Result<Self, Undecodable> {
        Ok(match kind {
            Kind::Accepted(accepted) => Self::Accepted(AcceptedEvent {
                origin: Origin {
                    instance: instance(&accepted.instance)?,
                    sequence: Sequence(accepted.sequence),
                    received_at: UnixMillis(accepted.received_at_ms),
                    replay_check: replay_check(accepted.replay_unchecked),
                },
                event: accepted.event.ok_or(Undecodable::Field("event"))?.try_into()?,
            }),
            Kind::Refused(refused) => Self::Refused(RefusedDelivery {
                origin: Origin {
                    instance: instance(&refused.instance)?,
                    sequence: Sequence(refused.sequence),
                    received_at: UnixMillis(refused.received_at_ms),
                    replay_check: replay_check(refused.replay_unchecked),
                },
                source: Source::parse(&refused.source)?,
                reason: Reason::parse(&refused.reason).ok_or(Undecodable::Field("reason"))?,
                evidence: refused.evidence.ok_or(Undecodable::Field("evidence"))?.try_into()?,
            }),
            Kind::Control(total) => Self::Control(total.try_into()?),
            Kind::Request(request) => Self::Request(Request { action: ActionId(request.action_id) }),
        })
    }
}

impl TryFrom<refused_delivery::Evidence> for Evidence {
    type Error = Undecodable;

    fn try_from(evidence: refused_delivery::Evidence) -> Result<Self, Undecodable> {
        Ok(match evidence {
            refused_delivery::Evidence::Event(event) => Self::Event(event.try_into()?),
            refused_delivery::Evidence::Body(body) => Self::Body {
                sha256: body.sha256.as_ref().try_into().map_err(|_| Undecodable::Field("sha256"))?,
                length: body.length,
            },
        })
    }
}

impl TryFrom<proto::Event> for Event {
    type Error = Undecodable;

    fn try_from(event: proto::Event) -> Result<Self, Undecodable> {
        Ok(Self {
            key: EventKey {
                source: Source::parse(&event.source)?,
                account: ProviderAccount::parse(&event.account)?,
                livemode: Livemode::from_bool(event.livemode),
                event_id: EventId::parse(&event.event_id)?,
            },
            provider: Provider::parse(&event.provider)?,
            event_type: EventType::parse(&event.event_type)?,
            object_id: match event.object_id.as_str() {
                "" => None,
                id => Some(ObjectId::parse(id)?),
            },
            own_account: ProviderAccount::parse(&event.own_account)?,
            occurred_at: UnixMillis(event.occurred_at_ms),
            fingerprint: Fingerprint {
                version: event
                    .fingerprint_version
                    .try_into()
                    .map_err(|_| Undecodable::Field("fingerprint_version"))?,
                digest: event
                    .fingerprint
                    .as_ref()
                    .try_into()
                    .map_err(|_| Undecodable::Field("fingerprint"))?,
            },
            keep_list_version: event.keep_list_version,
            payload: event.payload,
        })
    }
}

impl TryFrom<proto::ControlTotal> for ControlTotal {
    type Error = Undecodable;

    fn try_from(total: proto::ControlTotal) -> Result<Self, Undecodable> {
        let listed = |listing: Vec<proto::Listed>| {
            listing.into_iter().map(Listed::try_from).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            instance: instance(&total.instance)?,
            window: total.window,
            closed_at: UnixMillis(total.closed_at_ms),
            confirmed: total.confirmed,
            listed: listed(total.listed)?,
            previous: listed(total.previous)?,
            last: total.r#final,
            refusals: total.refusals.into_iter().map(RefusalCount::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<proto::Listed> for Listed {
    type Error = ledger::IdInvalid;

    fn try_from(listed: proto::Listed) -> Result<Self, ledger::IdInvalid> {
        Ok(Self {
            sequence: Sequence(listed.sequence),
            source: Source::parse(&listed.source)?,
            event_id: EventId::parse(&listed.event_id)?,
        })
    }
}

impl TryFrom<proto::RefusalCount> for RefusalCount {
    type Error = ledger::IdInvalid;

    fn try_from(refusals: proto::RefusalCount) -> Result<Self, ledger::IdInvalid> {
        Ok(Self {
            source: Source::parse(&refusals.source)?,
            reason: ProblemSlug::parse(&refusals.reason)?,
            minute: UnixMillis(refusals.minute_ms),
            count: refusals.count,
        })
    }
}

fn instance(text: &str) -> Result<InstanceId, Undecodable> {
    InstanceId::parse(text).ok_or(Undecodable::Field("instance"))
}

const fn replay_check(unchecked: bool) -> ReplayCheck {
    if unchecked { ReplayCheck::Bypassed } else { ReplayCheck::Claimed }
}
