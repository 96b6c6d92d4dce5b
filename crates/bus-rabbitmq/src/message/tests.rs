use ledger::UnixMillis;

use super::*;

fn outgoing() -> Outgoing {
    Outgoing {
        exchange: Exchange::Events,
        routing_key: "accepted.stripe.charge.succeeded".to_owned(),
        message_id: "i:1".to_owned(),
        kind: "accepted",
        sent_at: UnixMillis(1_790_000_000_999),
        headers: Headers::default().with("event_id", "evt_1"),
        body: Bytes::from_static(b"body"),
    }
}

fn long_string(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}

#[test]
fn a_message_is_persistent_and_readable() {
    let spoken = speak(outgoing()).unwrap();
    let properties = &spoken.properties;
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(*properties.timestamp(), Some(1_790_000_000));
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/x-protobuf");
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "i:1");
    assert_eq!(properties.kind().as_ref().unwrap().as_str(), "accepted");
    let headers = properties.headers().as_ref().unwrap();
    assert_eq!(headers.inner().get("event_id"), Some(&long_string("evt_1")));
    assert_eq!(spoken.routing_key.as_str(), "accepted.stripe.charge.succeeded");
    assert_eq!(&spoken.body[..], b"body");
}

#[test]
fn what_amqp_cannot_say_is_refused_before_it_can_end_the_connection() {
    let long = "x".repeat(256);
    let refused = |message| speak(message).map(|_| ()).unwrap_err();
    assert_eq!(refused(Outgoing { routing_key: long.clone(), ..outgoing() }), Unsayable::NameTooLong);
    assert_eq!(refused(Outgoing { message_id: long.clone(), ..outgoing() }), Unsayable::NameTooLong);
    let named = outgoing().headers.with(&long, "value");
    assert_eq!(refused(Outgoing { headers: named, ..outgoing() }), Unsayable::NameTooLong);
    let large = outgoing().headers.with("large", "x".repeat(HEADERS_MAX));
    assert_eq!(refused(Outgoing { headers: large, ..outgoing() }), Unsayable::HeadersTooLarge);
}

#[test]
fn headers_that_are_no_texts_become_texts_or_are_left_out() {
    let mut death = FieldTable::default();
    death.insert("count".into(), AMQPValue::LongLongInt(1));
    death.insert("reason".into(), long_string("delivery_limit"));
    death.insert("queue".into(), long_string("countersign.ledger"));
    let mut table = FieldTable::default();
    table.insert("x-death".into(), AMQPValue::FieldArray(vec![AMQPValue::FieldTable(death)].into()));
    table.insert("x-delivery-count".into(), AMQPValue::LongInt(3));
    table.insert("source".into(), long_string("stripe"));
    table.insert("float".into(), AMQPValue::Double(0.5));
    // Whoever wrote it, what becomes text can be stored as text.
    table.insert("zero".into(), long_string("a\0b"));
    let headers = texts(&table);
    let x_death = "count=1 queue=countersign.ledger reason=delivery_limit";
    let expected =
        [("source", "stripe"), ("x-death", x_death), ("x-delivery-count", "3"), ("zero", "a\u{fffd}b")];
    assert_eq!(headers.iter().collect::<Vec<_>>(), expected);
}
