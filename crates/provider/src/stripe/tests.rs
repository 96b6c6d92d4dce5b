use ledger::{EventType, Livemode, ProviderAccount, Reason, UnixMillis};
use proptest::prelude::*;
use serde_json::{Value, json};
use signature::{Freshness, Request, Scheme, Secret, sign_stripe, verify};

use super::*;
use crate::{Assessment, Event, EventView, Unreadable};

const CREATED: i64 = 1_795_000_000;

fn own_account() -> ProviderAccount {
    ProviderAccount::parse("acct_dev").unwrap()
}

/// Signs `body` and reads it as the ingress does.
fn read(body: &str) -> Result<Event, Unreadable> {
    let secret = Secret::parse(b"whsec_of_this_test", Scheme::Stripe).unwrap();
    let header = sign_stripe(&secret, CREATED, body.as_bytes());
    let headers = [("stripe-signature", header.as_bytes())];
    let request = Request { headers: &headers, body: body.as_bytes() };
    let verified =
        verify(Scheme::Stripe, &request, &[secret], Freshness::of(Scheme::Stripe), CREATED).unwrap();
    Stripe.events(&verified, &own_account()).map(|mut events| events.remove(0))
}

fn assess(event: &Event) -> Assessment {
    Stripe.assess(&EventView {
        event_type: &event.event_type,
        account: &event.account,
        livemode: event.livemode,
        created: event.created,
        payload: &event.payload,
    })
}

fn event(event_type: &str, object: &Value) -> Value {
    json!({
        "id": "evt_1", "object": "event", "api_version": "2026-10-28.endive", "created": CREATED,
        "data": { "object": object, "previous_attributes": { "description": "before" } },
        "livemode": false, "pending_webhooks": 2,
        "request": { "id": "req_1", "idempotency_key": "k" }, "type": event_type,
    })
}

fn charge() -> Value {
    json!({
        "id": "ch_1", "object": "charge", "amount": 1000, "amount_captured": 1000, "amount_refunded": 0,
        "currency": "usd", "created": CREATED - 60, "status": "succeeded", "captured": true, "paid": true,
        "payment_intent": "pi_1", "balance_transaction": null, "failure_code": null,
        "billing_details": { "email": "jenny@example.com", "name": "Jenny Rosen" },
        "description": "card 4242424242424242", "receipt_email": "jenny@example.com",
        "payment_method_details": { "type": "card", "card": { "last4": "4242" } },
    })
}

fn intent() -> Value {
    json!({
        "id": "pi_1", "object": "payment_intent", "amount": 1000, "amount_received": 1000, "currency": "usd",
        "created": CREATED - 90, "status": "succeeded", "latest_charge": "ch_1",
        "client_secret": "pi_1_secret_abc", "receipt_email": "jenny@example.com",
    })
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}

fn assessed(event_type: &str, object: &Value) -> Assessment {
    assess(&read(&event(event_type, object).to_string()).unwrap())
}

fn kept(event_type: &str, object: &Value) -> Option<Reason> {
    match assessed(event_type, object) {
        Assessment::Keep(reason) => Some(reason),
        Assessment::Movements(_) => None,
    }
}

#[test]
fn an_event_is_read_with_its_identity_and_nothing_personal() {
    let event = read(&event("charge.succeeded", &charge()).to_string()).unwrap();
    assert_eq!(event.event_id.as_str(), "evt_1");
    assert_eq!(event.event_type, EventType::parse("charge.succeeded").unwrap());
    assert_eq!((event.created, event.livemode), (UnixMillis(CREATED * 1000), Livemode::Test));
    assert_eq!((event.account, event.object_id.unwrap().as_str()), (own_account(), "ch_1"));
    let payload = std::str::from_utf8(&event.payload).unwrap();
    for dropped in ["jenny", "Jenny", "4242", "before", "req_1"] {
        assert!(!payload.contains(dropped), "{dropped} in {payload}");
    }
}

