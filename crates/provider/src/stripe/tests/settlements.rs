//! Lines of the balance: what each type of them settles, and what it costs.

use super::fixtures::*;
use super::*;

/// Type and category of a line, its amount and fee, and the legs that it comes to.
const LINES: &[(&str, &str, i64, i64, &str)] = &[
    (
        "charge",
        "charge",
        1000,
        59,
        "assets:stripe:balance 9.41 USD, expenses:psp-fees 0.59 USD, assets:stripe:clearing -10.00 USD",
    ),
    ("payment", "charge", 1000, 0, "assets:stripe:balance 10.00 USD, assets:stripe:clearing -10.00 USD"),
    (
        "payment_failure_refund",
        "charge_failure",
        -1000,
        0,
        "assets:stripe:balance -10.00 USD, assets:stripe:clearing 10.00 USD",
    ),
    ("refund", "refund", -300, 0, "assets:stripe:balance -3.00 USD, assets:stripe:clearing 3.00 USD"),
    (
        "refund",
        "partial_capture_reversal",
        -600,
        -18,
        "assets:stripe:balance -5.82 USD, expenses:psp-fees -0.18 USD, assets:stripe:clearing 6.00 USD",
    ),
    (
        "refund_failure",
        "refund_failure",
        300,
        0,
        "assets:stripe:balance 3.00 USD, assets:stripe:clearing -3.00 USD",
    ),
    (
        "adjustment",
        "dispute",
        -1000,
        1500,
        "assets:stripe:balance -25.00 USD, expenses:psp-fees 15.00 USD, expenses:disputes 10.00 USD",
    ),
    (
        "adjustment",
        "dispute_reversal",
        1000,
        0,
        "assets:stripe:balance 10.00 USD, expenses:disputes -10.00 USD",
    ),
    (
        "payout",
        "payout",
        -2500,
        25,
        "assets:stripe:balance -25.25 USD, expenses:psp-fees 0.25 USD, assets:stripe:clearing 25.00 USD",
    ),
    (
        "payout_failure",
        "payout_reversal",
        2500,
        0,
        "assets:stripe:balance 25.00 USD, assets:stripe:clearing -25.00 USD",
    ),
    ("transfer", "transfer", -800, 0, "assets:stripe:balance -8.00 USD, assets:stripe:clearing 8.00 USD"),
    (
        "transfer_refund",
        "transfer_reversal",
        250,
        0,
        "assets:stripe:balance 2.50 USD, assets:stripe:clearing -2.50 USD",
    ),
    (
        "transfer_failure",
        "transfer_reversal",
        250,
        0,
        "assets:stripe:balance 2.50 USD, liabilities:connected -2.50 USD",
    ),
    (
        "application_fee",
        "platform_earning",
        150,
        0,
        "assets:stripe:balance 1.50 USD, assets:stripe:clearing -1.50 USD",
    ),
    (
        "application_fee_refund",
        "platform_earning_refund",
        -45,
        0,
        "assets:stripe:balance -0.45 USD, assets:stripe:clearing 0.45 USD",
    ),
    ("topup", "topup", 5000, 0, "assets:stripe:balance 50.00 USD, assets:stripe:clearing -50.00 USD"),
    ("stripe_fee", "fee", -20, 0, "assets:stripe:balance -0.20 USD, expenses:psp-fees 0.20 USD"),
    (
        "reserve_transaction",
        "risk_reserved_funds",
        -20,
        0,
        "assets:stripe:balance -0.20 USD, assets:stripe:reserved 0.20 USD",
    ),
    ("adjustment", "other_adjustment", 20, 0, "assets:stripe:balance 0.20 USD, suspense -0.20 USD"),
    (
        "climate_order_purchase",
        "climate_order_purchase",
        -20,
        0,
        "assets:stripe:balance -0.20 USD, suspense 0.20 USD",
    ),
    (
        "novelty",
        "novelty",
        20,
        1,
        "assets:stripe:balance 0.19 USD, expenses:psp-fees 0.01 USD, suspense -0.20 USD",
    ),
];

#[test]
fn lines_of_the_balance_settle_what_was_announced() {
    for (kind, category, amount, fee, legs) in LINES {
        let line = line("txn_1", kind, category, *amount, *fee);
        let expected = [format!("txn_1/settlement -30s: {legs}")];
        assert_eq!(posted("balance_transaction", &line), expected, "{kind} {category}");
    }
    let nothing = line("txn_1", "charge", "charge", 0, 0);
    assert_eq!(posted("balance_transaction", &nothing), ["nothing-moved-yet"]);
}

#[test]
fn a_settlement_is_one_and_the_same_in_the_dispute_and_in_the_balance() {
    let of_dispute = movements("charge.dispute.closed", &dispute("won", &[withdrawn(), reinstated()]));
    let of_balance: Vec<_> =
        [withdrawn(), reinstated()].iter().flat_map(|line| movements("balance_transaction", line)).collect();
    assert_eq!(of_dispute, of_balance);
}

#[test]
fn a_line_says_which_money_object_it_takes_out_of_clearing() {
    let settles = |line: &Value| {
        let movement = movements("balance_transaction", line).remove(0);
        movement.settles.map(|object| object.to_string())
    };
    let charge = line("txn_1", "charge", "charge", 1000, 59);
    assert_eq!(settles(&charge).as_deref(), Some("src_of_line"));
    let expanded = with(charge.clone(), "source", json!({ "id": "ch_1", "object": "charge" }));
    assert_eq!(settles(&expanded).as_deref(), Some("ch_1"));
    assert_eq!(settles(&with(charge, "source", Value::Null)), None);
    // What another account than clearing takes was announced nowhere.
    assert_eq!(settles(&line("txn_1", "stripe_fee", "fee", -20, 0)), None);
    assert_eq!(settles(&withdrawn()), None);
}

#[test]
fn the_fees_of_a_settlement_are_told_apart() {
    let detail = |kind: &str, amount: i64| json!({ "type": kind, "amount": amount, "currency": "usd" });
    let details = json!([
        detail("stripe_fee", 20),
        detail("tax", 4),
        detail("application_fee", 10),
        detail("stripe_fee", 5),
        detail("payment_method_passthrough_fee", 3),
        detail("withheld_tax", 2),
        detail("novelty", 1),
    ]);
    let line = with(line("txn_1", "charge", "charge", 1000, 45), "fee_details", details);
    let movement = movements("balance_transaction", &line).remove(0);
    let parts: Vec<_> = movement.parts.iter().map(|(part, amount)| (part.as_str(), amount.minor())).collect();
    assert_eq!(
        parts,
        [
            ("gross", 1000),
            ("net", 955),
            ("fee-provider", 25),
            ("fee-network", 3),
            ("fee-application", 10),
            ("fee-tax", 4),
            ("fee-withheld-tax", 2),
            ("fee-other", 1),
        ]
    );
}
