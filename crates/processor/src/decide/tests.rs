use std::collections::BTreeMap;

use bytes::Bytes;
use ledger::{
    EventId, EventKey, EventType, Livemode, ObjectId, PostingTable, Provider, ProviderAccount, Source,
};
use money::{Amount, Currency};
use ports::{DeliveryTag, EventRecord, Headers};
use serde_json::json;
use wire::{AcceptedEvent, Event, Fingerprint, InstanceId, Origin, ReplayCheck, Sequence};

use crate::{Connected, SourceTerms, Sources};

use super::*;

const ORIGIN: Origin = Origin {
    instance: InstanceId::from_bytes([1; 16]),
    sequence: Sequence(7),
    received_at: UnixMillis(5),
    replay_check: ReplayCheck::Claimed,
};

fn delivery(message: &BusMessage) -> Delivery {
    Delivery {
        tag: DeliveryTag(1),
        redelivered: false,
        routing_key: "any".to_owned(),
        message_id: None,
        headers: Headers::default(),
        body: message.encode(),
    }
}

fn policy(connected: Connected) -> Policy {
    let terms = |provider: &str, account: &str, settles_with: Option<&str>| SourceTerms {
        provider: Provider::parse(provider).unwrap(),
        own_account: ProviderAccount::parse(account).unwrap(),
        connected,
        settles_with: settles_with.map(|name| Source::parse(name).unwrap()),
    };
    let terms = BTreeMap::from([
        (Source::parse("stripe").unwrap(), terms("stripe", "acct_dev", None)),
        (Source::parse("telegram").unwrap(), terms("telegram", "42", Some("stripe"))),
    ]);
    Policy { table: PostingTable::built_in(), sources: Sources::new(terms).unwrap() }
}

fn charged() -> Event {
    let object = json!({
        "id": "ch_1", "object": "charge", "amount": 500, "amount_captured": 500, "currency": "usd",
        "status": "succeeded", "captured": true, "created": 1_794_999_990,
    });
    let payload = json!({ "object": "event", "type": "charge.succeeded", "data": { "object": object } });
    event("stripe", "acct_dev", "charge.succeeded", &payload)
}

/// The same charge, paid in Telegram.
fn paid() -> Event {
    let payment = json!({
        "currency": "USD", "total_amount": 500, "telegram_payment_charge_id": "tg_1",
        "provider_payment_charge_id": "ch_1",
    });
    let payload =
        json!({ "update_id": 1, "message": { "date": 1_794_999_990, "successful_payment": payment } });
    event("telegram", "42", "message", &payload)
}

fn event(source: &str, account: &str, event_type: &str, payload: &serde_json::Value) -> Event {
    let account = ProviderAccount::parse(account).unwrap();
    Event {
        key: EventKey {
            source: Source::parse(source).unwrap(),
            account: account.clone(),
            livemode: Livemode::Test,
            event_id: EventId::parse("evt_1").unwrap(),
        },
        provider: Provider::parse(source).unwrap(),
        event_type: EventType::parse(event_type).unwrap(),
        object_id: ObjectId::parse("ch_1").ok(),
        own_account: account,
        occurred_at: UnixMillis(1_795_000_000_000),
        fingerprint: Fingerprint { version: 1, digest: [1; 32] },
        keep_list_version: 1,
        payload: payload.to_string().into(),
    }
}

fn refused(reason: Reason, evidence: Evidence) -> BusMessage {
    let source = Source::parse("stripe").unwrap();
    BusMessage::Refused(RefusedDelivery { origin: ORIGIN, source, reason, evidence })
}

fn body() -> Evidence {
    Evidence::Body { sha256: [9; 32], length: 3 }
}

fn work(message: &BusMessage) -> Work {
    decide(&delivery(message), Queue::Ledger, &policy(Connected::Book), UnixMillis(9))
}

fn record(message: &BusMessage) -> Record {
    match work(message) {
        Work::Record(record) => *record,
        other @ (Work::Count(_) | Work::Act(_)) => panic!("{other:?}"),
    }
}

fn decision(connected: Connected, event: Event) -> Decision {
    policy(connected).assess(event).decision
}

fn keys(decision: Decision) -> Vec<String> {
    match decision {
        Decision::Book(transactions) => transactions.iter().map(|one| one.key().to_string()).collect(),
        Decision::Keep(reason) => panic!("{reason}"),
    }
}

#[test]
fn an_accepted_event_is_recorded_with_its_money_and_the_bytes_that_it_came_in() {
    let message = BusMessage::Accepted(AcceptedEvent { origin: ORIGIN, event: charged() });
    let Record { delivery, filing } = record(&message);
    assert_eq!((delivery.origin, delivery.gate), (ORIGIN, Gate::Accepted));
    assert_eq!(delivery.message, message.encode());
    let Filing::Event(EventRecord { event, money, decision }) = filing else { panic!("an event") };
    assert_eq!(event, charged());
    assert_eq!(money, Some(Amount::new(500, Currency::parse("USD").unwrap())));
    assert_eq!(keys(decision), ["stripe/acct_dev/test/ch_1/capture"]);
}

