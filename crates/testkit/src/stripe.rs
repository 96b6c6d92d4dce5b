//! Stripe's side: events in the shapes of its API reference, with the personal data that real ones carry, and their
//! signatures. The signature is made here from its definition, independently of the crate that verifies it.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// The signing secret of the tests.
pub const SECRET: &str = "whsec_of_the_tests";

/// The source's own account in the tests.
pub const ACCOUNT: &str = "acct_dev";

/// What a `Stripe-Signature` header says: HMAC-SHA256 over `<t>.<body>` with the whole secret as key.
/// <https://docs.stripe.com/webhooks#verify-manually>
pub fn signature(secret: &str, signed_at_s: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{signed_at_s}.").as_bytes());
    mac.update(body);
    format!("t={signed_at_s},v1={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

/// A captured charge, as `charge.succeeded` shows it.
pub fn charge(id: &str, amount: i64) -> Value {
    json!({
        "id": id, "object": "charge", "amount": amount, "amount_captured": amount, "amount_refunded": 0,
        "balance_transaction": null, "billing_details": {
            "address": { "city": "Ghent", "country": "BE", "line1": "Korenmarkt 1", "postal_code": "9000" },
            "email": "jenny.rosen@example.com", "name": "Jenny Rosen", "phone": "+15555550123",
        },
        "captured": true, "created": 1_794_999_990, "currency": "usd", "customer": "cus_NffrFeUfNV2Hib",
        "description": "Order 17 for Jenny, paid with 4242 4242 4242 4242", "failure_code": null,
        "livemode": false, "metadata": { "note": "call +15555550123" }, "outcome": { "network_status": "approved_by_network" },
        "paid": true, "payment_intent": format!("pi_of_{id}"), "payment_method": "pm_1Mq",
        "payment_method_details": { "card": { "brand": "visa", "exp_month": 12, "last4": "4242" }, "type": "card" },
        "receipt_email": "jenny.rosen@example.com", "receipt_url": "https://pay.stripe.com/receipts/secret",
        "refunded": false, "status": "succeeded",
    })
}

/// The payment intent of that charge, as `payment_intent.succeeded` shows it.
pub fn payment_intent(charge_id: &str, amount: i64) -> Value {
    json!({
        "id": format!("pi_of_{charge_id}"), "object": "payment_intent", "amount": amount, "amount_received": amount,
        "client_secret": format!("pi_of_{charge_id}_secret_QZ8n1x"), "created": 1_794_999_980, "currency": "usd",
        "latest_charge": charge_id, "livemode": false, "receipt_email": "jenny.rosen@example.com",
        "status": "succeeded",
    })
}

/// A snapshot event that shows `object`, in the provider's order of keys.
pub fn event(id: &str, event_type: &str, created_s: i64, object: &Value) -> String {
    let event = json!({
        "id": id, "object": "event", "api_version": "2026-10-28.endive", "created": created_s,
        "data": { "object": object }, "livemode": false, "pending_webhooks": 1,
        "request": { "id": "req_1", "idempotency_key": "5b9a" }, "type": event_type,
    });
    serde_json::to_string_pretty(&event).unwrap()
}
