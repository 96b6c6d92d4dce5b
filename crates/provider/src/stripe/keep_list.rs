//! What is kept of a Stripe event: identifiers, amounts, currencies, statuses, dates, types, flags. No free text.

use crate::keep::{Field, Keep};

/// The version of the lists below.
pub(super) const VERSION: u32 = 1;

/// The `object` of a thin event.
pub(super) const THIN: &str = "v2.core.event";

/// Of the list that an object embeds Stripe shows ten items; a list that is longer than this is cut short, which the
/// assessment sees.
const ITEMS_MAX: usize = 100;

/// What is kept of an event.
pub(super) const EVENT: &[Field] = &[
    ("id", Keep::Word),
    ("object", Keep::Word),
    ("type", Keep::Word),
    // Not a word: one that had to be dropped would read as absent, and the event as one of the source's own account.
    ("account", Keep::Expandable(&[])),
    ("api_version", Keep::Word),
    ("created", Keep::Integer),
    ("livemode", Keep::Flag),
    ("data", Keep::Object(&[("object", Keep::Object(OBJECT))])),
];

/// What is kept of a thin event, which refers to its object without showing it.
pub(super) const THIN_EVENT: &[Field] = &[
    ("id", Keep::Word),
    ("object", Keep::Word),
    ("type", Keep::Word),
    ("created", Keep::Word),
    ("livemode", Keep::Flag),
    ("related_object", Keep::Object(&[("id", Keep::Word), ("type", Keep::Word)])),
];

/// What is kept of an object that Stripe shows whole in the place of its id.
const REFERENCE: &[Field] = &[("id", Keep::Word), ("object", Keep::Word)];

/// What is kept of the object that an event shows, whatever it is.
const OBJECT: &[Field] = &[
    ("id", Keep::Word),
    ("object", Keep::Word),
    ("type", Keep::Word),
    ("status", Keep::Word),
    ("reason", Keep::Word),
    ("failure_code", Keep::Word),
    ("reporting_category", Keep::Word),
    ("method", Keep::Word),
    ("created", Keep::Integer),
    ("arrival_date", Keep::Integer),
    ("captured", Keep::Flag),
    ("paid", Keep::Flag),
    ("automatic", Keep::Flag),
    // Amounts.
    ("currency", Keep::Word),
    ("amount", Keep::Integer),
    ("amount_captured", Keep::Integer),
    ("amount_paid", Keep::Integer),
    ("amount_received", Keep::Integer),
    ("amount_refunded", Keep::Integer),
    ("amount_reversed", Keep::Integer),
    ("amount_total", Keep::Integer),
    ("fee", Keep::Integer),
    ("net", Keep::Integer),
    // What it refers to.
    ("account", Keep::Expandable(REFERENCE)),
    ("balance_transaction", Keep::Expandable(REFERENCE)),
    ("charge", Keep::Expandable(REFERENCE)),
    ("destination", Keep::Expandable(REFERENCE)),
    ("failure_balance_transaction", Keep::Expandable(REFERENCE)),
    ("latest_charge", Keep::Expandable(REFERENCE)),
    ("original_payout", Keep::Expandable(REFERENCE)),
    ("payment_intent", Keep::Expandable(REFERENCE)),
    ("reversed_by", Keep::Expandable(REFERENCE)),
    ("source", Keep::Expandable(REFERENCE)),
    ("source_transaction", Keep::Expandable(REFERENCE)),
    ("transfer", Keep::Expandable(REFERENCE)),
    // What it lists, and whether it may be captured again.
    ("balance_transactions", Keep::List(&Keep::Object(BALANCE_TRANSACTION), ITEMS_MAX)),
    ("fee_details", FEE_DETAILS),
    (
        "refunds",
        Keep::Object(&[("data", Keep::List(&Keep::Object(REFUND), ITEMS_MAX)), ("has_more", Keep::Flag)]),
    ),
    (
        "reversals",
        Keep::Object(&[("data", Keep::List(&Keep::Object(REVERSAL), ITEMS_MAX)), ("has_more", Keep::Flag)]),
    ),
    (
        "payment_method_details",
        Keep::Object(&[("card", Keep::Object(&[("multicapture", Keep::Object(&[("status", Keep::Word)]))]))]),
    ),
];

/// What is kept of a refund that a charge or an application fee lists.
const REFUND: &[Field] = &[
    ("id", Keep::Word),
    ("object", Keep::Word),
    ("status", Keep::Word),
    ("created", Keep::Integer),
    ("currency", Keep::Word),
    ("amount", Keep::Integer),
    ("balance_transaction", Keep::Expandable(REFERENCE)),
    ("failure_balance_transaction", Keep::Expandable(REFERENCE)),
];

/// What is kept of a reversal that a transfer lists.
const REVERSAL: &[Field] = &[
    ("id", Keep::Word),
    ("object", Keep::Word),
    ("created", Keep::Integer),
    ("currency", Keep::Word),
    ("amount", Keep::Integer),
    ("balance_transaction", Keep::Expandable(REFERENCE)),
];

/// What is kept of a balance transaction that a dispute lists.
const BALANCE_TRANSACTION: &[Field] = &[
    ("id", Keep::Word),
    ("object", Keep::Word),
    ("type", Keep::Word),
    ("reporting_category", Keep::Word),
    ("status", Keep::Word),
    ("created", Keep::Integer),
    ("currency", Keep::Word),
    ("amount", Keep::Integer),
    ("fee", Keep::Integer),
    ("net", Keep::Integer),
    ("fee_details", FEE_DETAILS),
    ("source", Keep::Expandable(REFERENCE)),
];

/// What is kept of the fees of a balance transaction.
const FEE_DETAILS: Keep = Keep::List(
    &Keep::Object(&[("type", Keep::Word), ("amount", Keep::Integer), ("currency", Keep::Word)]),
    ITEMS_MAX,
);
