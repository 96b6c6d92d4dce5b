//! Top-ups of the balance. <https://docs.stripe.com/api/topups/object>

use ledger::{Movement, MovementKind, Reason};

use super::shown::Shown;

/// A top-up that succeeded asserts itself; one that was reversed, its reversal too.
pub(super) fn topup(shown: Shown<'_>) -> Result<Vec<Movement>, Reason> {
    let reversed = match shown.status()? {
        "succeeded" => false,
        "reversed" => true,
        "pending" | "failed" | "canceled" => return Err(Reason::NothingMovedYet),
        _ => return Err(Reason::ObjectUnreadable),
    };
    let mut movements = Vec::from_iter(shown.own(MovementKind::Topup, &["topup.succeeded"])?);
    if reversed {
        movements.extend(shown.own(MovementKind::TopupReversed, &["topup.reversed"])?);
    }
    Ok(movements)
}
