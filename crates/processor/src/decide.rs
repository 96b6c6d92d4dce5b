//! What a message is, and what the event in it decides: pure.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ledger::{
    EventId, EventKey, Livemode, PostingTable, ProviderAccount, Reason, Source, TraceId, UnixMillis,
};
use ports::{
    Decision, Delivery, DeliveryRecord, EventRecord, Filing, Headers, Queue, Record, header, trace_id_of,
};
use provider::{Assessment, EventView};
use wire::{AcceptedEvent, BusMessage, InstanceId, ReplayCheck, Sequence};

/// The record of a delivery, whatever it holds and wherever it comes from. `now` stands in for what a message that does
/// not decode cannot tell.
pub fn decide(delivery: &Delivery, queue: Queue, table: &PostingTable, now: UnixMillis) -> Record {
    if queue == Queue::Dead {
        tracing::warn!(message_id = delivery.message_id, "A message was delivered too often: parking it");
        return evidence(delivery, Reason::DeadLettered, now);
    }
    match BusMessage::decode(delivery.body.clone()) {
        Ok(BusMessage::Accepted(event)) => Record {
            delivery: DeliveryRecord {
                instance: event.instance,
                sequence: event.sequence,
                received_at: event.received_at,
                replay_check: event.replay_check,
                trace_id: traced(&delivery.headers),
            },
            filing: filed(event, table),
        },
        Err(undecodable) => {
            tracing::warn!(message_id = delivery.message_id, %undecodable, "A message does not decode");
            evidence(delivery, Reason::Undecodable, now)
        }
    }
}

/// A message that is kept as it is, under the name in its headers.
fn evidence(delivery: &Delivery, reason: Reason, now: UnixMillis) -> Record {
    let (instance, sequence) = origin(delivery);
    Record {
        delivery: DeliveryRecord {
            instance,
            sequence,
            received_at: now,
            replay_check: ReplayCheck::Bypassed,
            trace_id: traced(&delivery.headers),
        },
        filing: Filing::Evidence {
            key: key_of(&delivery.headers),
            reason,
            body: delivery.body.clone(),
            broker_history: delivery.headers.value("x-death").map(str::to_owned),
        },
    }
}

fn traced(headers: &Headers) -> Option<TraceId> {
    trace_id_of(headers.value(header::TRACEPARENT)?)
}

fn filed(event: AcceptedEvent, table: &PostingTable) -> Filing {
    // A panic is a bug of ours in one kind of event; its message is parked, its neighbours are not held up.
    let decision = catch_unwind(AssertUnwindSafe(|| decision(&event, table)))
        .unwrap_or(Decision::Keep(Reason::ProcessingPanicked));
    let record = EventRecord {
        key: event.key,
        provider: event.provider,
        event_type: event.event_type,
        object_id: event.object_id,
        occurred_at: event.occurred_at,
        fingerprint: event.fingerprint,
        keep_list_version: event.keep_list_version,
        payload: event.payload,
    };
    Filing::Event(record, decision)
}

fn decision(event: &AcceptedEvent, table: &PostingTable) -> Decision {
    let Some(provider) = provider::by_name(event.provider.as_str()) else {
        return Decision::Keep(Reason::Misconfigured);
    };
    let assessment = provider.assess(&EventView {
        event_type: &event.event_type,
        account: &event.key.account,
        livemode: event.key.livemode,
        created: event.occurred_at,
        payload: &event.payload,
        settles_with: None,
    });
    match assessment {
        Assessment::Keep(reason) => Decision::Keep(reason),
        Assessment::Movements(movements) => {
            let posted: Result<Vec<_>, _> = movements.iter().map(|movement| table.post(movement)).collect();
            posted.map_or_else(
                |error| {
                    tracing::error!(event_id = %event.key.event_id, %error, "A movement cannot be posted");
                    Decision::Keep(Reason::AmountUnreadable)
                },
                Decision::Book,
            )
        }
    }
}

