//! One line for each message that is committed.

use ledger::{EventId, Outcome, Reason, TraceId};
use ports::{Acted, Filing, Gate, Record, Recorded, Subject};
use tracing::Span;
use wire::{ControlTotal, Request};

pub(crate) fn recorded(record: &Record, recorded: &Recorded) {
    // What comes again is in a trace of its own; the books know it by the first one.
    let first = record.delivery.trace_id.as_ref().map(TraceId::as_str);
    let current = runtime::telemetry::trace_id(&Span::current());
    let original_trace_id = first.filter(|first| current.as_deref() != Some(*first));
    let (event_id, event_type) = match &record.filing {
        Filing::Event(filed) => (Some(&filed.event.key.event_id), Some(filed.event.event_type.as_str())),
        Filing::Evidence { subject: Subject::Event(key), .. } => (Some(&key.event_id), None),
        Filing::Evidence { subject: Subject::Source(_) | Subject::Unknown, .. } => (None, None),
    };
    let event_id = event_id.map(EventId::as_str);
    let (outcome, settlement) = (recorded.outcome.as_str(), recorded.settlement);
    let reason = recorded.reason.map(Reason::as_str);
    let parked = recorded.reason.map(Reason::outcome) == Some(Outcome::Parked);
    macro_rules! say {
        ($level:ident, $message:literal) => {
            tracing::$level!(event_id, event_type, original_trace_id, outcome, ?settlement, reason, $message)
        };
    }
    if record.delivery.gate == Gate::Refused {
        // The ingress has warned of it.
        say!(info, "Kept a refused delivery");
    } else if parked {
        say!(warn, "Parked an event");
    } else {
        say!(info, "Recorded an event");
    }
}

pub(crate) fn counted(total: &ControlTotal) {
    let ControlTotal { instance, window, confirmed, last, .. } = total;
    tracing::debug!(%instance, window, confirmed, last, "Recorded a control total");
}

pub(crate) fn acted(request: Request, acted: Option<&Acted>) {
    let action_id = request.action.0;
    let Some(Acted { event, status, reason, .. }) = acted else {
        // Whoever can publish to the bus may ask; only the books can say what an operator wants.
        tracing::warn!(action_id, "Asked for an action that no operator has put down: nothing is done");
        return;
    };
    let event_id = event.as_ref().map(|event| event.key.event_id.as_str());
    let (status, reason) = (status.as_str(), reason.map(Reason::as_str));
    tracing::info!(action_id, event_id, status, reason, "An operator's action is carried out");
}
