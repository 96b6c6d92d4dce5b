//! One row per event type: what it comes to, and when.

use super::fixtures::*;
use super::*;

const REFUND: &str = "re_1/refund -60s: income:refunds 3.00 USD, assets:stripe:clearing -3.00 USD";
const REFUND_FAILED: &str =
    "re_1/refund-failed -60s: assets:stripe:clearing 3.00 USD, income:refunds -3.00 USD";
const WITHDRAWN: &str = "txn_out/settlement -30s: assets:stripe:balance -25.00 USD, expenses:psp-fees 15.00 USD, expenses:disputes 10.00 USD";
const REINSTATED: &str = "txn_in/settlement -30s: assets:stripe:balance 25.00 USD, expenses:psp-fees -15.00 USD, expenses:disputes -10.00 USD";
const SENT: &str =
    "po_1/payout-sent -60s: assets:stripe:payouts 25.00 USD, assets:stripe:clearing -25.00 USD";
const RETURNED: &str =
    "po_1/payout-returned -60s: assets:stripe:clearing 25.00 USD, assets:stripe:payouts -25.00 USD";
const TRANSFER: &str =
    "tr_1/transfer-sent -60s: liabilities:connected 8.00 USD, assets:stripe:clearing -8.00 USD";
const REVERSED: &str =
    "trr_1/transfer-reversed -20s: assets:stripe:clearing 2.50 USD, liabilities:connected -2.50 USD";
const EARNED: &str = "fee_1/fee-earned -60s: assets:stripe:clearing 1.50 USD, income:platform-fees -1.50 USD";
const FEE_REFUNDED: &str =
    "fr_1/fee-refunded -20s: income:platform-fees 0.45 USD, assets:stripe:clearing -0.45 USD";
const TOPUP: &str = "tu_1/topup -60s: assets:stripe:clearing 50.00 USD, assets:stripe:payouts -50.00 USD";
const TOPUP_REVERSED: &str =
    "tu_1/topup-reversed -60s: assets:stripe:payouts 50.00 USD, assets:stripe:clearing -50.00 USD";

/// The movement that the event's type announces is dated by the event.
fn now(line: &str) -> String {
    let (key, legs) = line.split_once(": ").unwrap();
    format!("{} +0s: {legs}", key.split_once(' ').unwrap().0)
}

