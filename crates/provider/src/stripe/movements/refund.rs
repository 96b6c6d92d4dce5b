//! Refunds. <https://docs.stripe.com/api/refunds/object>

use ledger::{Movement, MovementKind, Reason};

use super::shown::{Listed, Shown};
use crate::stripe::snapshot::{Object, Reference};

/// A refund asserts itself once it has a balance transaction, and its failure once it has the other one too.
pub(super) fn refund(shown: Shown<'_>) -> Result<Vec<Movement>, Reason> {
    let refund = shown.object;
    let paid = Reference::is_there(refund.balance_transaction.as_ref())?;
    let returned = Reference::is_there(refund.failure_balance_transaction.as_ref())?;
    let mut movements = Vec::new();
    match (paid, returned) {
        (false, false) => {}
        (false, true) => return Err(Reason::ObjectUnreadable),
        (true, _) => movements.extend(shown.own(MovementKind::Refund, &["refund.created"])?),
    }
    if returned {
        movements.extend(shown.own(MovementKind::RefundFailed, &["refund.failed"])?);
    }
    Ok(movements)
}

/// The refunds that a captured charge lists, as it does before API version 2022-11-15. The cumulative `amount_refunded`
/// alone proves nothing: then their own events do.
pub(super) fn of_charge(shown: Shown<'_>) -> Result<Vec<Movement>, Reason> {
    let charge = shown.object;
    let listed = Listed::of(charge.refunds.as_ref());
    if listed.is_cut_short && listed.misses(charge.amount_refunded, has_not_failed) {
        return Err(Reason::ListTruncated);
    }
    let released = released(charge, &listed);
    let mut movements = Vec::new();
    for item in listed.items {
        if !released.is_some_and(|released| std::ptr::eq(released, item)) {
            movements.extend(refund(shown.at(item))?);
        }
    }
    Ok(movements)
}

/// What a partial capture releases stands among the refunds, with a balance transaction (`partial_capture_reversal`) and
/// all, though nothing of it was ever captured: the oldest one of exactly that amount.
/// <https://docs.stripe.com/reports/reporting-categories>
fn released<'e>(charge: &Object<'_>, listed: &Listed<'e>) -> Option<&'e Object<'e>> {
    let uncaptured = charge.amount?.checked_sub(charge.amount_captured?).filter(|units| *units > 0)?;
    // The newest stands first.
    let items = listed.items.iter().rev().filter(|item| item.amount == Some(uncaptured));
    items.min_by_key(|item| item.created).copied()
}

fn has_not_failed(refund: &Object<'_>) -> bool {
    !matches!(refund.status, Some("failed" | "canceled"))
}
