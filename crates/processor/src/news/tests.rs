use bytes::Bytes;
use ledger::{
    EventId, EventKey, EventType, Livemode, MovementKind, ObjectId, Provider, ProviderAccount, Source,
};
use ports::{Decision, DeliveryRecord, DeliveryTag, EventRecord};
use wire::{Fingerprint, InstanceId, Origin, ReplayCheck, Sequence};

use super::*;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NOW: UnixMillis = UnixMillis(9);

fn event(event_id: &str) -> Event {
    let account = ProviderAccount::parse("acct_dev").unwrap();
    Event {
        key: EventKey {
            source: Source::parse("stripe").unwrap(),
            account: account.clone(),
            livemode: Livemode::Live,
            event_id: EventId::parse(event_id).unwrap(),
        },
        provider: Provider::parse("stripe").unwrap(),
        event_type: EventType::parse("charge.succeeded").unwrap(),
        object_id: ObjectId::parse("ch_1").ok(),
        own_account: account,
        occurred_at: UnixMillis(1_795_000_000_250),
        fingerprint: Fingerprint { version: 1, digest: [1; 32] },
        keep_list_version: 1,
        payload: Bytes::from_static(b"{}"),
    }
}

fn movement() -> MovementKey {
    MovementKey {
        provider: Provider::parse("stripe").unwrap(),
        account: ProviderAccount::parse("acct_dev").unwrap(),
        livemode: Livemode::Live,
        object_id: ObjectId::parse("ch_1").unwrap(),
        kind: MovementKind::Capture,
    }
}

fn delivery(headers: Headers) -> Delivery {
    Delivery {
        tag: DeliveryTag(1),
        redelivered: false,
        routing_key: "any".to_owned(),
        message_id: None,
        headers,
        body: Bytes::new(),
    }
}

fn record(gate: Gate) -> Record {
    Record {
        delivery: DeliveryRecord {
            origin: Origin {
                instance: InstanceId::from_bytes([1; 16]),
                sequence: Sequence(7),
                received_at: UnixMillis(5),
                replay_check: ReplayCheck::Claimed,
            },
            gate,
            trace_id: None,
            message: Bytes::new(),
        },
        filing: Filing::Event(EventRecord {
            event: event("evt_1"),
            money: None,
            decision: Decision::Keep(Reason::EventTooOld),
        }),
    }
}

fn recorded(settlement: Settlement, reason: Option<Reason>) -> Recorded {
    Recorded {
        settlement,
        outcome: reason.map_or(Outcome::Booked, Reason::outcome),
        reason,
        movements: if reason.is_none() { vec![movement()] } else { Vec::new() },
    }
}

fn acted(event_id: &str, status: Status, reason: Option<Reason>) -> Acted {
    Acted { event: Some(event(event_id)), status, reason, movements: vec![movement()], trace_id: None }
}

fn of_action(headers: Headers, acted: Acted) -> News {
    News::of_action(&delivery(headers), acted, Span::none()).unwrap()
}

