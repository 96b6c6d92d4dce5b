//! What cannot be read without doubt is parked, with its reason.

use super::fixtures::*;
use super::*;

#[test]
fn a_capture_that_cannot_be_read_is_parked() {
    for (key, value, reason) in [
        ("amount_captured", json!(-1), Reason::AmountUnreadable),
        ("amount_captured", json!(18_446_744_073_709_551_615_u64), Reason::AmountUnreadable),
        ("amount_captured", json!(10.5), Reason::AmountUnreadable),
        ("amount_captured", json!("1000"), Reason::AmountUnreadable),
        ("amount_captured", Value::Null, Reason::AmountUnreadable),
        ("amount_captured", json!(4_242_424_242_424_242_i64), Reason::AmountUnreadable),
        ("currency", json!("zzz"), Reason::CurrencyUnknown),
        ("currency", Value::Null, Reason::CurrencyUnknown),
        ("id", Value::Null, Reason::ObjectUnreadable),
        ("id", json!("4242424242424242"), Reason::ObjectUnreadable),
        ("captured", json!("yes"), Reason::ObjectUnreadable),
        ("status", Value::Null, Reason::ObjectUnreadable),
        ("status", json!("novel"), Reason::ObjectUnreadable),
    ] {
        let object = with(charge(), key, value.clone());
        assert_eq!(kept("charge.succeeded", &object), Some(reason), "{key} = {value}");
    }
    let exponent = event("charge.succeeded", &charge())
        .to_string()
        .replace("\"amount_captured\":1000", "\"amount_captured\":1e3");
    assert_eq!(assess(&read(&exponent).unwrap()), Assessment::Keep(Reason::AmountUnreadable));
    for charge in [json!({ "object": "charge" }), json!(5), json!("a b"), json!("4242424242424242")] {
        let object = with(intent(), "latest_charge", charge.clone());
        assert_eq!(kept("payment_intent.succeeded", &object), Some(Reason::ObjectUnreadable), "{charge}");
    }
    assert_eq!(
        kept("payment_intent.succeeded", &with(intent(), "status", json!("novel"))),
        Some(Reason::ObjectUnreadable)
    );
}

#[test]
fn money_of_every_family_that_cannot_be_read_is_parked() {
    for object in [
        refund("re_1", 300),
        payout("paid"),
        transfer(&[], 0, false),
        fee(&[], 0, false),
        fee_refund("fr_1", 45),
        topup("succeeded"),
        line("txn_1", "charge", "charge", 1000, 59),
    ] {
        for (key, value, reason) in [
            ("amount", json!(i64::MIN), Reason::AmountUnreadable),
            ("amount", json!(1e3), Reason::AmountUnreadable),
            ("amount", Value::Null, Reason::AmountUnreadable),
            ("currency", json!("xxx"), Reason::CurrencyUnknown),
            ("currency", Value::Null, Reason::CurrencyUnknown),
            ("id", Value::Null, Reason::ObjectUnreadable),
            ("id", json!("a b"), Reason::ObjectUnreadable),
        ] {
            let broken = with(object.clone(), key, value.clone());
            assert_eq!(kept("some.event", &broken), Some(reason), "{key} = {value} in {broken}");
        }
        // Only a payout may come from the other side; a line of the balance has its sign in all its amounts.
        let negative = with(object.clone(), "amount", json!(-1));
        let reason = (object["object"] != "payout").then_some(Reason::AmountUnreadable);
        assert_eq!(kept("some.event", &negative), reason, "{negative}");
    }
    for object in [payout("novel"), topup("novel"), with(payout("paid"), "status", Value::Null)] {
        assert_eq!(kept("some.event", &object), Some(Reason::ObjectUnreadable), "{object}");
    }
    let bank = with(transfer(&[], 0, false), "type", json!("bank_account"));
    assert_eq!(kept("transfer.paid", &bank), Some(Reason::ObjectUnreadable));
}

#[test]
fn a_balance_transaction_that_is_neither_there_nor_not_parks_its_refund() {
    let refund = || refund("re_1", 300);
    for reference in [json!(5), json!({}), json!(["txn_1"]), json!("a b"), json!("4242424242424242")] {
        let broken = with(refund(), "balance_transaction", reference.clone());
        assert_eq!(kept("refund.updated", &broken), Some(Reason::ObjectUnreadable), "{reference}");
        let broken = with(refund(), "failure_balance_transaction", reference.clone());
        assert_eq!(kept("refund.updated", &broken), Some(Reason::ObjectUnreadable), "{reference}");
    }
    let back_only = with(failed(refund()), "balance_transaction", Value::Null);
    assert_eq!(kept("refund.failed", &back_only), Some(Reason::ObjectUnreadable));
}

