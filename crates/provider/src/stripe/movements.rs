//! Which movements a Stripe event asserts: a function of the event alone.

use ledger::{Movement, MovementKey, MovementKind, ObjectId, Part, Reason, UnixMillis};
use money::{Amount, Currency};

use super::{Object, Stripe, currency, envelope};
use crate::{Assessment, EventView, Provider as _};

/// Families of types that move no money, whatever they show. A prefix ends in a dot.
const MOVES_NO_MONEY: &[&str] = &[
    "account.",
    "balance.available",
    "billing_portal.",
    "capability.",
    "coupon.",
    "credit_note.",
    "customer.",
    "file.",
    "mandate.",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.created",
    "payment_intent.partially_funded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_link.",
    "payment_method.",
    "person.",
    "plan.",
    "price.",
    "product.",
    "promotion_code.",
    "quote.",
    "radar.",
    "setup_intent.",
    "subscription_schedule.",
    "tax.",
    "tax_rate.",
    "terminal.",
    "test_helpers.",
];

/// Objects that describe money whose own object sends its own events.
const WITNESSES: &[&str] = &["invoice", "invoice_payment", "invoiceitem", "checkout.session", "subscription"];

pub(super) fn assess(event: &EventView<'_>) -> Assessment {
    movements(event).map_or_else(Assessment::Keep, Assessment::Movements)
}

fn movements(event: &EventView<'_>) -> Result<Vec<Movement>, Reason> {
    let envelope = envelope(event.payload).map_err(|_| Reason::ObjectUnreadable)?;
    if envelope.is_thin() {
        return Err(Reason::ThinEvent);
    }
    let event_type = event.event_type.as_str();
    let moves_none = |family: &&str| match family.strip_suffix('.') {
        Some(name) => event_type.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')),
        None => event_type == *family,
    };
    if MOVES_NO_MONEY.iter().any(moves_none) {
        return Err(Reason::MovesNoMoney);
    }
    let object = envelope.shown().ok_or(Reason::ObjectUnreadable)?;
    match object.object {
        Some("charge") => charge(event, object),
        Some("payment_intent") => payment_intent(event, object),
        Some(kind) if WITNESSES.contains(&kind) => Err(Reason::DescribedElsewhere),
        Some(_) | None if object.amount.is_some() && object.currency.is_some() => Err(Reason::UnknownMoney),
        Some(_) | None => Err(Reason::UnknownType),
    }
}

/// A charge that succeeded and is captured asserts its capture, in every event that shows it.
fn charge(event: &EventView<'_>, charge: &Object<'_>) -> Result<Vec<Movement>, Reason> {
    if charge.status.ok_or(Reason::ObjectUnreadable)? != "succeeded"
        || !charge.captured.ok_or(Reason::ObjectUnreadable)?
    {
        return Err(Reason::NothingMovedYet);
    }
    let announces = matches!(event.event_type.as_str(), "charge.succeeded" | "charge.captured");
    capture(event, charge.id, charge.amount_captured, charge, announces)
}

/// A payment intent that succeeded asserts the capture of its charge, if it names one.
fn payment_intent(event: &EventView<'_>, intent: &Object<'_>) -> Result<Vec<Movement>, Reason> {
    if intent.status.ok_or(Reason::ObjectUnreadable)? != "succeeded" {
        return Err(Reason::NothingMovedYet);
    }
    let Some(charge) = intent.latest_charge.as_ref() else { return Err(Reason::DescribedElsewhere) };
    let announces = event.event_type.as_str() == "payment_intent.succeeded";
    capture(event, charge.id(), intent.amount_received, intent, announces)
}

fn capture(
    event: &EventView<'_>,
    charge_id: Option<&str>,
    units: Option<i64>,
    shown: &Object<'_>,
    announces: bool,
) -> Result<Vec<Movement>, Reason> {
    let charge_id = charge_id.filter(|id| !id.contains('*')).and_then(|id| ObjectId::parse(id).ok());
    let gross = settled_amount(units, shown.currency)?;
    if gross.is_zero() {
        return Err(Reason::NothingMovedYet);
    }
    let of_object = shown.created.map(UnixMillis::from_seconds);
    Ok(vec![Movement {
        key: MovementKey {
            provider: Stripe.name(),
            account: event.account.clone(),
            livemode: event.livemode,
            object_id: charge_id.ok_or(Reason::ObjectUnreadable)?,
            kind: MovementKind::Capture,
        },
        occurred_at: of_object.filter(|_| !announces).unwrap_or(event.created),
        parts: vec![(Part::Gross, gross)],
    }])
}

/// An amount that money has moved by: not negative, in a currency of the books, exact.
fn settled_amount(units: Option<i64>, code: Option<&str>) -> Result<Amount, Reason> {
    let code = code.ok_or(Reason::CurrencyUnknown)?;
    let currency = Currency::parse(code).map_err(|_| Reason::CurrencyUnknown)?;
    let units = units.filter(|units| *units >= 0).ok_or(Reason::AmountUnreadable)?;
    currency::amount(units, currency).map_err(|_| Reason::AmountUnreadable)
}
