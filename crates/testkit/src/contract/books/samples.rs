//! Records for the contract of the books, and for whoever else needs some.

use std::collections::BTreeSet;

use bytes::Bytes;
use ledger::{
    Account, EventId, EventKey, EventType, Livemode, Movement, MovementKey, MovementKind, ObjectId, Part,
    PostingTable, Provider, ProviderAccount, Reason, Source, TraceId, Transaction, UnixMillis,
};
use money::{Amount, Currency};
use ports::{Decision, DeliveryRecord, EventRecord, Filing, Record};
use wire::{Fingerprint, InstanceId, ReplayCheck, Sequence};

/// An instant in 2026.
pub const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

/// The accounts that the samples post to.
pub fn accounts() -> BTreeSet<Account> {
    PostingTable::built_in().accounts([&stripe()]).unwrap()
}

/// A delivery of one of the contract's instances.
pub fn delivery(instance: u8, sequence: u64) -> DeliveryRecord {
    DeliveryRecord {
        instance: InstanceId::from_bytes([instance; 16]),
        sequence: Sequence(sequence),
        received_at: NOW,
        replay_check: ReplayCheck::Claimed,
        trace_id: Some(TraceId::parse(&format!("{sequence:032x}")).unwrap()),
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
pub fn event(id: &str, event_type: &str, content: u8) -> EventRecord {
    EventRecord {
        key: event_key(id),
        provider: stripe(),
        event_type: EventType::parse(event_type).unwrap(),
        object_id: None,
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
    let gross = Amount::new(minor, Currency::parse("USD").unwrap());
    let movement = Movement { key, occurred_at: NOW.plus_ms(-2000), parts: vec![(Part::Gross, gross)] };
    PostingTable::built_in().post(&movement).unwrap()
}

/// A message with an event that asserts these captures.
pub fn booking(delivery: DeliveryRecord, id: &str, captures: &[(&str, i64)]) -> Record {
    let asserted = captures.iter().map(|(charge, minor)| capture(charge, *minor)).collect();
    Record { delivery, filing: Filing::Event(event(id, "charge.succeeded", 1), Decision::Book(asserted)) }
}

/// A message with an event that is not to be booked.
pub fn keeping(delivery: DeliveryRecord, id: &str, reason: Reason) -> Record {
    Record { delivery, filing: Filing::Event(event(id, "price.created", 1), Decision::Keep(reason)) }
}

/// A message that does not decode.
pub fn evidence(delivery: DeliveryRecord, id: Option<&str>) -> Record {
    let body = Bytes::from_static(b"\xff\x00\xfe");
    Record {
        delivery,
        filing: Filing::Evidence {
            key: id.map(event_key),
            reason: Reason::Undecodable,
            body,
            broker_history: None,
        },
    }
}

/// The same message with another content under the same id.
#[must_use]
pub fn with_fingerprint(mut record: Record, fingerprint: Fingerprint) -> Record {
    if let Filing::Event(event, _) = &mut record.filing {
        event.fingerprint = fingerprint;
    }
    record
}

fn stripe() -> Provider {
    Provider::parse("stripe").unwrap()
}
