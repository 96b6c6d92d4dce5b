//! Telegram's side: updates as its server writes them, with the personal data that real ones carry.

use serde_json::{Value, json};

/// The secret token of the tests.
pub const TOKEN: &str = "token-of-the-tests";

/// The bot of the tests, the source's own account.
pub const BOT: &str = "7000000001";

/// The header that carries the token. <https://core.telegram.org/bots/api#setwebhook>
pub const HEADER: &str = "X-Telegram-Bot-Api-Secret-Token";

fn user() -> Value {
    json!({
        "id": 5_550_001, "is_bot": false, "first_name": "Jenny", "last_name": "Rosen", "username": "jenny_rosen",
        "language_code": "en",
    })
}

/// A payment of `stars`, as the message that tells of it shows it.
/// <https://core.telegram.org/bots/api#successfulpayment>
pub fn payment(update_id: u32, written_at_s: i64, stars: i64) -> String {
    let message = json!({
        "message_id": 81, "from": user(), "date": written_at_s,
        "chat": { "id": 5_550_001, "first_name": "Jenny", "type": "private" },
        "successful_payment": {
            "currency": "XTR", "total_amount": stars, "invoice_payload": "Jenny's order",
            "telegram_payment_charge_id": format!("stars_{update_id}"), "provider_payment_charge_id": "",
        },
    });
    format!("{{\"update_id\":{update_id},\n\"message\":{message}}}")
}

/// The question before a payment. <https://core.telegram.org/bots/api#precheckoutquery>
pub fn pre_checkout_query(update_id: u32, query_id: &str, stars: i64) -> String {
    let query = json!({
        "id": query_id, "from": user(), "currency": "XTR", "total_amount": stars, "invoice_payload": "Jenny's order",
    });
    format!("{{\"update_id\":{update_id},\n\"pre_checkout_query\":{query}}}")
}
