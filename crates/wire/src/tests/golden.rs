//! Bytes that other versions have put into queues.

use super::*;

/// The bytes of a message of `proto/golden/messages.txt`, by its name there.
fn golden(name: &str) -> Bytes {
    let lines = include_str!("../../../../proto/golden/messages.txt").lines();
    let hex =
        lines.filter_map(|line| line.split_once(' ')).find_map(|(key, hex)| (key == name).then_some(hex));
    data_encoding::HEXLOWER.decode(hex.unwrap().as_bytes()).unwrap().into()
}

fn golden_event(id: &str, object: &str, amount: u32) -> Event {
    let payload = format!(
        "{{\"id\":\"{id}\",\"object\":\"event\",\"created\":1795000000,\"data\":{{\"object\":{{\"id\":\"{object}\",\
         \"object\":\"charge\",\"amount\":{amount},\"amount_captured\":{amount},\"amount_refunded\":0,\
         \"balance_transaction\":null,\"captured\":true,\"created\":1794999990,\"currency\":\"usd\",\"livemode\":false,\
         \"paid\":true,\"payment_intent\":\"pi_of_{object}\",\"refunded\":false,\"status\":\"succeeded\"}}}},\
         \"livemode\":false,\"type\":\"charge.succeeded\"}}"
    );
    Event {
        key: EventKey {
            source: Source::parse("stripe").unwrap(),
            account: ProviderAccount::parse("acct_dev").unwrap(),
            livemode: Livemode::Test,
            event_id: EventId::parse(id).unwrap(),
        },
        provider: Provider::parse("stripe").unwrap(),
        event_type: EventType::parse("charge.succeeded").unwrap(),
        object_id: ObjectId::parse(object).ok(),
        own_account: ProviderAccount::parse("acct_dev").unwrap(),
        occurred_at: UnixMillis(1_795_000_000_000),
        fingerprint: Fingerprint { version: 1, digest: ledger::content_digest(id.as_bytes()) },
        keep_list_version: 1,
        payload: payload.into(),
    }
}

fn instance() -> InstanceId {
    InstanceId::parse("0102030405060708090a0b0c0d0e0f10").unwrap()
}

fn golden_origin(sequence: u64, received_at: i64, replay_check: ReplayCheck) -> Origin {
    Origin {
        instance: instance(),
        sequence: Sequence(sequence),
        received_at: UnixMillis(received_at),
        replay_check,
    }
}

fn refused(origin: Origin, reason: Reason, evidence: Evidence) -> BusMessage {
    BusMessage::Refused(RefusedDelivery {
        origin,
        source: Source::parse("stripe").unwrap(),
        reason,
        evidence,
    })
}

/// What every line stands for.
fn meant(name: &str) -> BusMessage {
    let listed = |sequence, id: &str| Listed {
        sequence: Sequence(sequence),
        source: Source::parse("stripe").unwrap(),
        event_id: EventId::parse(id).unwrap(),
    };
    let no_event = ledger::content_digest(b"no event");
    let accepted = |sequence, id, object| {
        BusMessage::Accepted(AcceptedEvent {
            origin: golden_origin(sequence, 1_795_000_002_345, ReplayCheck::Bypassed),
            event: golden_event(id, object, 1099),
        })
    };
    match name {
        "accepted" => accepted(1, "evt_golden", "ch_golden"),
        "newer-accepted" => accepted(4, "evt_newer", "ch_newer"),
        "refused" | "newer-refused" => refused(
            golden_origin(2, 1_795_000_802_000, ReplayCheck::Claimed),
            Reason::EventTooOld,
            Evidence::Event(golden_event("evt_golden_late", "ch_golden_late", 500)),
        ),
        "refused-body" | "newer-refused-body" => refused(
            golden_origin(3, 1_795_000_803_000, ReplayCheck::Claimed),
            Reason::PayloadInvalid,
            Evidence::Body { sha256: no_event, length: 8 },
        ),
        "control" | "newer-control" => BusMessage::Control(ControlTotal {
            instance: instance(),
            window: 2,
            closed_at: UnixMillis(1_795_000_810_000),
            confirmed: 3,
            listed: vec![listed(2, "evt_golden_late"), listed(3, &data_encoding::HEXLOWER.encode(&no_event))],
            previous: vec![listed(1, "evt_golden")],
            last: true,
            refusals: vec![RefusalCount {
                source: Source::parse("stripe").unwrap(),
                reason: ProblemSlug::parse("signature-mismatch").unwrap(),
                minute: UnixMillis(1_794_999_960_000),
                count: 17,
            }],
        }),
        "request" | "newer-request" => BusMessage::Request(Request { action: ActionId(41) }),
        other => panic!("{other} is no message of the file"),
    }
}

#[test]
fn a_message_of_an_old_service_means_what_it_meant_and_is_still_written_so() {
    for name in ["accepted", "refused", "refused-body", "control", "request"] {
        assert_eq!(BusMessage::decode(golden(name)), Ok(meant(name)), "{name}");
        assert_eq!(meant(name).encode(), golden(name), "{name}");
    }
}

#[test]
fn fields_that_a_newer_service_added_are_passed_over() {
    for name in ["newer-accepted", "newer-refused", "newer-refused-body", "newer-control", "newer-request"] {
        assert_eq!(BusMessage::decode(golden(name)), Ok(meant(name)), "{name}");
    }
}

#[test]
fn a_kind_that_a_newer_service_added_is_said_to_be_one() {
    assert_eq!(BusMessage::decode(golden("newer-kind")), Err(Undecodable::Kind));
}
