//! Transfers to connected accounts. <https://docs.stripe.com/api/transfers/object>

use ledger::{Movement, MovementKind, Reason};

use super::shown::{Listed, Shown};

/// A transfer asserts that it was sent, and each reversal that it lists.
pub(super) fn transfer(shown: Shown<'_>) -> Result<Vec<Movement>, Reason> {
    let transfer = shown.object;
    // Before API version 2017-04-06 a payout was shown as a transfer to a bank account or a card.
    if matches!(transfer.kind, Some("bank_account" | "card")) {
        return Err(Reason::ObjectUnreadable);
    }
    let reversals = Listed::of(transfer.reversals.as_ref());
    if reversals.misses(transfer.amount_reversed, |_| true) {
        return Err(Reason::ListTruncated);
    }
    let mut movements = Vec::from_iter(shown.own(MovementKind::TransferSent, &["transfer.created"])?);
    for reversal in reversals.items {
        movements.extend(shown.at(reversal).own(MovementKind::TransferReversed, &[])?);
    }
    Ok(movements)
}