#[test]
fn what_is_announced_can_be_read_with_and_without_the_body() {
    let headers = Headers::default().with(header::TRACEPARENT, TRACEPARENT);
    let announced = of_action(headers, acted("evt_1", Status::Booked, None)).announcement(NOW).unwrap();
    assert_eq!(
        (announced.exchange, announced.kind, announced.sent_at),
        (Exchange::Booked, "BookedEvent", NOW)
    );
    assert_eq!(announced.routing_key, "booked.stripe.charge.succeeded");
    assert_eq!(announced.message_id, "stripe/acct_dev/live/evt_1");
    for (name, value) in [
        (header::FORMAT, "1"),
        (header::SOURCE, "stripe"),
        (header::ACCOUNT, "acct_dev"),
        (header::LIVEMODE, "live"),
        (header::EVENT_ID, "evt_1"),
        (header::EVENT_TYPE, "charge.succeeded"),
        (header::TRACEPARENT, TRACEPARENT),
    ] {
        assert_eq!(announced.headers.value(name), Some(value), "{name}");
    }
    let body: Value = serde_json::from_slice(&announced.body).unwrap();
    let expected = json!({
        "source": "stripe", "provider": "stripe", "provider_account": "acct_dev", "livemode": true,
        "event_id": "evt_1", "event_type": "charge.succeeded", "object_id": "ch_1",
        "occurred_at": "2026-11-18T11:06:40.25Z", "outcome": "booked",
        "movements": ["stripe/acct_dev/live/ch_1/capture"], "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    });
    assert_eq!(body, expected);
}

#[test]
fn a_trace_that_is_none_is_left_out() {
    let headers = Headers::default().with(header::TRACEPARENT, "anything");
    let announced = of_action(headers, acted("evt_1", Status::Booked, None)).announcement(NOW).unwrap();
    assert_eq!(announced.headers.value(header::TRACEPARENT), None);
    let body: Value = serde_json::from_slice(&announced.body).unwrap();
    assert_eq!(body["trace_id"], Value::Null);
}

#[test]
fn a_key_that_is_too_long_for_a_message_id_is_told_by_its_hash() {
    let id = "e".repeat(255);
    let long = |id: &str| {
        of_action(Headers::default(), acted(id, Status::Booked, None)).announcement(NOW).unwrap().message_id
    };
    assert_eq!(long(&id).len(), 64);
    assert_ne!(long(&id), long(&id[1..]));
}

#[test]
fn only_a_message_that_booked_an_event_is_announced() {
    let announced = |gate, recorded| {
        let news = News::of_record(&delivery(Headers::default()), record(gate), recorded, Span::none());
        news.and_then(|news| news.announcement(NOW)).is_some()
    };
    for (settlement, expected) in [
        (Settlement::New, true),
        (Settlement::TookOver, true),
        (Settlement::Again, true),
        (Settlement::Hit, false),
        (Settlement::Reused, false),
        (Settlement::Evidence, false),
    ] {
        assert_eq!(announced(Gate::Accepted, recorded(settlement, None)), expected, "{settlement:?}");
        assert!(!announced(Gate::Refused, recorded(settlement, None)), "{settlement:?}");
        let parked = recorded(settlement, Some(Reason::MovementConflict));
        assert!(!announced(Gate::Accepted, parked), "{settlement:?}");
    }
}

#[test]
fn the_cache_is_told_where_the_event_stands_and_nothing_of_mere_evidence() {
    let told = |recorded| {
        let news =
            News::of_record(&delivery(Headers::default()), record(Gate::Accepted), recorded, Span::none())?;
        Some(news.settled(NOW).unwrap())
    };
    let booked = told(recorded(Settlement::Hit, None)).unwrap();
    assert_eq!(booked.state, ClaimState::Booked);
    assert_eq!(booked.result.0, r#"{"movements":["stripe/acct_dev/live/ch_1/capture"],"outcome":"booked"}"#);
    let parked = told(recorded(Settlement::New, Some(Reason::EventTooOld))).unwrap();
    assert_eq!(parked.state, ClaimState::Parked);
    assert_eq!(parked.result.0, r#"{"outcome":"parked","reason":"event-too-old"}"#);
    for (settlement, reason) in [
        (Settlement::Reused, Reason::EventIdReused),
        (Settlement::Again, Reason::EventIdReused),
        (Settlement::Evidence, Reason::RefusedByBooks),
        (Settlement::Again, Reason::RefusedByBooks),
    ] {
        assert_eq!(told(recorded(settlement, Some(reason))), None, "{settlement:?} {reason}");
    }
}

#[test]
fn what_an_operator_dismissed_is_settled_and_announced_to_nobody() {
    let dismissed = of_action(Headers::default(), acted("evt_1", Status::Dismissed, None));
    assert_eq!(dismissed.settled(NOW).unwrap().state, ClaimState::Booked);
    assert_eq!(dismissed.announcement(NOW), None);
}
