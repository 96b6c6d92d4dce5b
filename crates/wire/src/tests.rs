use ledger::Livemode;
use proptest::prelude::*;

use super::*;

mod golden;

fn event(id: &str, payload: Vec<u8>, minute: i64) -> Event {
    Event {
        key: EventKey {
            source: Source::parse("stripe").unwrap(),
            account: ProviderAccount::parse("acct_dev").unwrap(),
            livemode: Livemode::Live,
            event_id: EventId::parse(id).unwrap(),
        },
        provider: Provider::parse("stripe").unwrap(),
        event_type: EventType::parse("charge.succeeded").unwrap(),
        object_id: ObjectId::parse("ch_1").ok(),
        own_account: ProviderAccount::parse("acct_own").unwrap(),
        occurred_at: UnixMillis(minute * 60_000),
        fingerprint: Fingerprint { version: 1, digest: [9; 32] },
        keep_list_version: 1,
        payload: payload.into(),
    }
}

fn origin(sequence: u64) -> Origin {
    Origin {
        instance: InstanceId::from_bytes([7; 16]),
        sequence: Sequence(sequence),
        received_at: UnixMillis(1_790_000_000_007),
        replay_check: ReplayCheck::Bypassed,
    }
}

fn message() -> impl Strategy<Value = BusMessage> {
    let event =
        || ("[!-~]{1,255}", any::<Vec<u8>>(), 0_i64..1_000_000).prop_map(|(id, p, m)| event(&id, p, m));
    let source = || "[a-z0-9-]{1,32}".prop_map(|text| Source::parse(&text).unwrap());
    let listed = (any::<u64>(), source(), "[!-~]{1,255}").prop_map(|(sequence, source, id)| Listed {
        sequence: Sequence(sequence),
        source,
        event_id: EventId::parse(&id).unwrap(),
    });
    let refusals =
        (source(), "[a-z-]{1,64}", any::<i64>(), any::<u64>()).prop_map(|(source, slug, minute, count)| {
            RefusalCount {
                source,
                reason: ProblemSlug::parse(&slug).unwrap(),
                minute: UnixMillis(minute),
                count,
            }
        });
    let listing = || prop::collection::vec(listed.clone(), 0..4);
    let total =
        (any::<[u64; 2]>(), any::<bool>(), listing(), listing(), prop::collection::vec(refusals, 0..3))
            .prop_map(|([window, confirmed], last, listed, previous, refusals)| ControlTotal {
                instance: InstanceId::from_bytes([3; 16]),
                window,
                closed_at: UnixMillis(5),
                confirmed,
                listed,
                previous,
                last,
                refusals,
            });
    let evidence = prop_oneof![
        event().prop_map(Evidence::Event),
        any::<([u8; 32], u64)>().prop_map(|(sha256, length)| Evidence::Body { sha256, length }),
    ];
    prop_oneof![
        (any::<u64>(), event())
            .prop_map(|(at, event)| BusMessage::Accepted(AcceptedEvent { origin: origin(at), event })),
        (any::<u64>(), source(), prop::sample::select(Reason::ALL), evidence).prop_map(
            |(at, source, reason, evidence)| {
                BusMessage::Refused(RefusedDelivery { origin: origin(at), source, reason, evidence })
            }
        ),
        total.prop_map(BusMessage::Control),
        any::<i64>().prop_map(|id| BusMessage::Request(Request { action: ActionId(id) })),
    ]
}

#[test]
fn a_message_with_an_id_that_cannot_be_one_does_not_decode() {
    let accepted = AcceptedEvent { origin: origin(1), event: event("evt_1", vec![], 0) };
    let mut bytes = BusMessage::Accepted(accepted).encode().to_vec();
    let at = bytes.windows(5).position(|w| w == b"evt_1").unwrap();
    bytes[at] = b' ';
    assert!(matches!(BusMessage::decode(bytes.into()), Err(Undecodable::Identity(_))));
    assert_eq!(BusMessage::decode(Bytes::new()), Err(Undecodable::Kind));
    assert_eq!(BusMessage::decode(Bytes::from_static(b"\xff\xff")), Err(Undecodable::Format));
}

#[test]
fn another_content_under_an_id_has_a_key_of_its_own_however_long_the_id() {
    for id in ["evt_1", &"e".repeat(238), &"e".repeat(239), &"e".repeat(255)] {
        let (one, mut other) = (event(id, vec![], 0), event(id, vec![], 0));
        other.fingerprint.digest[0] = 1;
        let keys = [&one.key, &one.key_of_content(), &other.key_of_content()].map(|key| key.event_id.clone());
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2], "{keys:?}");
        assert_eq!(one.key_of_content(), event(id, vec![1], 5).key_of_content());
    }
    assert_eq!(event("evt_1", vec![], 0).key_of_content().event_id.as_str(), "evt_1#0909090909090909");
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(message in message()) {
        prop_assert_eq!(BusMessage::decode(message.encode()), Ok(message));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        if let Ok(message) = BusMessage::decode(bytes.into()) {
            prop_assert_eq!(BusMessage::decode(message.encode()), Ok(message));
        }
    }
}
