//! Payouts. <https://docs.stripe.com/api/payouts/object>

use ledger::{Movement, MovementKind, Part, Reason};

use super::shown::Shown;
use crate::stripe::snapshot::Reference;

/// A payout asserts that it was sent, whatever became of it; one that failed or was canceled, that it came back too. `paid`
/// is no end: a payout may fail days later. A negative one takes money from the bank.
pub(super) fn payout(shown: Shown<'_>) -> Result<Vec<Movement>, Reason> {
    let payout = shown.object;
    let returned = match shown.status()? {
        "pending" | "in_transit" | "paid" => {
            Reference::is_there(payout.failure_balance_transaction.as_ref())?
        }
        "failed" | "canceled" => true,
        _ => return Err(Reason::ObjectUnreadable),
    };
    let gross = vec![(Part::Gross, shown.signed(payout.amount)?)];
    let mut movements = Vec::from_iter(shown.movement(
        MovementKind::PayoutSent,
        payout.id,
        gross.clone(),
        &["payout.created"],
    )?);
    if returned {
        let announced_by = &["payout.failed", "payout.canceled"];
        movements.extend(shown.movement(MovementKind::PayoutReturned, payout.id, gross, announced_by)?);
    }
    Ok(movements)
}
