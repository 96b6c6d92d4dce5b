//! Records for the contract of the books, and for whoever else needs some.

use std::collections::BTreeSet;

use bytes::Bytes;
use ledger::{
    Account, EventId, EventKey, EventType, Livemode, Movement, MovementKey, MovementKind, ObjectId, Part,
    PostingTable, Provider, ProviderAccount, Reason, Source, TraceId, Transaction, UnixMillis,
};
use money::{Amount, Currency};
use ports::{Decision, DeliveryRecord, EventRecord, Filing, Gate, Record, Subject};
use wire::{
    AcceptedEvent, BusMessage, Event, Evidence, Fingerprint, InstanceId, Origin, RefusedDelivery,
    ReplayCheck, Sequence,
};

/// An instant in 2026.
pub const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

/// The accounts that the samples post to.
pub fn accounts() -> BTreeSet<Account> {
    PostingTable::built_in().accounts([&stripe()]).unwrap()
}

/// A delivery of one of the contract's instances, accepted, with a message that does not decode: [`filed`] gives it one
/// that does.
pub fn delivery(instance: u8, sequence: u64) -> DeliveryRecord {
    DeliveryRecord {
        origin: Origin {
            instance: InstanceId::from_bytes([instance; 16]),
            sequence: Sequence(sequence),
            received_at: NOW,
            replay_check: ReplayCheck::Claimed,
        },
        gate: Gate::Accepted,
        trace_id: Some(TraceId::parse(&format!("{sequence:032x}")).unwrap()),
        message: Bytes::from_static(b"\xff\x00\xfe"),
    }
}

/// The key of an event of source `stripe`.
pub fn event_key(id: &str) -> EventKey {
    EventKey {
        source: Source::parse("stripe").unwrap(),
        account: ProviderAccount::parse("acct_dev").unwrap(),
        livemode: Livemode::Test,
        event_id: EventId::parse(id).unwrap(),
    }
}

/// An event whose content is told by `content`.
pub fn event(id: &str, event_type: &str, content: u8) -> Event {
    Event {
        key: event_key(id),
        provider: stripe(),
        event_type: EventType::parse(event_type).unwrap(),
        object_id: None,
        own_account: ProviderAccount::parse("acct_dev").unwrap(),
        occurred_at: NOW.plus_ms(-2000),
        fingerprint: Fingerprint { version: 1, digest: [content; 32] },
        keep_list_version: 1,
        payload: Bytes::from(format!("{{\"id\":\"{id}\",\"content\":{content}}}")),
    }
}

/// The key of the capture of a charge.
pub fn capture_key(charge: &str) -> MovementKey {
    MovementKey {
        provider: stripe(),
        account: ProviderAccount::parse("acct_dev").unwrap(),
        livemode: Livemode::Test,
        object_id: ObjectId::parse(charge).unwrap(),
        kind: MovementKind::Capture,
    }
}

/// The capture of a charge, in cents of USD.
pub fn capture(charge: &str, minor: i64) -> Transaction {
    capture_of(capture_key(charge), minor)
}

/// A capture, in cents of USD.
pub fn capture_of(key: MovementKey, minor: i64) -> Transaction {
    let parts = vec![(Part::Gross, dollars(minor))];
    let movement = Movement { key, occurred_at: NOW.plus_ms(-2000), settles: None, parts };
    PostingTable::built_in().post(&movement).unwrap()
}

/// Cents of USD.
pub fn dollars(minor: i64) -> Amount {
    Amount::new(minor, Currency::parse("USD").unwrap())
}

/// The decision to book these captures.
pub fn captures(captures: &[(&str, i64)]) -> Decision {
    Decision::Book(captures.iter().map(|(charge, minor)| capture(charge, *minor)).collect())
}

/// An event, decided; its object shows no amount.
pub fn decided(event: Event, decision: Decision) -> EventRecord {
    EventRecord { event, money: None, decision }
}

/// A message with this event, as the gate sends it.
pub fn filed(mut delivery: DeliveryRecord, record: EventRecord) -> Record {
    delivery.message = message_of(&delivery, &record);
    Record { delivery, filing: Filing::Event(record) }
}

/// A message with an event that asserts these captures.
pub fn booking(delivery: DeliveryRecord, id: &str, asserted: &[(&str, i64)]) -> Record {
    let money = asserted.first().map(|(_, minor)| dollars(*minor));
    let event = event(id, "charge.succeeded", 1);
    filed(delivery, EventRecord { event, money, decision: captures(asserted) })
}

/// A message with an event that is not to be booked; refused by the gate, if the reason is one of the gate's.
pub fn keeping(mut delivery: DeliveryRecord, id: &str, reason: Reason) -> Record {
    if reason.is_of_gate() {
        delivery.gate = Gate::Refused;
    }
    filed(delivery, decided(event(id, "price.created", 1), Decision::Keep(reason)))
}

/// A message with an event that the gate refused, and what its object shows.
pub fn refusing(delivery: DeliveryRecord, id: &str, reason: Reason, money: Option<Amount>) -> Record {
    let event = event(id, "charge.succeeded", 1);
    let delivery = DeliveryRecord { gate: Gate::Refused, ..delivery };
    filed(delivery, EventRecord { event, money, decision: Decision::Keep(reason) })
}

/// A message that does not decode.
pub fn evidence(delivery: DeliveryRecord, id: Option<&str>) -> Record {
    let subject = id.map_or(Subject::Unknown, |id| Subject::Event(event_key(id)));
    Record {
        delivery,
        filing: Filing::Evidence { subject, reason: Reason::Undecodable, broker_history: None },
    }
}

/// The same message, kept for this reason as evidence only; it decodes to the event it holds.
pub fn set_aside(record: Record, reason: Reason) -> Record {
    let Record { delivery, filing: Filing::Event(EventRecord { event, .. }) } = record else {
        panic!("evidence already: {record:?}")
    };
    let filing = Filing::Evidence {
        subject: Subject::Event(event.key),
        reason,
        broker_history: Some("[]".to_owned()),
    };
    Record { delivery, filing }
}

/// A body that is no event, as the gate tells of it.
pub fn body_refused(mut delivery: DeliveryRecord) -> Record {
    let source = event_key("evt").source;
    let (origin, reason) = (delivery.origin, Reason::PayloadInvalid);
    let evidence = Evidence::Body { sha256: [5; 32], length: 2 };
    let message = RefusedDelivery { origin, source: source.clone(), reason, evidence };
    delivery.gate = Gate::Refused;
    delivery.message = BusMessage::Refused(message).encode();
    Record {
        delivery,
        filing: Filing::Evidence { subject: Subject::Source(source), reason, broker_history: None },
    }
}

/// The same message with another content under the same id.
#[must_use]
pub fn with_fingerprint(mut record: Record, fingerprint: Fingerprint) -> Record {
    if let Filing::Event(of) = &mut record.filing {
        of.event.fingerprint = fingerprint;
        record.delivery.message = message_of(&record.delivery, of);
    }
    record
}

fn message_of(delivery: &DeliveryRecord, record: &EventRecord) -> Bytes {
    let (origin, event) = (delivery.origin, record.event.clone());
    let message = match (delivery.gate, &record.decision) {
        (Gate::Refused, Decision::Keep(reason)) => BusMessage::Refused(RefusedDelivery {
            origin,
            source: event.key.source.clone(),
            reason: *reason,
            evidence: Evidence::Event(event),
        }),
        (Gate::Accepted | Gate::Refused, _) => BusMessage::Accepted(AcceptedEvent { origin, event }),
    };
    message.encode()
}

fn stripe() -> Provider {
    Provider::parse("stripe").unwrap()
}