#[test]
fn an_event_that_the_gate_refused_is_kept_parked_for_the_reason_of_the_gate() {
    for reason in [Reason::EventTooOld, Reason::EventWrongMode] {
        let message = refused(reason, Evidence::Event(charged()));
        let Record { delivery, filing } = record(&message);
        assert_eq!((delivery.origin, delivery.gate), (ORIGIN, Gate::Refused));
        assert_eq!(delivery.message, message.encode());
        let Filing::Event(kept) = filing else { panic!("an event") };
        assert_eq!(kept.decision, Decision::Keep(reason));
        assert!(kept.money.is_some(), "what is at stake is known");
    }
}

#[test]
fn another_content_under_a_used_id_and_a_body_that_is_no_event_are_evidence_alone() {
    let stripe = Source::parse("stripe").unwrap();
    for (reason, evidence, expected) in [
        (Reason::EventIdReused, Evidence::Event(charged()), Subject::Event(charged().key)),
        (Reason::PayloadInvalid, body(), Subject::Source(stripe)),
    ] {
        let Record { delivery, filing } = record(&refused(reason, evidence));
        assert_eq!((delivery.origin, delivery.gate), (ORIGIN, Gate::Refused));
        assert_eq!(filing, Filing::Evidence { subject: expected, reason, broker_history: None });
    }
}

#[test]
fn a_refusal_whose_evidence_does_not_go_with_its_reason_does_not_decode() {
    for (reason, evidence) in [
        (Reason::EventTooOld, body()),
        (Reason::EventIdReused, body()),
        (Reason::PayloadInvalid, Evidence::Event(charged())),
        (Reason::MovementConflict, Evidence::Event(charged())),
        (Reason::MovesNoMoney, Evidence::Event(charged())),
    ] {
        let Record { delivery, filing } = record(&refused(reason, evidence));
        assert_eq!(delivery.gate, Gate::Accepted, "it is parked, not refused");
        let Filing::Evidence { reason: parked_for, .. } = filing else { panic!("{reason} is evidence") };
        assert_eq!(parked_for, Reason::Undecodable, "{reason}");
    }
}

#[test]
fn totals_and_requests_are_work_of_their_own_unless_they_are_dead() {
    let total = ControlTotal {
        instance: ORIGIN.instance,
        window: 1,
        closed_at: UnixMillis(9),
        confirmed: 0,
        listed: Vec::new(),
        previous: Vec::new(),
        last: false,
        refusals: Vec::new(),
    };
    let request = Request { action: ledger::ActionId(5) };
    assert_eq!(work(&BusMessage::Control(total.clone())), Work::Count(total.clone()));
    assert_eq!(work(&BusMessage::Request(request)), Work::Act(request));
    for message in [BusMessage::Control(total), BusMessage::Request(request)] {
        let dead = decide(&delivery(&message), Queue::Dead, &policy(Connected::Book), UnixMillis(9));
        let Work::Record(dead) = dead else { panic!("{dead:?}") };
        assert!(matches!(dead.filing, Filing::Evidence { reason: Reason::DeadLettered, .. }));
        assert_eq!(dead.delivery.message, message.encode());
    }
}

#[test]
fn a_message_that_does_not_decode_is_parked() {
    let nonsense =
        Delivery { body: Bytes::from_static(b"\xff"), ..delivery(&refused(Reason::EventTooOld, body())) };
    let parked = decide(&nonsense, Queue::Ledger, &policy(Connected::Book), UnixMillis(9));
    let Work::Record(parked) = parked else { panic!("{parked:?}") };
    assert!(matches!(parked.filing, Filing::Evidence { reason: Reason::Undecodable, .. }));
}

#[test]
fn an_event_that_is_not_of_its_source_is_misconfigured() {
    let of_nobody =
        Event { key: EventKey { source: Source::parse("other").unwrap(), ..charged().key }, ..charged() };
    let of_another_provider = Event { provider: Provider::parse("telegram").unwrap(), ..charged() };
    let of_another_account = Event { own_account: ProviderAccount::parse("acct_2").unwrap(), ..charged() };
    for event in [of_nobody, of_another_provider, of_another_account] {
        assert_eq!(decision(Connected::Book, event), Decision::Keep(Reason::Misconfigured));
    }
}

#[test]
fn events_of_connected_accounts_are_booked_or_left_out_as_the_configuration_says() {
    let account = ProviderAccount::parse("acct_connected").unwrap();
    let connected = Event { key: EventKey { account, ..charged().key }, ..charged() };
    let booked = keys(decision(Connected::Book, connected.clone()));
    assert_eq!(booked, ["stripe/acct_connected/test/ch_1/capture"]);
    let left_out = decision(Connected::Ignore, connected);
    assert_eq!(left_out, Decision::Keep(Reason::ConnectedAccount));
    assert_eq!(keys(decision(Connected::Ignore, charged())).len(), 1, "the source's own are booked");
}

#[test]
fn money_that_another_source_settles_has_the_key_of_that_source() {
    let both = [paid(), charged()].map(|event| keys(decision(Connected::Book, event)));
    assert_eq!(both[0], both[1]);
}
