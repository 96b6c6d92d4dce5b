//! Which movements an update asserts.

use ledger::{Movement, MovementKind, Part, PostingTable, Reason};
use proptest::prelude::*;

use super::*;
use crate::Stripe;

fn assessed(kind: &str, content: &Value, settles_with: Option<&SettlesWith>) -> Assessment {
    assess(&read(update(41, kind, content)).unwrap(), settles_with)
}

fn kept(kind: &str, content: &Value) -> Option<Reason> {
    match assessed(kind, content, None) {
        Assessment::Keep(reason) => Some(reason),
        Assessment::Movements(_) => None,
    }
}

fn movement(field: &str, payment: &Value, settles_with: Option<&SettlesWith>) -> Movement {
    let assessment = assessed("message", &message(field, payment), settles_with);
    let Assessment::Movements(mut movements) = assessment else { panic!("{assessment:?}") };
    assert_eq!(movements.len(), 1);
    movements.remove(0)
}

fn stripe() -> SettlesWith {
    SettlesWith { provider: Stripe.name(), account: ProviderAccount::parse("acct_dev").unwrap() }
}

#[test]
fn a_payment_is_a_capture_and_a_refund_a_refund_of_the_same_object() {
    for (field, payment, key, gross) in [
        ("successful_payment", stars(), "telegram/7000000001/live/stxAbC-dEf_0123/capture", "75 XTR"),
        ("successful_payment", subscription(), "telegram/7000000001/live/stxAbC-dEf_0123/capture", "75 XTR"),
        ("successful_payment", fiat(), "telegram/7000000001/live/_5550001_XyZ/capture", "19.99 EUR"),
        ("refunded_payment", refund(), "telegram/7000000001/live/stxAbC-dEf_0123/refund", "75 XTR"),
    ] {
        let movement = movement(field, &payment, None);
        assert_eq!(movement.key.to_string(), key);
        assert_eq!(movement.parts.len(), 1);
        assert_eq!(movement.part(Part::Gross).unwrap().to_string(), gross);
        assert_eq!(movement.occurred_at, UnixMillis(WRITTEN * 1000));
        assert!(PostingTable::built_in().post(&movement).is_ok(), "{key}");
    }
}

#[test]
fn a_repeat_under_another_number_asserts_the_same_movement() {
    let paid = message("successful_payment", &fiat());
    let [first, second] = [41, 7].map(|id| assess(&read(update(id, "message", &paid)).unwrap(), None));
    assert_eq!(first, second);
}

#[test]
fn every_movement_that_a_message_shows_is_asserted() {
    let both = with(message("successful_payment", &stars()), "refunded_payment", refund());
    let Assessment::Movements(movements) = assessed("message", &both, None) else { panic!() };
    let kinds: Vec<_> = movements.iter().map(|movement| movement.key.kind).collect();
    assert_eq!(kinds, [MovementKind::Capture, MovementKind::Refund]);
    let half = with(both, "refunded_payment", with(refund(), "total_amount", json!(-75)));
    assert_eq!(kept("message", &half), Some(Reason::AmountUnreadable), "all or nothing");
}

#[test]
fn an_amount_has_the_exponent_that_telegram_gives_its_currency() {
    for (currency, units, text) in [
        ("USD", 10_000, "100.00 USD"),
        ("JPY", 500, "500 JPY"),
        ("BHD", 1500, "1.500 BHD"),
        ("usd", 1, "0.01 USD"),
    ] {
        let payment = with(with(fiat(), "currency", json!(currency)), "total_amount", json!(units));
        let gross = movement("successful_payment", &payment, None).part(Part::Gross).unwrap();
        assert_eq!(gross.to_string(), text);
    }
}

