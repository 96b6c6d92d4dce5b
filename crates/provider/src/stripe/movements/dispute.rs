//! Disputes: the one object that shows its balance transactions. <https://docs.stripe.com/api/disputes/object>

use ledger::{Movement, Reason};

use super::settlement;
use super::shown::Shown;
use crate::stripe::snapshot::Reference;

/// A dispute asserts the settlement of each balance transaction that it lists: the withdrawal, and what was reinstated.
/// An inquiry lists none. Its own amount is no movement, won or lost.
pub(super) fn dispute(shown: Shown<'_>) -> Result<Vec<Movement>, Reason> {
    let dispute = shown.object;
    let listed = dispute.balance_transactions.as_deref().unwrap_or_default();
    if listed.is_empty() && Reference::is_there(dispute.balance_transaction.as_ref())? {
        return Err(Reason::ObjectUnreadable);
    }
    let mut movements = Vec::new();
    for item in listed {
        let balance_transaction = item.as_ref().ok_or(Reason::ListTruncated)?;
        movements.extend(settlement::of_dispute(shown.at(balance_transaction))?);
    }
    Ok(movements)
}
