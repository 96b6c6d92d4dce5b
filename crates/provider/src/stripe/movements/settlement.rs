//! Balance transactions: what the provider's balance changed by. <https://docs.stripe.com/api/balance_transactions/object>
//!
//! In each of them `amount = net + fee`, with the sign that the balance changes with. The type decides the counterpart
//! alone: <https://docs.stripe.com/reports/balance-transaction-types>,
//! <https://docs.stripe.com/reports/reporting-categories>.

use std::collections::BTreeMap;

use ledger::{Movement, MovementKind, ObjectId, Part, Reason};

use super::shown::Shown;
use crate::stripe::snapshot::Object;

/// An imported line of the balance: an event of type `balance_transaction` that shows one.
pub(super) fn line(shown: Shown<'_>) -> Result<Vec<Movement>, Reason> {
    let line = shown.object;
    let kind = line.kind.ok_or(Reason::ObjectUnreadable)?;
    Ok(Vec::from_iter(settlement(shown, counterpart(kind, line.reporting_category))?))
}

/// One that a dispute lists. An adjustment that does not say what for is for the dispute.
pub(super) fn of_dispute(shown: Shown<'_>) -> Result<Option<Movement>, Reason> {
    let line = shown.object;
    let kind = line.kind.ok_or(Reason::ObjectUnreadable)?;
    settlement(shown, counterpart(kind, line.reporting_category.or(Some("dispute"))))
}

fn settlement(shown: Shown<'_>, counterpart: Part) -> Result<Option<Movement>, Reason> {
    let line = shown.object;
    let mut parts = vec![(counterpart, shown.signed(line.amount)?), (Part::Net, shown.signed(line.net)?)];
    let fee = line.fee.ok_or(Reason::AmountUnreadable)?;
    if line.net.and_then(|net| net.checked_add(fee)) != line.amount {
        return Err(Reason::AmountUnreadable);
    }
    for (part, units) in fees(line, fee)? {
        parts.push((part, shown.signed(Some(units))?));
    }
    let movement = shown.movement(MovementKind::Settlement, line.id, parts, &[])?;
    // What another counterpart than clearing takes was never announced there.
    let source = line.source.as_ref().filter(|_| counterpart == Part::Gross);
    let settles = source.and_then(|source| ObjectId::parse(source.id()?).ok());
    Ok(movement.map(|movement| Movement { settles, ..movement }))
}

/// The fee by kind. Without details it is not told apart; with details it is their sum.
fn fees(line: &Object<'_>, fee: i64) -> Result<BTreeMap<Part, i64>, Reason> {
    let details = line.fee_details.as_deref().unwrap_or_default();
    if details.is_empty() {
        return Ok(BTreeMap::from([(Part::FeeOther, fee)]));
    }
    let mut fees: BTreeMap<Part, i64> = BTreeMap::new();
    let mut rest = fee;
    for detail in details {
        let detail = detail.as_ref().ok_or(Reason::ListTruncated)?;
        if detail.currency != line.currency {
            return Err(Reason::AmountUnreadable);
        }
        let part = match detail.kind {
            Some("stripe_fee") => Part::FeeProvider,
            Some("payment_method_passthrough_fee") => Part::FeeNetwork,
            Some("application_fee") => Part::FeeApplication,
            Some("tax") => Part::FeeTax,
            Some("withheld_tax") => Part::FeeWithheldTax,
            Some(_) | None => Part::FeeOther,
        };
        let units = detail.amount.ok_or(Reason::AmountUnreadable)?;
        let sum = fees.entry(part).or_default();
        *sum = sum.checked_add(units).ok_or(Reason::AmountUnreadable)?;
        rest = rest.checked_sub(units).ok_or(Reason::AmountUnreadable)?;
    }
    if rest == 0 { Ok(fees) } else { Err(Reason::AmountUnreadable) }
}

/// What a line of this type and category is for. What an object of its own has announced stands in clearing.
fn counterpart(kind: &str, category: Option<&str>) -> Part {
    match kind {
        "charge"
        | "payment"
        | "payment_failure_refund"
        | "refund"
        | "payment_refund"
        | "refund_failure"
        | "payout"
        | "payout_cancel"
        | "payout_failure"
        | "transfer"
        | "transfer_refund"
        | "application_fee"
        | "application_fee_refund"
        | "topup"
        | "topup_reversal" => Part::Gross,
        "transfer_cancel" | "transfer_failure" | "connect_collection_transfer" => Part::Connected,
        "stripe_fee" | "stripe_fx_fee" | "stripe_fee_tax" | "tax_fee" | "network_cost" => Part::Billed,
        "payment_network_reserve_hold"
        | "payment_network_reserve_release"
        | "payout_minimum_balance_hold"
        | "payout_minimum_balance_release"
        | "reserve_hold"
        | "reserve_release"
        | "reserve_transaction"
        | "reserved_funds" => Part::Reserved,
        "adjustment" => match category {
            Some("dispute" | "dispute_reversal") => Part::Disputed,
            Some("charge_failure" | "partial_capture_reversal" | "refund_failure") => Part::Gross,
            Some("fee" | "network_cost") => Part::Billed,
            Some("connect_reserved_funds" | "risk_reserved_funds") => Part::Reserved,
            Some(_) | None => Part::Unmapped,
        },
        _ => Part::Unmapped,
    }
}
