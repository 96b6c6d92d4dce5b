//! Which types and objects move no money of their own.

/// Families of types that move no money, whatever they show. A name that ends in a dot stands for all that begins so.
const MOVES_NO_MONEY: &[&str] = &[
    "account.",
    "account_notice.",
    "balance.available",
    "balance_settings.",
    "billing.",
    "billing_portal.",
    "capability.",
    "cash_balance.",
    "climate.product.",
    "coupon.",
    "credit_note.",
    "customer.",
    "customer_cash_balance_transaction.",
    "entitlements.",
    "file.",
    "financial_connections.",
    "fx_quote.",
    "identity.",
    "issuing_card.",
    "issuing_cardholder.",
    "issuing_personalization_design.",
    "issuing_token.",
    "mandate.",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.created",
    "payment_intent.partially_funded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_link.",
    "payment_method.",
    "person.",
    "plan.",
    "price.",
    "privacy.",
    "product.",
    "promotion_code.",
    "quote.",
    "radar.",
    "reporting.",
    "review.",
    "setup_intent.",
    "sigma.",
    "source.",
    "subscription_schedule.",
    "tax.",
    "tax_rate.",
    "terminal.",
    "test_helpers.",
];

/// Objects that describe money whose own object sends its own events.
const WITNESSES: &[&str] = &["invoice", "invoice_payment", "invoiceitem", "checkout.session", "subscription"];

/// Whether events of this type are known to move no money.
pub(super) fn moves_no_money(event_type: &str) -> bool {
    MOVES_NO_MONEY.iter().any(|family| match family.strip_suffix('.') {
        Some(name) => event_type.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')),
        None => event_type == *family,
    })
}

/// Whether another object's events describe the money that this one speaks of.
pub(super) fn is_witness(object: &str) -> bool {
    WITNESSES.contains(&object)
}