#[test]
fn fiat_that_stripe_settles_has_the_key_of_stripes_charge() {
    let announced = movement("successful_payment", &fiat(), Some(&stripe()));
    let charge = json!({
        "id": "evt_1", "object": "event", "type": "charge.succeeded", "created": WRITTEN, "livemode": true,
        "data": { "object": {
            "id": "ch_3Telegram", "object": "charge", "amount": 1999, "amount_captured": 1999, "amount_refunded": 0,
            "currency": "eur", "created": WRITTEN, "status": "succeeded", "captured": true, "paid": true,
        } },
    });
    let assessment = Stripe.assess(&EventView {
        event_type: &EventType::parse("charge.succeeded").unwrap(),
        account: &stripe().account,
        livemode: Livemode::Live,
        created: UnixMillis(WRITTEN * 1000),
        payload: charge.to_string().as_bytes(),
        settles_with: None,
    });
    let Assessment::Movements(of_stripe) = assessment else { panic!("{assessment:?}") };
    assert_eq!((&announced.key, announced.digest()), (&of_stripe[0].key, of_stripe[0].digest()));
}

#[test]
fn stars_settle_with_nobody_else() {
    for (field, payment) in [("successful_payment", stars()), ("refunded_payment", refund())] {
        assert_eq!(movement(field, &payment, Some(&stripe())), movement(field, &payment, None));
    }
}

#[test]
fn settled_fiat_without_the_settling_sources_charge_is_parked() {
    let unnamed = with(fiat(), "provider_payment_charge_id", Value::Null);
    let intent = with(fiat(), "provider_payment_charge_id", json!("pi_3Telegram"));
    let masked = with(fiat(), "provider_payment_charge_id", json!("ch_4242424242424242"));
    for payment in [unnamed, intent.clone(), masked] {
        let assessment = assessed("message", &message("successful_payment", &payment), Some(&stripe()));
        assert_eq!(assessment, Assessment::Keep(Reason::ObjectUnreadable), "{payment}");
    }
    let other = SettlesWith { provider: ledger::Provider::parse("other").unwrap(), ..stripe() };
    let key = movement("successful_payment", &intent, Some(&other)).key;
    assert_eq!(key.to_string(), "other/acct_dev/live/pi_3Telegram/capture");
}

#[test]
fn a_refund_of_settled_fiat_is_told_by_who_settles_it() {
    let refunded = message("refunded_payment", &fiat());
    let assessment = assessed("message", &refunded, Some(&stripe()));
    assert_eq!(assessment, Assessment::Keep(Reason::DescribedElsewhere));
    assert_eq!(movement("refunded_payment", &fiat(), None).key.kind, MovementKind::Refund);
}

#[test]
fn what_moves_no_money_is_ignored() {
    for (kind, event_type, content) in every_kind() {
        let reason = match (kind, event_type) {
            (_, "message.successful_payment" | "message.refunded_payment") => None,
            ("purchased_paid_media", _) => Some(Reason::ThinEvent),
            ("novelty", _) => Some(Reason::UnknownType),
            _ => Some(Reason::MovesNoMoney),
        };
        assert_eq!(kept(kind, &content), reason, "{kind} {content}");
    }
    let free = message("successful_payment", &with(stars(), "total_amount", json!(0)));
    assert_eq!(kept("message", &free), Some(Reason::NothingMovedYet));
}

#[test]
fn a_payment_seen_elsewhere_than_in_a_message_of_its_own_is_none() {
    let paid = message("successful_payment", &stars());
    let kinds = ["edited_message", "channel_post", "edited_channel_post", "business_message"];
    for kind in kinds {
        assert_eq!(kept(kind, &paid), Some(Reason::MovesNoMoney), "{kind}");
    }
    let forwarded = with(paid.clone(), "forward_date", json!(WRITTEN - 60));
    let by_origin = with(paid.clone(), "forward_origin", json!({ "type": "user", "sender_user": user() }));
    let replied = message("reply_to_message", &paid);
    let pinned = message("pinned_message", &paid);
    for content in [forwarded, by_origin, replied, pinned] {
        let event = read(update(41, "message", &content)).unwrap();
        assert_eq!(event.event_type.as_str(), "message");
        assert_eq!(assess(&event, None), Assessment::Keep(Reason::MovesNoMoney), "{content}");
    }
}

