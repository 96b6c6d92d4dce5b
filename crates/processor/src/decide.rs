//! What a message asks for: pure.

use ledger::{Reason, UnixMillis};
use ports::{Decision, Delivery, DeliveryRecord, Filing, Gate, Queue, Record, Subject, header, trace_id_of};
use wire::{BusMessage, ControlTotal, Evidence, RefusedDelivery, Request};

use crate::evidence::evidence;
use crate::policy::{Policy, kept};

/// What is to be done about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// A delivery, to be recorded.
    Record(Box<Record>),
    /// A control total, to be recorded.
    Count(ControlTotal),
    /// An operator's action, to be carried out.
    Act(Request),
}

/// The work that a message makes, whatever it holds and wherever it comes from. `now` stands in for what a message that
/// does not decode cannot tell.
pub fn decide(delivery: &Delivery, queue: Queue, policy: &Policy, now: UnixMillis) -> Work {
    let put_aside = |reason| Work::Record(Box::new(evidence(delivery, reason, now)));
    if queue == Queue::Dead {
        tracing::warn!(message_id = delivery.message_id, "A message was delivered too often: parking it");
        return put_aside(Reason::DeadLettered);
    }
    let record = |origin, gate, filing| {
        let trace_id = delivery.headers.value(header::TRACEPARENT).and_then(trace_id_of);
        let delivery = DeliveryRecord { origin, gate, trace_id, message: delivery.body.clone() };
        Work::Record(Box::new(Record { delivery, filing }))
    };
    match BusMessage::decode(delivery.body.clone()) {
        Ok(BusMessage::Accepted(accepted)) => {
            record(accepted.origin, Gate::Accepted, Filing::Event(policy.assess(accepted.event)))
        }
        Ok(BusMessage::Refused(refused)) => {
            let (origin, reason) = (refused.origin, refused.reason);
            if let Some(filing) = refused_filing(refused) {
                return record(origin, Gate::Refused, filing);
            }
            tracing::warn!(message_id = delivery.message_id, %reason, "No gate refuses that for this reason");
            put_aside(Reason::Undecodable)
        }
        Ok(BusMessage::Control(total)) => Work::Count(total),
        Ok(BusMessage::Request(request)) => Work::Act(request),
        Err(undecodable) => {
            tracing::warn!(message_id = delivery.message_id, error = %undecodable, "A message does not decode");
            put_aside(Reason::Undecodable)
        }
    }
}

/// How the evidence of a refusal is filed; `None` where the reason does not go with it.
fn refused_filing(refused: RefusedDelivery) -> Option<Filing> {
    let RefusedDelivery { source, reason, evidence, .. } = refused;
    let subject = match evidence {
        // A release has to find the event; what it is about is decided then.
        Evidence::Event(event) if reason.is_of_gate() => {
            return Some(Filing::Event(kept(event, Decision::Keep(reason))));
        }
        Evidence::Event(event) if reason == Reason::EventIdReused => Subject::Event(event.key),
        Evidence::Body { .. } if reason == Reason::PayloadInvalid => Subject::Source(source),
        Evidence::Event(_) | Evidence::Body { .. } => return None,
    };
    Some(Filing::Evidence { subject, reason, broker_history: None })
}

#[cfg(test)]
mod tests;
