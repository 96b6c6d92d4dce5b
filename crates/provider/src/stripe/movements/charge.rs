//! Charges and payment intents: captures. <https://docs.stripe.com/api/charges/object>,
//! <https://docs.stripe.com/api/payment_intents/object>

use ledger::{Movement, MovementKind, Part, Reason};

use super::refund;
use super::shown::Shown;
use crate::stripe::snapshot::Object;

/// The types that announce a capture.
const CAPTURED: &[&str] = &["charge.succeeded", "charge.captured", "payment_intent.succeeded"];

/// A charge that succeeded and is captured asserts its capture, and every refund that it lists.
pub(super) fn charge(shown: Shown<'_>) -> Result<Vec<Movement>, Reason> {
    let charge = shown.object;
    match shown.status()? {
        "succeeded" => {}
        "pending" | "failed" => return Err(Reason::NothingMovedYet),
        _ => return Err(Reason::ObjectUnreadable),
    }
    let captured = charge.captured.ok_or(Reason::ObjectUnreadable)?;
    if is_between_captures(charge, captured) {
        return Err(Reason::Multicapture);
    }
    if !captured {
        return Err(Reason::NothingMovedYet);
    }
    let mut movements = Vec::from_iter(capture(shown, charge.id, charge.amount_captured)?);
    movements.extend(refund::of_charge(shown)?);
    Ok(movements)
}

/// A payment intent that succeeded asserts the capture of its charge, if it names one.
pub(super) fn payment_intent(shown: Shown<'_>) -> Result<Vec<Movement>, Reason> {
    let intent = shown.object;
    match shown.status()? {
        "succeeded" => {}
        "requires_capture" if intent.amount_received.is_some_and(|received| received > 0) => {
            return Err(Reason::Multicapture);
        }
        "requires_payment_method"
        | "requires_confirmation"
        | "requires_action"
        | "requires_capture"
        | "requires_source"
        | "requires_source_action"
        | "processing"
        | "canceled" => {
            return Err(Reason::NothingMovedYet);
        }
        _ => return Err(Reason::ObjectUnreadable),
    }
    let Some(charge) = intent.latest_charge.as_ref() else { return Err(Reason::DescribedElsewhere) };
    Ok(Vec::from_iter(capture(shown, charge.id(), intent.amount_received)?))
}

fn capture(
    shown: Shown<'_>,
    charge_id: Option<&str>,
    units: Option<i64>,
) -> Result<Option<Movement>, Reason> {
    let gross = shown.unsigned(units)?;
    shown.movement(MovementKind::Capture, charge_id, vec![(Part::Gross, gross)], CAPTURED)
}

/// Whether more than has been captured so far may still be: the amount captured is then cumulative.
/// <https://docs.stripe.com/payments/multicapture>
fn is_between_captures(charge: &Object<'_>, captured: bool) -> bool {
    let so_far = charge.amount_captured.unwrap_or_default();
    let partial = charge.amount.is_some_and(|authorised| so_far < authorised);
    so_far > 0 && (!captured || (partial && charge.is_multicapturable()))
}