#[test]
fn an_unknown_kind_that_speaks_of_money_is_parked() {
    let money = json!({ "id": "9", "currency": "XTR", "total_amount": 5 });
    assert_eq!(kept("novelty", &money), Some(Reason::UnknownMoney));
    assert_eq!(kept("novelty", &json!("text")), Some(Reason::UnknownType));
}

#[test]
fn money_that_cannot_be_read_is_parked_with_a_reason() {
    for (key, value, reason) in [
        ("total_amount", json!(-1), Reason::AmountUnreadable),
        ("total_amount", json!(18_446_744_073_709_551_615_u64), Reason::AmountUnreadable),
        ("total_amount", json!(0.5), Reason::AmountUnreadable),
        ("total_amount", json!("75"), Reason::AmountUnreadable),
        ("total_amount", Value::Null, Reason::AmountUnreadable),
        ("total_amount", json!(4_242_424_242_424_242_i64), Reason::AmountUnreadable),
        ("currency", json!("KWD"), Reason::AmountUnreadable),
        ("currency", json!("ZZZ"), Reason::CurrencyUnknown),
        ("currency", Value::Null, Reason::CurrencyUnknown),
        ("telegram_payment_charge_id", Value::Null, Reason::ObjectUnreadable),
        ("telegram_payment_charge_id", json!(""), Reason::ObjectUnreadable),
        ("telegram_payment_charge_id", json!("4242424242424242"), Reason::ObjectUnreadable),
    ] {
        for field in ["successful_payment", "refunded_payment"] {
            let content = message(field, &with(stars(), key, value.clone()));
            assert_eq!(kept("message", &content), Some(reason), "{field} {key} = {value}");
        }
    }
    let exponent = update(41, "message", &message("successful_payment", &stars()))
        .replace("\"total_amount\":75", "\"total_amount\":1e3");
    assert_eq!(assess(&read(exponent).unwrap(), None), Assessment::Keep(Reason::AmountUnreadable));
    let nothing = message("successful_payment", &Value::Null);
    assert_eq!(kept("message", &nothing).map(Reason::outcome), Some(ledger::Outcome::Parked));
}

proptest! {
    #[test]
    fn a_payment_is_booked_exactly_or_kept_with_a_reason(
        units: i64,
        code in prop_oneof!["[A-Z]{3}", Just("XTR".to_owned()), Just("USD".to_owned()), Just("VND".to_owned())],
        id in "\\PC{0,20}",
        settled: bool,
    ) {
        let payment = json!({ "currency": code, "total_amount": units, "telegram_payment_charge_id": id,
            "provider_payment_charge_id": id });
        let event = read(update(41, "message", &message("successful_payment", &payment))).unwrap();
        match assess(&event, settled.then(stripe).as_ref()) {
            Assessment::Movements(movements) => {
                let gross = movements[0].part(Part::Gross).unwrap();
                let stated = i128::from(units) * 10_i128.pow(u32::from(gross.currency().exponent()));
                let exponent = if ["XTR", "VND", "CLP", "ISK", "JPY", "KRW", "PYG", "UGX"].contains(&&*code) { 0 }
                    else if ["BHD", "IQD"].contains(&&*code) { 3 } else { 2 };
                prop_assert_eq!(i128::from(gross.minor()) * 10_i128.pow(exponent), stated);
                prop_assert_eq!(movements[0].key.object_id.as_str(), id);
            }
            Assessment::Keep(reason) => prop_assert!(!reason.as_str().is_empty()),
        }
    }

    #[test]
    fn no_payload_makes_assessing_panic(payload: Vec<u8>) {
        let event = read(update(41, "message", &message("successful_payment", &stars()))).unwrap();
        let odd = Event { payload: payload.into(), ..event };
        prop_assert!(matches!(assess(&odd, None), Assessment::Keep(_)));
    }
}
