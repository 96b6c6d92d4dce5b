//! What the books say of an event, and how it is told to others: pure.

use ledger::{MovementKey, Outcome, Reason, Status, TraceId, UnixMillis};
use ports::{
    Acted, ClaimState, ClaimTrace, Delivery, Exchange, Filing, Gate, Headers, Outgoing, Record, Recorded,
    Settled, Settlement, StoredResult, header, trace_id_of,
};
use serde_json::{Value, json};
use tracing::Span;
use wire::Event;

/// The version of the JSON that is published to `countersign.booked`; `proto/README.md` says what is in it.
const BOOKED_FORMAT_VERSION: u8 = 1;

/// The longest message id that AMQP can say.
const MESSAGE_ID_MAX: usize = 255;

/// Where an event stands after COMMIT.
#[derive(Debug, Clone)]
pub struct News {
    event: Event,
    status: Status,
    reason: Option<Reason>,
    movements: Vec<MovementKey>,
    /// Whether its message is what booked it, now or when the message came before.
    booked_by_it: bool,
    traceparent: Option<String>,
    /// Within which it was found out, and others are told.
    span: Span,
}

impl News {
    /// Of a message that was recorded; `None` where that says nothing about the event which has the id.
    pub fn of_record(delivery: &Delivery, record: Record, recorded: Recorded, span: Span) -> Option<Self> {
        let gate = record.delivery.gate;
        let Filing::Event(event) = record.filing else { return None };
        speaks_of_the_event(&recorded).then(|| Self {
            event: event.event,
            status: recorded.outcome.into(),
            reason: recorded.reason,
            booked_by_it: recorded.outcome == Outcome::Booked
                && gate == Gate::Accepted
                && recorded.settlement != Settlement::Hit,
            movements: recorded.movements,
            traceparent: traceparent(delivery),
            span,
        })
    }

    /// Of an action that was carried out; `None` where it was about no event.
    pub fn of_action(delivery: &Delivery, acted: Acted, span: Span) -> Option<Self> {
        Some(Self {
            event: acted.event?,
            status: acted.status,
            reason: acted.reason,
            movements: acted.movements,
            booked_by_it: acted.status == Status::Booked,
            traceparent: traceparent(delivery),
            span,
        })
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The span of its message.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.status
    }

    /// What a replay of it is answered with from now on.
    pub fn settled(&self, now: UnixMillis) -> Option<Settled> {
        let provider = provider::by_name(self.event.provider.as_str())?;
        let state = match self.status {
            Status::Booked | Status::Ignored | Status::Dismissed => ClaimState::Booked,
            Status::Parked => ClaimState::Parked,
        };
        let result = match self.reason {
            None => json!({ "outcome": self.status.as_str(), "movements": self.movements() }),
            Some(reason) => json!({ "outcome": self.status.as_str(), "reason": reason.as_str() }),
        };
        Some(Settled {
            state,
            fingerprint: self.event.fingerprint,
            result: StoredResult(result.to_string()),
            trace: self.trace_id().and_then(|id| ClaimTrace::parse(id.as_str())),
            now,
            retention_ms: provider.retry_horizon_ms(),
        })
    }

    /// What is announced when it has been booked.
    pub fn announcement(&self, now: UnixMillis) -> Option<Outgoing> {
        if !self.booked_by_it {
            return None;
        }
        let Event { key, event_type, .. } = &self.event;
        let headers = Headers::default()
            .with(header::FORMAT, BOOKED_FORMAT_VERSION.to_string())
            .with(header::SOURCE, key.source.as_str())
            .with(header::ACCOUNT, key.account.as_str())
            .with(header::LIVEMODE, key.livemode.as_str())
            .with(header::EVENT_ID, key.event_id.as_str())
            .with(header::EVENT_TYPE, event_type.as_str());
        let headers = self
            .traceparent
            .iter()
            .fold(headers, |headers, traceparent| headers.with(header::TRACEPARENT, traceparent.as_str()));
        Some(Outgoing {
            exchange: Exchange::Booked,
            routing_key: format!("booked.{}.{event_type}", key.source),
            message_id: self.message_id(),
            kind: "BookedEvent",
            sent_at: now,
            headers,
            body: self.body().to_string().into(),
        })
    }

    /// The event's key, or its SHA-256 where AMQP cannot say that.
    fn message_id(&self) -> String {
        let key = self.event.key.to_string();
        if key.len() <= MESSAGE_ID_MAX {
            return key;
        }
        data_encoding::HEXLOWER.encode(&ledger::content_digest(key.as_bytes()))
    }

    fn body(&self) -> Value {
        let event = &self.event;
        let occurred_at = jiff::Timestamp::from_millisecond(event.occurred_at.0).ok();
        json!({
            "source": event.key.source.as_str(),
            "provider": event.provider.as_str(),
            "provider_account": event.key.account.as_str(),
            "livemode": event.key.livemode.is_live(),
            "event_id": event.key.event_id.as_str(),
            "event_type": event.event_type.as_str(),
            "object_id": event.object_id.as_ref().map(ledger::ObjectId::as_str),
            "occurred_at": occurred_at.map(|occurred_at| occurred_at.to_string()),
            "outcome": self.status.as_str(),
            "movements": self.movements(),
            "trace_id": self.trace_id().as_ref().map(TraceId::as_str),
        })
    }

    fn trace_id(&self) -> Option<TraceId> {
        self.traceparent.as_deref().and_then(trace_id_of)
    }

    fn movements(&self) -> Vec<String> {
        self.movements.iter().map(ToString::to_string).collect()
    }
}

/// Whether an answer of the books is about the event that has the id. A message that was kept as mere evidence says
/// nothing about it, neither the first time nor when it is delivered again.
fn speaks_of_the_event(recorded: &Recorded) -> bool {
    match recorded.settlement {
        Settlement::New | Settlement::Hit | Settlement::TookOver => true,
        Settlement::Again => !matches!(
            recorded.reason,
            Some(
                Reason::EventIdReused
                    | Reason::Undecodable
                    | Reason::DeadLettered
                    | Reason::RefusedByBooks
                    | Reason::ProcessingPanicked
            )
        ),
        Settlement::NameTaken | Settlement::Reused | Settlement::Evidence => false,
    }
}

/// The trace that a message belongs to, if it says so as it should.
fn traceparent(delivery: &Delivery) -> Option<String> {
    delivery.headers.value(header::TRACEPARENT).filter(|text| trace_id_of(text).is_some()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