#[test]
fn a_settlement_that_does_not_add_up_is_parked() {
    let charge = || line("txn_1", "charge", "charge", 1000, 59);
    let detail =
        |amount: Value, currency: &str| json!([{ "type": "tax", "amount": amount, "currency": currency }]);
    for (key, value, reason) in [
        ("net", json!(942), Reason::AmountUnreadable),
        ("net", Value::Null, Reason::AmountUnreadable),
        ("fee", json!(58), Reason::AmountUnreadable),
        ("fee", Value::Null, Reason::AmountUnreadable),
        ("fee_details", detail(json!(58), "usd"), Reason::AmountUnreadable),
        ("fee_details", detail(json!(59), "eur"), Reason::AmountUnreadable),
        ("fee_details", detail(Value::Null, "usd"), Reason::AmountUnreadable),
        ("fee_details", json!(["tax"]), Reason::ListTruncated),
        ("type", Value::Null, Reason::ObjectUnreadable),
    ] {
        let broken = with(charge(), key, value.clone());
        assert_eq!(kept("balance_transaction", &broken), Some(reason), "{key} = {value}");
        let listed = dispute("lost", &[withdrawn(), broken]);
        assert_eq!(kept("charge.dispute.closed", &listed), Some(reason), "{key} = {value}");
    }
    let least = with(with(charge(), "amount", json!(i64::MIN)), "net", json!(i64::MIN));
    let least = with(with(least, "fee", json!(0)), "fee_details", json!([]));
    assert_eq!(kept("balance_transaction", &least), Some(Reason::AmountUnreadable));
    let over = with(with(charge(), "net", json!(i64::MAX)), "fee", json!(1));
    assert_eq!(kept("balance_transaction", &over), Some(Reason::AmountUnreadable));
    let untold = with(charge(), "fee_details", Value::Null);
    assert_eq!(kept("balance_transaction", &untold), None);
}

#[test]
fn a_list_that_is_cut_short_parks_what_it_would_have_proven() {
    let reversals: Vec<_> = (0..10).map(|place| reversal(&format!("trr_{place}"), 10)).collect();
    let refunds: Vec<_> = (0..10).map(|place| fee_refund(&format!("fr_{place}"), 10)).collect();
    for (object, reason) in [
        (transfer(&reversals, 110, true), Some(Reason::ListTruncated)),
        (transfer(&reversals, 110, false), Some(Reason::ListTruncated)),
        (transfer(&reversals, 100, true), None),
        (transfer(&[], 10, false), Some(Reason::ListTruncated)),
        (with(transfer(&[], 10, false), "reversals", Value::Null), Some(Reason::ListTruncated)),
        (with(transfer(&[], 0, false), "reversals", Value::Null), None),
        (with(transfer(&reversals, 0, true), "amount_reversed", Value::Null), Some(Reason::ListTruncated)),
        (with(transfer(&reversals, 0, false), "amount_reversed", Value::Null), None),
        (transfer(&[json!("trr_1")], 10, false), Some(Reason::ListTruncated)),
        (fee(&refunds, 110, true), Some(Reason::ListTruncated)),
        (fee(&refunds, 100, true), None),
        (with(fee(&[], 10, false), "refunds", Value::Null), Some(Reason::ListTruncated)),
        (dispute("lost", &[withdrawn(), json!("txn_2")]), Some(Reason::ListTruncated)),
    ] {
        assert_eq!(kept("some.event", &object), reason, "{object}");
    }
    let long: Vec<_> =
        (0..101).map(|place| line(&format!("txn_{place}"), "adjustment", "dispute", -1, 0)).collect();
    assert_eq!(kept("charge.dispute.updated", &dispute("lost", &long)), Some(Reason::ListTruncated));
    assert_eq!(movements("charge.dispute.updated", &dispute("lost", &long[..100])).len(), 100);
}

#[test]
fn a_list_that_says_two_things_of_one_object_conflicts_with_itself() {
    let twice = transfer(&[reversal("trr_1", 250), reversal("trr_1", 250)], 250, false);
    assert_eq!(movements("transfer.reversed", &twice).len(), 2);
    let differently = transfer(&[reversal("trr_1", 250), reversal("trr_1", 200)], 250, false);
    assert_eq!(kept("transfer.reversed", &differently), Some(Reason::MovementConflict));
}

#[test]
fn amounts_have_the_exponent_of_stripe_or_are_parked() {
    let in_currency = |code: &str, amount: i64| {
        with(with(payout("paid"), "currency", json!(code)), "amount", json!(amount))
    };
    for (code, amount, printed) in [
        ("jpy", 500, "500 JPY"),
        ("kwd", 5120, "5.120 KWD"),
        ("isk", 50_000, "500 ISK"),
        ("mga", -3, "-3.00 MGA"),
    ] {
        let movement = movements("payout.paid", &in_currency(code, amount)).remove(0);
        assert_eq!(movement.parts[0].1.to_string(), printed);
    }
    assert_eq!(kept("payout.paid", &in_currency("isk", 50_001)), Some(Reason::AmountUnreadable));
    assert_eq!(kept("payout.paid", &in_currency("mga", i64::MAX)), Some(Reason::AmountUnreadable));
}