/// The event that the headers name, as far as they do.
fn key_of(headers: &Headers) -> Option<EventKey> {
    Some(EventKey {
        source: Source::parse(headers.value(header::SOURCE)?).ok()?,
        account: ProviderAccount::parse(headers.value(header::ACCOUNT)?).ok()?,
        livemode: match headers.value(header::LIVEMODE)? {
            "live" => Livemode::Live,
            "test" => Livemode::Test,
            _ => return None,
        },
        event_id: EventId::parse(headers.value(header::EVENT_ID)?).ok()?,
    })
}

/// Who sent it and as which message, by its headers; a message without them is known by its content.
fn origin(delivery: &Delivery) -> (InstanceId, Sequence) {
    let instance = delivery.headers.value(header::INSTANCE).and_then(InstanceId::parse);
    let sequence = delivery.headers.value(header::SEQUENCE).and_then(|text| text.parse().ok());
    if let (Some(instance), Some(sequence)) = (instance, sequence) {
        return (instance, Sequence(sequence));
    }
    let digest = ledger::content_digest(&delivery.body);
    let (instance, sequence) = digest.split_at(16);
    let sequence: [u8; 8] = sequence.first_chunk().copied().unwrap_or_default();
    // Postgres' BIGINT has no use for the highest bit.
    let sequence = u64::from_be_bytes(sequence) >> 1;
    (InstanceId::from_bytes(instance.try_into().unwrap_or_default()), Sequence(sequence))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ports::DeliveryTag;

    use super::*;

    fn delivery(headers: Headers, body: &'static [u8]) -> Delivery {
        Delivery {
            tag: DeliveryTag(1),
            redelivered: false,
            routing_key: "accepted.stripe.charge.succeeded".to_owned(),
            message_id: None,
            headers,
            body: Bytes::from_static(body),
        }
    }

    #[test]
    fn a_message_that_does_not_decode_is_parked_under_the_name_in_its_headers() {
        let headers = Headers::default()
            .with(header::INSTANCE, "07".repeat(16))
            .with(header::SEQUENCE, "5")
            .with(header::SOURCE, "stripe")
            .with(header::ACCOUNT, "acct_dev")
            .with(header::LIVEMODE, "live")
            .with(header::EVENT_ID, "evt_1");
        let record =
            decide(&delivery(headers, b"\xff"), Queue::Ledger, &PostingTable::built_in(), UnixMillis(9));
        assert_eq!(record.delivery.sequence, Sequence(5));
        let Filing::Evidence { key, reason, body, .. } = record.filing else { panic!("it is evidence") };
        assert_eq!(key.unwrap().to_string(), "stripe/acct_dev/live/evt_1");
        assert_eq!((reason, body), (Reason::Undecodable, Bytes::from_static(b"\xff")));
    }

    #[test]
    fn a_dead_letter_is_kept_whole_with_what_the_broker_says_of_it() {
        let headers = Headers::default().with("x-death", "delivery_limit, 21 times, countersign.ledger");
        let record =
            decide(&delivery(headers, b"any"), Queue::Dead, &PostingTable::built_in(), UnixMillis(9));
        let Filing::Evidence { reason, body, broker_history, .. } = record.filing else {
            panic!("it is evidence")
        };
        assert_eq!((reason, body), (Reason::DeadLettered, Bytes::from_static(b"any")));
        assert_eq!(broker_history.as_deref(), Some("delivery_limit, 21 times, countersign.ledger"));
    }

    #[test]
    fn a_nameless_message_is_known_by_its_content() {
        let one = decide(
            &delivery(Headers::default(), b"\xff"),
            Queue::Ledger,
            &PostingTable::built_in(),
            UnixMillis(9),
        );
        let again = decide(
            &delivery(Headers::default(), b"\xff"),
            Queue::Ledger,
            &PostingTable::built_in(),
            UnixMillis(10),
        );
        let other = decide(
            &delivery(Headers::default(), b"\xfe"),
            Queue::Ledger,
            &PostingTable::built_in(),
            UnixMillis(9),
        );
        assert_eq!(one.delivery.instance, again.delivery.instance);
        assert_eq!(one.delivery.sequence, again.delivery.sequence);
        assert_ne!(one.delivery.instance, other.delivery.instance);
    }
}
