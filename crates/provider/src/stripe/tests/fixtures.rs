//! Objects as Stripe shows them, with what must not be kept of each planted in it.

use super::*;

pub(super) fn charge() -> Value {
    json!({
        "id": "ch_1", "object": "charge", "amount": 1000, "amount_captured": 1000, "amount_refunded": 0,
        "currency": "usd", "created": CREATED - 60, "status": "succeeded", "captured": true, "paid": true,
        "payment_intent": "pi_1", "balance_transaction": null, "failure_code": null,
        "billing_details": { "email": "jenny@example.com", "name": "Jenny Rosen" },
        "description": "card 4242424242424242", "receipt_email": "jenny@example.com",
        "payment_method_details": {
            "type": "card",
            "card": { "last4": "4242", "multicapture": { "status": "unavailable" } },
        },
    })
}

pub(super) fn intent() -> Value {
    json!({
        "id": "pi_1", "object": "payment_intent", "amount": 1000, "amount_received": 1000, "currency": "usd",
        "created": CREATED - 90, "status": "succeeded", "latest_charge": "ch_1",
        "client_secret": "pi_1_secret_abc", "receipt_email": "jenny@example.com",
    })
}

pub(super) fn refund(id: &str, amount: i64) -> Value {
    json!({
        "id": id, "object": "refund", "amount": amount, "currency": "usd", "created": CREATED - 60,
        "status": "succeeded", "charge": "ch_1", "payment_intent": "pi_1", "reason": "requested_by_customer",
        "balance_transaction": format!("txn_{id}"), "receipt_number": "1234-5678",
        "destination_details": { "card": { "reference": "123456789012" }, "type": "card" },
        "instructions_email": "jenny@example.com", "metadata": { "note": "for Jenny" },
    })
}

/// Money came back: Stripe never shows the one without the other.
pub(super) fn failed(refund: Value) -> Value {
    let back = json!(format!("txn_back_{}", refund["id"].as_str().unwrap()));
    let refund = with(refund, "failure_balance_transaction", back);
    with(with(refund, "failure_reason", json!("expired_or_canceled_card")), "status", json!("failed"))
}

pub(super) fn dispute(status: &str, balance_transactions: &[Value]) -> Value {
    json!({
        "id": "du_1", "object": "dispute", "amount": 1000, "currency": "usd", "created": CREATED - 60,
        "status": status, "charge": "ch_1", "payment_intent": "pi_1", "reason": "fraudulent",
        "balance_transactions": balance_transactions,
        "evidence": { "customer_name": "Jenny Rosen", "customer_purchase_ip": "203.0.113.7" },
    })
}

/// A line of the balance with a fee of the provider's, as a dispute lists it.
pub(super) fn line(id: &str, kind: &str, category: &str, amount: i64, fee: i64) -> Value {
    let details = json!([{
        "amount": fee, "currency": "usd", "type": "stripe_fee", "description": "for Jenny", "application": null,
    }]);
    json!({
        "id": id, "object": "balance_transaction", "amount": amount, "fee": fee, "net": amount - fee,
        "currency": "usd", "created": CREATED - 30, "type": kind, "reporting_category": category,
        "fee_details": if fee == 0 { json!([]) } else { details }, "source": "src_of_line", "status": "available",
        "exchange_rate": 1.25, "description": "Chargeback for Jenny",
    })
}

pub(super) fn withdrawn() -> Value {
    line("txn_out", "adjustment", "dispute", -1000, 1500)
}

pub(super) fn reinstated() -> Value {
    line("txn_in", "adjustment", "dispute_reversal", 1000, -1500)
}

pub(super) fn payout(status: &str) -> Value {
    json!({
        "id": "po_1", "object": "payout", "amount": 2500, "currency": "usd", "created": CREATED - 60,
        "arrival_date": CREATED + 86_400, "status": status, "method": "standard", "type": "bank_account",
        "automatic": true, "balance_transaction": "txn_po", "failure_balance_transaction": null,
        "failure_code": null, "failure_message": null, "destination": "ba_1", "original_payout": null,
        "reversed_by": null, "description": "STRIPE PAYOUT", "statement_descriptor": "JENNYS SHOP",
    })
}

pub(super) fn transfer(reversals: &[Value], amount_reversed: i64, has_more: bool) -> Value {
    json!({
        "id": "tr_1", "object": "transfer", "amount": 800, "amount_reversed": amount_reversed, "currency": "usd",
        "created": CREATED - 60, "balance_transaction": "txn_tr", "destination": "acct_other",
        "destination_payment": "py_1", "source_transaction": "ch_1", "description": "for Jenny",
        "reversals": { "object": "list", "data": reversals, "has_more": has_more, "url": "/v1/transfers/tr_1/reversals" },
    })
}

pub(super) fn reversal(id: &str, amount: i64) -> Value {
    json!({
        "id": id, "object": "transfer_reversal", "amount": amount, "currency": "usd", "created": CREATED - 20,
        "balance_transaction": format!("txn_{id}"), "transfer": "tr_1", "metadata": { "note": "for Jenny" },
    })
}

pub(super) fn fee(refunds: &[Value], amount_refunded: i64, has_more: bool) -> Value {
    json!({
        "id": "fee_1", "object": "application_fee", "account": "acct_other", "amount": 150,
        "amount_refunded": amount_refunded, "currency": "usd", "created": CREATED - 60, "charge": "ch_1",
        "application": "ca_1", "balance_transaction": "txn_fee",
        "refunds": { "object": "list", "data": refunds, "has_more": has_more, "url": "/v1/application_fees/fee_1/refunds" },
    })
}

pub(super) fn fee_refund(id: &str, amount: i64) -> Value {
    json!({
        "id": id, "object": "fee_refund", "amount": amount, "currency": "usd", "created": CREATED - 20,
        "balance_transaction": format!("txn_{id}"), "fee": "fee_1", "metadata": { "note": "for Jenny" },
    })
}

pub(super) fn topup(status: &str) -> Value {
    json!({
        "id": "tu_1", "object": "topup", "amount": 5000, "currency": "usd", "created": CREATED - 60,
        "status": status, "balance_transaction": "txn_tu", "failure_code": null, "description": "for Jenny",
        "source": { "id": "src_1", "object": "source", "client_secret": "src_1_secret_abc",
            "owner": { "email": "jenny@example.com", "name": "Jenny Rosen" } },
    })
}

/// A charge as it is shown before API version 2022-11-15: with its refunds.
pub(super) fn old_charge(
    amount_captured: i64,
    amount_refunded: i64,
    refunds: &[Value],
    has_more: bool,
) -> Value {
    let list =
        json!({ "object": "list", "data": refunds, "has_more": has_more, "total_count": refunds.len() });
    let charge = with(charge(), "amount_captured", json!(amount_captured));
    with(with(charge, "amount_refunded", json!(amount_refunded)), "refunds", list)
}
