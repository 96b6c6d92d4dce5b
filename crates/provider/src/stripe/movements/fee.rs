//! Application fees of platforms. <https://docs.stripe.com/api/application_fees/object>

use ledger::{Movement, MovementKind, Reason};

use super::shown::{Listed, Shown};

/// An application fee asserts that it was earned, and each refund that it lists.
pub(super) fn application_fee(shown: Shown<'_>) -> Result<Vec<Movement>, Reason> {
    let fee = shown.object;
    let refunds = Listed::of(fee.refunds.as_ref());
    if refunds.misses(fee.amount_refunded, |_| true) {
        return Err(Reason::ListTruncated);
    }
    let mut movements = Vec::from_iter(shown.own(MovementKind::FeeEarned, &["application_fee.created"])?);
    for item in refunds.items {
        movements.extend(refund(shown.at(item))?);
    }
    Ok(movements)
}

/// A refund of an application fee asserts itself, listed or shown.
pub(super) fn refund(shown: Shown<'_>) -> Result<Vec<Movement>, Reason> {
    Ok(Vec::from_iter(shown.own(MovementKind::FeeRefunded, &[])?))
}
