//! What an event is, before anything is said about money.

use ledger::{EventType, Livemode};
use proptest::prelude::*;

use super::fixtures::*;
use super::*;

#[test]
fn an_event_is_read_with_its_identity_and_nothing_personal() {
    let event = read(&event("charge.succeeded", &charge()).to_string()).unwrap();
    assert_eq!(event.event_id.as_str(), "evt_1");
    assert_eq!(event.event_type, EventType::parse("charge.succeeded").unwrap());
    assert_eq!((event.created, event.livemode), (UnixMillis(CREATED * 1000), Livemode::Test));
    assert_eq!((event.account, event.object_id.unwrap().as_str()), (own_account(), "ch_1"));
    let payload = std::str::from_utf8(&event.payload).unwrap();
    for dropped in ["before", "req_1", "description"] {
        assert!(!payload.contains(dropped), "{dropped} in {payload}");
    }
}

#[test]
fn nothing_personal_is_kept_of_any_object() {
    let (listed, back) = (refund("re_1", 300), failed(refund("re_2", 400)));
    for object in [
        charge(),
        old_charge(1000, 300, &[listed.clone(), back.clone()], false),
        with(
            charge(),
            "source",
            json!({ "id": "card_1", "object": "card", "name": "Jenny Rosen", "last4": "4242" }),
        ),
        intent(),
        listed,
        back,
        dispute("won", &[withdrawn(), reinstated()]),
        payout("paid"),
        transfer(&[reversal("trr_1", 250)], 250, false),
        fee(&[fee_refund("fr_1", 45)], 45, false),
        topup("succeeded"),
        line("txn_1", "charge", "charge", 1000, 59),
    ] {
        let event = read(&event("some.event", &object).to_string()).unwrap();
        let payload = std::str::from_utf8(&event.payload).unwrap();
        for dropped in
            ["enny", "JENNY", "4242", "secret", "203.0.113.7", "5678", "reference", "exchange_rate"]
        {
            assert!(!payload.contains(dropped), "{dropped} in {payload}");
        }
    }
}

#[test]
fn the_account_of_a_connected_event_is_its_own() {
    let connected = with(event("charge.succeeded", &charge()), "account", json!("acct_other"));
    let event = read(&connected.to_string()).unwrap();
    assert_eq!(event.account.as_str(), "acct_other");
    let Assessment::Movements(movements) = assess(&event) else { panic!() };
    assert_eq!(movements[0].key.to_string(), "stripe/acct_other/test/ch_1/capture");
}

#[test]
fn an_account_that_cannot_be_read_is_never_taken_for_the_sources_own() {
    let own = with(event("charge.succeeded", &charge()), "account", Value::Null);
    assert_eq!(read(&own.to_string()).unwrap().account, own_account());
    for account in
        [json!(5), json!({}), json!("acct with blanks"), json!("a".repeat(65)), json!("a".repeat(129))]
    {
        let body = with(event("charge.succeeded", &charge()), "account", account);
        assert!(read(&body.to_string()).is_err(), "{body}");
    }
}

#[test]
fn a_retry_has_the_same_fingerprint_and_another_content_has_not() {
    let first = event("charge.succeeded", &charge());
    let retry = with(first.clone(), "pending_webhooks", json!(0));
    let print = |value: &Value| read(&value.to_string()).unwrap().fingerprint;
    assert_eq!(print(&first), print(&retry));
    let dearer = event("charge.succeeded", &with(charge(), "amount", json!(2000)));
    assert!(print(&first).contradicts(&print(&dearer)));
}

#[test]
fn a_body_without_id_type_created_or_livemode_is_unreadable() {
    for key in ["id", "type", "created", "livemode", "object"] {
        for value in [Value::Null, json!({}), json!("a b")] {
            let body = with(event("charge.succeeded", &charge()), key, value);
            assert_eq!(read(&body.to_string()).map(|_| ()), Err(Unreadable::Field(key)), "{body}");
        }
    }
    assert_eq!(read("not json").map(|_| ()), Err(Unreadable::Json));
    let twice =
        event("charge.succeeded", &charge()).to_string().replacen('{', "{\"type\":\"charge.failed\",", 1);
    assert_eq!(read(&twice).map(|_| ()), Err(Unreadable::Json));
}

#[test]
fn a_thin_event_is_read_and_parked() {
    let thin = json!({
        "id": "evt_thin", "object": "v2.core.event", "type": "v2.core.account.updated", "livemode": false,
        "created": "2025-10-04T15:13:32.232083866Z", "context": null,
        "related_object": { "id": "acct_1", "type": "v2.core.account", "url": "/v2/core/accounts/acct_1" },
    });
    let event = read(&thin.to_string()).unwrap();
    assert_eq!(event.created, UnixMillis(1_759_590_812_232));
    assert_eq!(event.object_id.as_ref().unwrap().as_str(), "acct_1");
    assert_eq!(assess(&event), Assessment::Keep(Reason::ThinEvent));
}

proptest! {
    #[test]
    fn no_event_makes_reading_or_assessing_panic(
        amount: i64, fee: i64, currency in "[a-z]{0,4}", status in "\\PC{0,12}", id in "\\PC{0,20}", kind in 0_usize..10,
    ) {
        let kinds = [
            "charge", "payment_intent", "refund", "dispute", "payout", "transfer", "application_fee", "topup",
            "balance_transaction", "novelty",
        ];
        let object = json!({
            "id": id, "object": kinds[kind], "amount": amount, "amount_captured": amount, "amount_received": amount,
            "amount_reversed": fee, "currency": currency, "status": status, "captured": true, "created": amount,
            "fee": fee, "net": amount.wrapping_sub(fee), "type": status, "balance_transaction": id,
            "latest_charge": id, "fee_details": [{ "amount": fee, "currency": currency, "type": "tax" }],
            "balance_transactions": [{ "id": id, "amount": amount, "type": "adjustment" }, status],
            "refunds": { "data": [{ "id": id, "amount": fee }], "has_more": true }, "reversals": { "data": status },
        });
        if let Ok(event) = read(&event("some.event", &object).to_string()) {
            match assess(&event) {
                Assessment::Movements(movements) => prop_assert!(!movements.is_empty()),
                Assessment::Keep(reason) => prop_assert!(!reason.as_str().is_empty()),
            }
        }
    }
}

#[test]
fn what_an_event_is_about_is_told_in_the_books_own_units_or_not_at_all() {
    for (currency, units, minor) in [
        (json!("usd"), json!(1099), Some(1099)),
        (json!("isk"), json!(50_000), Some(500)),
        (json!("ugx"), json!(50_001), None),
        (json!("zzz"), json!(1), None),
        (json!(null), json!(1), None),
        (json!("usd"), json!(null), None),
        (json!("usd"), json!(-5), Some(-5)),
    ] {
        let object = with(with(charge(), "currency", currency.clone()), "amount", units.clone());
        let event = read(&event("some.type", &object).to_string()).unwrap();
        assert_eq!(Stripe.money(&event.payload).map(Amount::minor), minor, "{units} {currency}");
    }
    assert_eq!(Stripe.money(b"no JSON"), None);
}
