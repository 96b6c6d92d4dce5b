//! Captures: what charge and payment intent have in common.

use super::fixtures::*;
use super::*;

const CAPTURE: &str = "ch_1/capture +0s: assets:stripe:clearing 10.00 USD, income:sales -10.00 USD";

#[test]
fn charge_and_payment_intent_assert_one_and_the_same_movement() {
    let of_charge = assessed("charge.succeeded", &charge());
    assert_eq!(of_charge, assessed("payment_intent.succeeded", &intent()));
    let expanded = with(intent(), "latest_charge", charge());
    assert_eq!(of_charge, assessed("payment_intent.succeeded", &expanded));
    let expanded = with(charge(), "balance_transaction", line("txn_1", "charge", "charge", 1000, 59));
    assert_eq!(of_charge, assessed("charge.succeeded", &with(expanded, "payment_intent", intent())));
    assert_eq!(posted("charge.captured", &charge()), [CAPTURE]);
}

#[test]
fn a_later_event_that_shows_the_charge_dates_the_capture_by_the_charge() {
    assert_eq!(posted("charge.updated", &charge()), [CAPTURE.replace("+0s", "-60s")]);
    let undated = with(charge(), "created", Value::Null);
    assert_eq!(posted("charge.updated", &undated), [CAPTURE]);
}

#[test]
fn a_partial_capture_asserts_the_amount_captured() {
    let partial = with(charge(), "amount_captured", json!(400));
    let capture = "ch_1/capture +0s: assets:stripe:clearing 4.00 USD, income:sales -4.00 USD";
    assert_eq!(posted("charge.captured", &partial), [capture]);
    assert_eq!(posted("payment_intent.succeeded", &with(intent(), "amount_received", json!(400))), [capture]);
}

#[test]
fn what_has_moved_nothing_is_ignored() {
    let uncaptured = with(with(charge(), "captured", json!(false)), "amount_captured", json!(0));
    let failed = with(charge(), "status", json!("failed"));
    let free = with(charge(), "amount_captured", json!(0));
    for object in [uncaptured, failed, free, with(intent(), "status", json!("processing"))] {
        assert_eq!(kept("charge.updated", &object), Some(Reason::NothingMovedYet), "{object}");
    }
    assert_eq!(
        kept("payment_intent.succeeded", &with(intent(), "latest_charge", Value::Null)),
        Some(Reason::DescribedElsewhere)
    );
}

#[test]
fn between_two_captures_the_payment_is_parked() {
    let available = json!({ "card": { "multicapture": { "status": "available" } } });
    let some = with(charge(), "amount_captured", json!(400));
    let open = with(some.clone(), "captured", json!(false));
    assert_eq!(kept("charge.updated", &open), Some(Reason::Multicapture));
    let again = with(some.clone(), "payment_method_details", available.clone());
    assert_eq!(kept("charge.captured", &again), Some(Reason::Multicapture));
    let waiting = with(with(intent(), "status", json!("requires_capture")), "amount_received", json!(400));
    assert_eq!(kept("payment_intent.updated", &waiting), Some(Reason::Multicapture));
    // All that was authorised is captured, or no more can be: final.
    assert_eq!(posted("charge.captured", &with(charge(), "payment_method_details", available)), [CAPTURE]);
    assert_eq!(kept("charge.captured", &some), None);
    let unasked = with(with(intent(), "status", json!("requires_capture")), "amount_received", json!(0));
    assert_eq!(kept("payment_intent.updated", &unasked), Some(Reason::NothingMovedYet));
}

#[test]
fn a_charge_of_an_old_version_asserts_the_refunds_that_it_lists() {
    let refunds = [failed(refund("re_2", 300)), refund("re_1", 200)];
    let capture = CAPTURE.replace("+0s", "-60s");
    assert_eq!(
        posted("charge.refunded", &old_charge(1000, 200, &refunds, false)),
        [
            capture.as_str(),
            "re_2/refund -60s: income:refunds 3.00 USD, assets:stripe:clearing -3.00 USD",
            "re_2/refund-failed -60s: assets:stripe:clearing 3.00 USD, income:refunds -3.00 USD",
            "re_1/refund -60s: income:refunds 2.00 USD, assets:stripe:clearing -2.00 USD",
        ]
    );
    assert_eq!(posted("charge.refunded", &old_charge(1000, 0, &[], false)), [capture.as_str()]);
    // What is listed is not all, and does not make up the sum.
    let more = old_charge(1000, 700, &refunds, true);
    assert_eq!(kept("charge.refunded", &more), Some(Reason::ListTruncated));
    let enough = old_charge(1000, 200, &refunds, true);
    assert_eq!(movements("charge.refunded", &enough).len(), 4);
    // The list of a later version is not shown: the amount alone proves nothing.
    assert_eq!(posted("charge.refunded", &with(charge(), "amount_refunded", json!(700))), [capture.as_str()]);
}

#[test]
fn what_a_partial_capture_released_is_no_refund() {
    let released = with(refund("re_0", 600), "created", json!(CREATED - 90));
    let refunds = [refund("re_1", 600), released.clone()];
    let capture = "ch_1/capture -60s: assets:stripe:clearing 4.00 USD, income:sales -4.00 USD";
    assert_eq!(posted("charge.updated", &old_charge(400, 600, &[released], false)), [capture]);
    assert_eq!(
        posted("charge.refunded", &old_charge(400, 1200, &refunds, false)),
        [capture, "re_1/refund -60s: income:refunds 6.00 USD, assets:stripe:clearing -6.00 USD"]
    );
}