#[test]
fn the_account_of_a_connected_event_is_its_own() {
    let connected = with(event("charge.succeeded", &charge()), "account", json!("acct_other"));
    assert_eq!(read(&connected.to_string()).unwrap().account.as_str(), "acct_other");
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
fn charge_and_payment_intent_assert_one_and_the_same_movement() {
    let of_charge = assessed("charge.succeeded", &charge());
    let of_intent = assessed("payment_intent.succeeded", &intent());
    let expanded = with(intent(), "latest_charge", charge());
    assert_eq!(of_charge, of_intent);
    assert_eq!(of_charge, assessed("payment_intent.succeeded", &expanded));
    let Assessment::Movements(movements) = of_charge else { panic!("a capture is asserted") };
    assert_eq!(movements[0].key.to_string(), "stripe/acct_dev/test/ch_1/capture");
    assert_eq!(movements[0].parts[0].1.to_string(), "10.00 USD");
    assert_eq!(movements[0].occurred_at, UnixMillis(CREATED * 1000));
}

#[test]
fn a_later_event_that_shows_the_charge_dates_the_capture_by_the_charge() {
    let Assessment::Movements(movements) = assessed("charge.updated", &charge()) else { panic!() };
    assert_eq!(movements[0].occurred_at, UnixMillis((CREATED - 60) * 1000));
}

#[test]
fn a_partial_capture_asserts_the_amount_captured() {
    let partial = with(charge(), "amount_captured", json!(400));
    let Assessment::Movements(movements) = assessed("charge.captured", &partial) else { panic!() };
    assert_eq!(movements[0].parts[0].1.minor(), 400);
}

#[test]
fn what_has_moved_nothing_is_ignored() {
    let uncaptured = with(charge(), "captured", json!(false));
    let failed = with(charge(), "status", json!("failed"));
    let free = with(charge(), "amount_captured", json!(0));
    for object in [uncaptured, failed, free, with(intent(), "status", json!("processing"))] {
        assert_eq!(kept("charge.updated", &object), Some(Reason::NothingMovedYet), "{object}");
    }
    assert_eq!(kept("payment_intent.created", &intent()), Some(Reason::MovesNoMoney));
    assert_eq!(kept("customer.subscription.updated", &json!({ "id": "sub_1" })), Some(Reason::MovesNoMoney));
    assert_eq!(
        kept("payment_intent.succeeded", &with(intent(), "latest_charge", Value::Null)),
        Some(Reason::DescribedElsewhere)
    );
    assert_eq!(
        kept("invoice.paid", &json!({ "id": "in_1", "object": "invoice" })),
        Some(Reason::DescribedElsewhere)
    );
}

#[test]
fn unknown_types_are_parked_if_they_speak_of_money() {
    let money = json!({ "id": "x_1", "object": "novelty", "amount": 5, "currency": "usd" });
    assert_eq!(kept("novelty.created", &money), Some(Reason::UnknownMoney));
    assert_eq!(
        kept("novelty.created", &json!({ "id": "x_1", "object": "novelty" })),
        Some(Reason::UnknownType)
    );
    assert_eq!(kept("priceless.created", &money), Some(Reason::UnknownMoney));
}

#[test]
fn money_that_cannot_be_read_is_parked_with_a_reason() {
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
    ] {
        let object = with(charge(), key, value.clone());
        assert_eq!(kept("charge.succeeded", &object), Some(reason), "{key} = {value}");
    }
    let exponent = event("charge.succeeded", &charge())
        .to_string()
        .replace("\"amount_captured\":1000", "\"amount_captured\":1e3");
    assert_eq!(assess(&read(&exponent).unwrap()), Assessment::Keep(Reason::AmountUnreadable));
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
    fn no_event_makes_reading_or_assessing_panic(amount: i64, currency in "[a-z]{0,4}", status in "\\PC{0,12}", id in "\\PC{0,20}") {
        let object = json!({
            "id": id, "object": "charge", "amount_captured": amount, "currency": currency,
            "status": status, "captured": true, "created": amount,
        });
        if let Ok(event) = read(&event("charge.succeeded", &object).to_string()) {
            match assess(&event) {
                Assessment::Movements(movements) => prop_assert!(!movements.is_empty()),
                Assessment::Keep(reason) => prop_assert!(!reason.as_str().is_empty()),
            }
        }
    }
}