fn check(rows: Vec<(&str, Value, Vec<String>)>) {
    for (event_type, object, lines) in rows {
        assert_eq!(posted(event_type, &object), lines, "{event_type} {object}");
    }
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn refunds_by_their_balance_transactions() {
    let refund = || refund("re_1", 300);
    let pending = with(with(refund(), "balance_transaction", Value::Null), "status", json!("pending"));
    let expanded = with(refund(), "balance_transaction", line("txn_1", "refund", "refund", -300, 0));
    check(vec![
        ("refund.created", refund(), vec![now(REFUND)]),
        ("refund.created", with(refund(), "status", json!("pending")), vec![now(REFUND)]),
        ("refund.created", pending.clone(), lines(&["nothing-moved-yet"])),
        ("refund.created", expanded, vec![now(REFUND)]),
        ("refund.updated", refund(), lines(&[REFUND])),
        ("charge.refund.updated", refund(), lines(&[REFUND])),
        ("charge.refund.updated", failed(refund()), lines(&[REFUND, REFUND_FAILED])),
        ("refund.failed", failed(refund()), vec![REFUND.to_owned(), now(REFUND_FAILED)]),
        // Failed before anything had moved, or not told yet how the money came back.
        ("refund.failed", with(pending, "status", json!("failed")), lines(&["nothing-moved-yet"])),
        ("refund.failed", with(refund(), "status", json!("failed")), lines(&[REFUND])),
    ]);
}

#[test]
fn disputes_by_the_balance_transactions_that_they_list() {
    let open = |list: &[Value]| dispute("needs_response", list);
    let absent = |status: &str| {
        let mut dispute = dispute(status, &[]);
        dispute.as_object_mut().unwrap().remove("balance_transactions");
        dispute
    };
    check(vec![
        ("charge.dispute.created", open(&[]), lines(&["nothing-moved-yet"])),
        ("charge.dispute.created", dispute("warning_needs_response", &[]), lines(&["nothing-moved-yet"])),
        ("charge.dispute.created", absent("warning_needs_response"), lines(&["nothing-moved-yet"])),
        ("charge.dispute.created", open(&[withdrawn()]), lines(&[WITHDRAWN])),
        ("charge.dispute.funds_withdrawn", open(&[withdrawn()]), lines(&[WITHDRAWN])),
        ("charge.dispute.updated", dispute("under_review", &[withdrawn()]), lines(&[WITHDRAWN])),
        (
            "charge.dispute.funds_reinstated",
            dispute("won", &[withdrawn(), reinstated()]),
            lines(&[WITHDRAWN, REINSTATED]),
        ),
        (
            "charge.dispute.closed",
            dispute("won", &[withdrawn(), reinstated()]),
            lines(&[WITHDRAWN, REINSTATED]),
        ),
        ("charge.dispute.closed", dispute("lost", &[withdrawn()]), lines(&[WITHDRAWN])),
        ("charge.dispute.closed", dispute("warning_closed", &[]), lines(&["nothing-moved-yet"])),
        // Of an old version: no category, and a fee that stays.
        (
            "charge.dispute.updated",
            dispute(
                "won",
                &[with(line("txn_in", "adjustment", "", 1000, 0), "reporting_category", Value::Null)],
            ),
            lines(&["txn_in/settlement -30s: assets:stripe:balance 10.00 USD, expenses:disputes -10.00 USD"]),
        ),
        // Older still: an id where nothing is shown.
        (
            "charge.dispute.updated",
            with(absent("lost"), "balance_transaction", json!("txn_out")),
            lines(&["object-unreadable"]),
        ),
        // Withdrawn in another currency than the charge's: the balance's counts.
        (
            "charge.dispute.funds_withdrawn",
            with(open(&[withdrawn()]), "currency", json!("eur")),
            lines(&[WITHDRAWN]),
        ),
    ]);
}

#[test]
fn payouts_are_sent_whatever_became_of_them() {
    let negative = |status: &str| with(payout(status), "amount", json!(-2500));
    let swapped = |line: &str| {
        let line = line.replace(" 25.00", " x25.00").replace(" -25.00", " 25.00");
        line.replace(" x25.00", " -25.00")
    };
    let back = with(payout("failed"), "failure_balance_transaction", json!("txn_back"));
    let late = with(back.clone(), "status", json!("paid"));
    check(vec![
        ("payout.created", payout("pending"), vec![now(SENT)]),
        ("payout.updated", payout("in_transit"), lines(&[SENT])),
        ("payout.paid", payout("paid"), lines(&[SENT])),
        ("payout.paid", late, lines(&[SENT, RETURNED])),
        ("payout.reconciliation_completed", payout("paid"), lines(&[SENT])),
        ("payout.failed", back, vec![SENT.to_owned(), now(RETURNED)]),
        ("payout.failed", payout("failed"), vec![SENT.to_owned(), now(RETURNED)]),
        ("payout.canceled", payout("canceled"), vec![SENT.to_owned(), now(RETURNED)]),
        ("payout.paid", negative("paid"), vec![swapped(SENT)]),
        ("payout.failed", negative("failed"), vec![swapped(SENT), now(&swapped(RETURNED))]),
        ("payout.created", with(payout("pending"), "amount", json!(0)), lines(&["nothing-moved-yet"])),
    ]);
}

#[test]
fn transfers_and_fees_with_what_they_list() {
    let whole = || transfer(&[reversal("trr_1", 250)], 250, false);
    check(vec![
        ("transfer.created", transfer(&[], 0, false), vec![now(TRANSFER)]),
        ("transfer.updated", transfer(&[], 0, false), lines(&[TRANSFER])),
        ("transfer.reversed", whole(), lines(&[TRANSFER, REVERSED])),
        ("transfer.updated", whole(), lines(&[TRANSFER, REVERSED])),
        ("application_fee.created", fee(&[], 0, false), vec![now(EARNED)]),
        (
            "application_fee.refunded",
            fee(&[fee_refund("fr_1", 45)], 45, false),
            lines(&[EARNED, FEE_REFUNDED]),
        ),
        ("application_fee.refund.updated", fee_refund("fr_1", 45), lines(&[FEE_REFUNDED])),
    ]);
}

#[test]
fn topups_once_they_have_succeeded() {
    check(vec![
        ("topup.created", topup("pending"), lines(&["nothing-moved-yet"])),
        ("topup.succeeded", topup("succeeded"), vec![now(TOPUP)]),
        ("topup.reversed", topup("reversed"), vec![TOPUP.to_owned(), now(TOPUP_REVERSED)]),
        ("topup.failed", topup("failed"), lines(&["nothing-moved-yet"])),
        ("topup.canceled", topup("canceled"), lines(&["nothing-moved-yet"])),
    ]);
}

#[test]
fn witnesses_and_types_without_money_are_ignored() {
    let witness = |object: &str| json!({ "id": "x_1", "object": object, "amount": 1000, "amount_total": 1000, "currency": "usd" });
    for (event_type, object) in [
        ("checkout.session.completed", "checkout.session"),
        ("checkout.session.async_payment_succeeded", "checkout.session"),
        ("invoice.paid", "invoice"),
        ("invoice.payment_succeeded", "invoice"),
        ("invoice.created", "invoice"),
        ("invoice_payment.paid", "invoice_payment"),
    ] {
        assert_eq!(posted(event_type, &witness(object)), ["described-elsewhere"], "{event_type}");
    }
    for event_type in [
        "balance.available",
        "customer.subscription.updated",
        "payment_intent.created",
        "payment_intent.payment_failed",
        "price.created",
        "source.chargeable",
    ] {
        assert_eq!(posted(event_type, &witness("whatever")), ["moves-no-money"], "{event_type}");
    }
}

#[test]
fn unknown_types_are_parked_if_they_speak_of_money() {
    let object = |amounts: Value| with(with(amounts, "id", json!("x_1")), "object", json!("novelty"));
    let money = object(json!({ "amount": 5, "currency": "usd" }));
    assert_eq!(kept("novelty.created", &money), Some(Reason::UnknownMoney));
    assert_eq!(kept("priceless.created", &money), Some(Reason::UnknownMoney));
    assert_eq!(
        kept("novelty.created", &object(json!({ "amount_total": 5, "currency": "usd" }))),
        Some(Reason::UnknownMoney)
    );
    assert_eq!(kept("novelty.created", &object(json!({ "amount": 5 }))), Some(Reason::UnknownType));
    assert_eq!(kept("novelty.created", &object(json!({ "currency": "usd" }))), Some(Reason::UnknownType));
}
