//! Which movements a Telegram update asserts: a function of the update alone.

use ledger::{Movement, MovementKey, MovementKind, ObjectId, Part, Reason};
use money::{Amount, Currency};

use super::content::{Content, MESSAGE, Payment, moves_no_money};
use super::update::Update;
use super::{Telegram, currency, object_id};
use crate::{Assessment, EventView, Provider as _, SettlesWith, Stripe};

/// Telegram Stars, which only Telegram settles.
const STARS: &str = "XTR";

/// Kinds that tell of Stars received without saying how many.
const SHOWS_NO_AMOUNT: &[&str] = &["purchased_paid_media"];

pub(super) fn assess(event: &EventView<'_>) -> Assessment {
    movements(event).map_or_else(Assessment::Keep, Assessment::Movements)
}

fn movements(event: &EventView<'_>) -> Result<Vec<Movement>, Reason> {
    let payload = str::from_utf8(event.payload).map_err(|_| Reason::ObjectUnreadable)?;
    let update = Update::read(payload).map_err(|_| Reason::ObjectUnreadable)?;
    let content = Content::read(&update).map_err(|_| Reason::ObjectUnreadable)?;
    let mut movements = Vec::new();
    if update.kind == MESSAGE {
        if let Some(payment) = content.payment() {
            movements.push(capture(event, payment)?);
        }
        if let Some(refund) = content.refund() {
            movements.push(refunded(event, refund)?);
        }
    }
    if !movements.is_empty() {
        Ok(movements)
    } else if moves_no_money(&update.kind) {
        Err(Reason::MovesNoMoney)
    } else if SHOWS_NO_AMOUNT.contains(&&*update.kind) {
        Err(Reason::ThinEvent)
    } else if content.total_amount.is_some() && content.currency.is_some() {
        Err(Reason::UnknownMoney)
    } else {
        Err(Reason::UnknownType)
    }
}

/// A payment: Telegram's own money, or, in fiat that another source settles, that source's.
fn capture(event: &EventView<'_>, payment: &Payment<'_>) -> Result<Movement, Reason> {
    let gross = paid(payment)?;
    let kind = MovementKind::Capture;
    let key = match settling(event, gross.currency()) {
        None => own_key(event, payment, kind)?,
        Some(settling) => MovementKey {
            provider: settling.provider.clone(),
            account: settling.account.clone(),
            livemode: event.livemode,
            object_id: settled_object(settling, payment).ok_or(Reason::ObjectUnreadable)?,
            kind,
        },
    };
    Ok(Movement { key, occurred_at: event.created, settles: None, parts: vec![(Part::Gross, gross)] })
}

/// A refund, which is always of the whole payment and has its id. Telegram announces those of Stars alone; of fiat money
/// that another source settles, that source tells under an id of its own.
fn refunded(event: &EventView<'_>, refund: &Payment<'_>) -> Result<Movement, Reason> {
    let gross = paid(refund)?;
    if settling(event, gross.currency()).is_some() {
        return Err(Reason::DescribedElsewhere);
    }
    let key = own_key(event, refund, MovementKind::Refund)?;
    Ok(Movement { key, occurred_at: event.created, settles: None, parts: vec![(Part::Gross, gross)] })
}

fn own_key(event: &EventView<'_>, payment: &Payment<'_>, kind: MovementKind) -> Result<MovementKey, Reason> {
    Ok(MovementKey {
        provider: Telegram.name(),
        account: event.account.clone(),
        livemode: event.livemode,
        object_id: object_id(payment.telegram_payment_charge_id).ok_or(Reason::ObjectUnreadable)?,
        kind,
    })
}

/// Who settles money in `currency`, if not Telegram itself.
fn settling<'a>(event: &EventView<'a>, currency: Currency) -> Option<&'a SettlesWith> {
    event.settles_with.filter(|_| currency.code() != STARS)
}

/// The money object's id at the source that settles it. Stripe keys a capture by its charge, which is never told by any
/// other id: under that of a payment intent the money would be booked twice.
fn settled_object(settling: &SettlesWith, payment: &Payment<'_>) -> Option<ObjectId> {
    let id = object_id(payment.provider_payment_charge_id)?;
    let is_charge = ["ch_", "py_"].iter().any(|prefix| id.as_str().starts_with(prefix));
    (is_charge || settling.provider != Stripe.name()).then_some(id)
}

/// The amount of a payment: more than nothing, in a currency of the books, exact.
fn paid(payment: &Payment<'_>) -> Result<Amount, Reason> {
    let code = payment.currency.ok_or(Reason::CurrencyUnknown)?;
    let currency = Currency::parse(code).map_err(|_| Reason::CurrencyUnknown)?;
    let units = payment.total_amount.filter(|units| *units >= 0).ok_or(Reason::AmountUnreadable)?;
    let amount = currency::amount(units, currency).ok_or(Reason::AmountUnreadable)?;
    if amount.is_zero() { Err(Reason::NothingMovedYet) } else { Ok(amount) }
}
