//! Which movements a Stripe event asserts: a function of the event alone.
//!
//! An event asserts every movement that the object it shows proves, whatever its type is; the type only says when the
//! movement happened that it announces.

use ledger::{Movement, Reason};

use super::snapshot::Envelope;
use crate::{Assessment, EventView};

mod charge;
mod dispute;
mod fee;
mod payout;
mod refund;
mod settlement;
mod shown;
mod topup;
mod transfer;
mod types;

use shown::Shown;

pub(super) fn assess(event: &EventView<'_>) -> Assessment {
    movements(event).map_or_else(Assessment::Keep, Assessment::Movements)
}

fn movements(event: &EventView<'_>) -> Result<Vec<Movement>, Reason> {
    let envelope = Envelope::read(event.payload).map_err(|_| Reason::ObjectUnreadable)?;
    if envelope.is_thin() {
        return Err(Reason::ThinEvent);
    }
    if types::moves_no_money(event.event_type.as_str()) {
        return Err(Reason::MovesNoMoney);
    }
    let object = envelope.shown().ok_or(Reason::ObjectUnreadable)?;
    let shown = Shown { event, object };
    let asserted = match object.object {
        Some("charge") => charge::charge(shown)?,
        Some("payment_intent") => charge::payment_intent(shown)?,
        Some("refund") => refund::refund(shown)?,
        Some("dispute") => dispute::dispute(shown)?,
        Some("payout") => payout::payout(shown)?,
        Some("transfer") => transfer::transfer(shown)?,
        Some("application_fee") => fee::application_fee(shown)?,
        Some("fee_refund") => fee::refund(shown)?,
        Some("topup") => topup::topup(shown)?,
        Some("balance_transaction") => settlement::line(shown)?,
        Some(object) if types::is_witness(object) => return Err(Reason::DescribedElsewhere),
        Some(_) | None if object.speaks_of_money() => return Err(Reason::UnknownMoney),
        Some(_) | None => return Err(Reason::UnknownType),
    };
    once_each(asserted)
}

/// The movements, each key once: a list that has an item twice must say the same of it both times.
fn once_each(asserted: Vec<Movement>) -> Result<Vec<Movement>, Reason> {
    let mut movements: Vec<Movement> = Vec::with_capacity(asserted.len());
    for movement in asserted {
        match movements.iter().find(|other| other.key == movement.key) {
            None => movements.push(movement),
            Some(other) if other.digest() == movement.digest() => {}
            Some(_) => return Err(Reason::MovementConflict),
        }
    }
    if movements.is_empty() { Err(Reason::NothingMovedYet) } else { Ok(movements) }
}
