//! What a message is by its headers alone, whether or not its body decodes: pure.

use ledger::{EventId, EventKey, Livemode, ProviderAccount, Reason, Source, UnixMillis};
use ports::{Delivery, DeliveryRecord, Filing, Gate, Headers, Record, Subject, header, trace_id_of};
use wire::{InstanceId, Origin, ReplayCheck, Sequence};

/// A message that is kept as it is, under the names in its headers. It is parked whatever the gate made of it: a person
/// has to look.
pub(crate) fn evidence(delivery: &Delivery, reason: Reason, now: UnixMillis) -> Record {
    let (instance, sequence) = named(delivery);
    Record {
        delivery: DeliveryRecord {
            origin: Origin { instance, sequence, received_at: now, replay_check: ReplayCheck::Bypassed },
            gate: Gate::Accepted,
            trace_id: delivery.headers.value(header::TRACEPARENT).and_then(trace_id_of),
            message: delivery.body.clone(),
        },
        filing: Filing::Evidence {
            subject: subject(&delivery.headers),
            reason,
            broker_history: delivery.headers.value("x-death").map(str::to_owned),
        },
    }
}

/// Whose it is, as far as the headers say.
fn subject(headers: &Headers) -> Subject {
    let source = headers.value(header::SOURCE).and_then(|source| Source::parse(source).ok());
    let Some(source) = source else { return Subject::Unknown };
    match event_key(source.clone(), headers) {
        Some(key) => Subject::Event(key),
        None => Subject::Source(source),
    }
}

fn event_key(source: Source, headers: &Headers) -> Option<EventKey> {
    Some(EventKey {
        source,
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
fn named(delivery: &Delivery) -> (InstanceId, Sequence) {
    let instance = delivery.headers.value(header::INSTANCE).and_then(InstanceId::parse);
    let sequence = delivery.headers.value(header::SEQUENCE).and_then(|text| text.parse().ok());
    if let (Some(instance), Some(sequence)) = (instance, sequence) {
        return (instance, Sequence(sequence));
    }
    name_of(&delivery.body)
}

/// The name of a message by its content.
pub(crate) fn name_of(message: &[u8]) -> (InstanceId, Sequence) {
    let digest = ledger::content_digest(message);
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

    fn of(headers: Headers) -> Subject {
        match evidence(&delivery(headers, b"any"), Reason::DeadLettered, UnixMillis(9)).filing {
            Filing::Evidence { subject, .. } => subject,
            Filing::Event(_) => panic!("it is evidence"),
        }
    }

    #[test]
    fn headers_say_whose_a_message_is_as_far_as_they_go() {
        let named = Headers::default().with(header::SOURCE, "stripe");
        assert_eq!(of(Headers::default()), Subject::Unknown);
        assert_eq!(of(named.clone()), Subject::Source(Source::parse("stripe").unwrap()));
        let named = named.with(header::ACCOUNT, "acct_dev").with(header::EVENT_ID, "evt_1");
        let Subject::Event(key) = of(named.with(header::LIVEMODE, "live")) else { panic!("an event's") };
        assert_eq!(key.to_string(), "stripe/acct_dev/live/evt_1");
    }

    #[test]
    fn a_message_is_kept_whole_with_what_the_broker_says_of_it() {
        let headers = Headers::default()
            .with(header::INSTANCE, "07".repeat(16))
            .with(header::SEQUENCE, "5")
            .with("x-death", "delivery_limit, 21 times, countersign.ledger");
        let record = evidence(&delivery(headers, b"any"), Reason::DeadLettered, UnixMillis(9));
        assert_eq!(record.delivery.origin.sequence, Sequence(5));
        assert_eq!(
            (record.delivery.message, record.delivery.gate),
            (Bytes::from_static(b"any"), Gate::Accepted)
        );
        let Filing::Evidence { broker_history, .. } = record.filing else { panic!("it is evidence") };
        assert_eq!(broker_history.as_deref(), Some("delivery_limit, 21 times, countersign.ledger"));
    }

    #[test]
    fn a_nameless_message_is_known_by_its_content() {
        let origin = |body, now| {
            let delivery = delivery(Headers::default(), body);
            let origin = evidence(&delivery, Reason::Undecodable, UnixMillis(now)).delivery.origin;
            (origin.instance, origin.sequence)
        };
        assert_eq!(origin(b"\xff", 9), origin(b"\xff", 10));
        assert_ne!(origin(b"\xff", 9).0, origin(b"\xfe", 9).0);
    }
}
