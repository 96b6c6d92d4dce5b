//! What the provider makes of whole deliveries.

use ledger::{Livemode, ProviderAccount, UnixMillis};
use serde_json::{Value, json};
use signature::{Freshness, Request, Scheme, Secret, Verified, verify};

use super::*;
use crate::SettlesWith;

mod answering;
mod assessing;
mod reading;

/// When the messages of these tests were written, in unix seconds.
const WRITTEN: i64 = 1_796_000_000;

/// When their deliveries arrive.
const RECEIVED: UnixMillis = UnixMillis((WRITTEN + 3) * 1000);

const TOKEN: &[u8] = b"token-of-this-test";
const HEADERS: &[(&str, &[u8])] = &[("X-Telegram-Bot-Api-Secret-Token", TOKEN)];

fn bot() -> ProviderAccount {
    ProviderAccount::parse("7000000001").unwrap()
}

fn verified(body: &[u8]) -> Option<Verified<'_>> {
    let secret = Secret::parse(TOKEN, Scheme::Telegram).unwrap();
    let request = Request { headers: HEADERS, body };
    verify(Scheme::Telegram, &request, &[secret], Freshness::of(Scheme::Telegram), WRITTEN).ok()
}

/// Verifies `body` and reads it as the ingress does.
fn read(body: impl AsRef<[u8]>) -> Result<Event, Unreadable> {
    let delivery = verified(body.as_ref()).ok_or(Unreadable::Json)?;
    let arrival = Arrival { own_account: &bot(), livemode: Livemode::Live, received_at: RECEIVED };
    Telegram.events(&delivery, &arrival).map(|mut events| events.remove(0))
}

fn assess(event: &Event, settles_with: Option<&SettlesWith>) -> Assessment {
    Telegram.assess(&EventView {
        event_type: &event.event_type,
        account: &event.account,
        livemode: event.livemode,
        created: event.created,
        payload: &event.payload,
        settles_with,
    })
}

/// An update as Telegram's server writes it.
fn update(update_id: u32, kind: &str, content: &Value) -> String {
    format!("{{\"update_id\":{update_id},\n\"{kind}\":{content}}}")
}

fn user() -> Value {
    json!({
        "id": 5_550_001, "is_bot": false, "first_name": "Jenny", "last_name": "Rosen", "username": "jenny_rosen",
        "language_code": "en",
    })
}

fn order_info() -> Value {
    json!({
        "name": "Jenny Rosen", "phone_number": "15555550123", "email": "jenny@example.com",
        "shipping_address": { "country_code": "DE", "city": "Weimar", "street_line1": "Frauenplan 1" },
    })
}

fn message(field: &str, value: &Value) -> Value {
    json!({
        "message_id": 81, "from": user(), "date": WRITTEN,
        "chat": { "id": 5_550_001, "first_name": "Jenny", "type": "private" },
        field: value,
    })
}

fn stars() -> Value {
    json!({
        "currency": "XTR", "total_amount": 75, "invoice_payload": "Jenny's order",
        "telegram_payment_charge_id": "stxAbC-dEf_0123", "provider_payment_charge_id": "5550001_9",
    })
}

fn subscription() -> Value {
    let renewal = with(stars(), "is_recurring", json!(true));
    with(renewal, "subscription_expiration_date", json!(WRITTEN + 2_592_000))
}

fn fiat() -> Value {
    json!({
        "currency": "EUR", "total_amount": 1999, "invoice_payload": "Jenny's order", "shipping_option_id": "post",
        "order_info": order_info(),
        "telegram_payment_charge_id": "_5550001_XyZ", "provider_payment_charge_id": "ch_3Telegram",
    })
}

fn refund() -> Value {
    json!({
        "currency": "XTR", "total_amount": 75, "invoice_payload": "Jenny's order",
        "telegram_payment_charge_id": "stxAbC-dEf_0123",
    })
}

fn checkout_query() -> Value {
    json!({
        "id": "23836671000000001", "from": user(), "currency": "EUR", "total_amount": 1999,
        "invoice_payload": "Jenny's order", "order_info": order_info(),
    })
}

fn shipping_query() -> Value {
    json!({
        "id": "23836671000000002", "from": user(), "invoice_payload": "Jenny's order",
        "shipping_address": order_info()["shipping_address"],
    })
}

/// Every kind of update that these tests know: the kind, the type its event gets, the content.
fn every_kind() -> Vec<(&'static str, &'static str, Value)> {
    let again = with(message("successful_payment", &stars()), "edit_date", json!(WRITTEN));
    vec![
        ("message", "message.successful_payment", message("successful_payment", &stars())),
        ("message", "message.successful_payment", message("successful_payment", &subscription())),
        ("message", "message.successful_payment", message("successful_payment", &fiat())),
        ("message", "message.refunded_payment", message("refunded_payment", &refund())),
        ("message", "message", message("text", &json!("/start +15555550123"))),
        ("message", "message", message("reply_to_message", &message("successful_payment", &fiat()))),
        ("edited_message", "edited_message", again),
        ("pre_checkout_query", "pre_checkout_query", checkout_query()),
        ("shipping_query", "shipping_query", shipping_query()),
        (
            "purchased_paid_media",
            "purchased_paid_media",
            json!({ "from": user(), "paid_media_payload": "for Jenny" }),
        ),
        (
            "callback_query",
            "callback_query",
            json!({ "id": "9", "from": user(), "data": "jenny@example.com" }),
        ),
        ("novelty", "novelty", json!({ "from": user() })),
    ]
}

fn with(mut content: Value, key: &str, value: Value) -> Value {
    content[key] = value;
    content
}
