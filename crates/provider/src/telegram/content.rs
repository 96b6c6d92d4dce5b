//! What an update shows: what of it is kept, and what that says.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::update::Update;
use crate::Unreadable;
use crate::keep::{Field, Keep};

/// The only kind of update whose payments are the bot's own: an edited message shows one again.
pub(super) const MESSAGE: &str = "message";

/// What is kept of a payment and of a refund. Not `invoice_payload`: the bot may have written anything into it.
const PAYMENT: &[Field] = &[
    ("currency", Keep::Word),
    ("total_amount", Keep::Integer),
    ("telegram_payment_charge_id", Keep::Word),
    ("provider_payment_charge_id", Keep::Word),
    ("is_recurring", Keep::Flag),
    ("is_first_recurring", Keep::Flag),
    ("subscription_expiration_date", Keep::Integer),
];

/// What is kept of a message.
const MESSAGE_CONTENT: &[Field] = &[
    ("message_id", Keep::Integer),
    ("date", Keep::Integer),
    ("forward_date", Keep::Integer),
    ("forward_origin", Keep::Object(&[("type", Keep::Word)])),
    ("successful_payment", Keep::Object(PAYMENT)),
    ("refunded_payment", Keep::Object(PAYMENT)),
];

/// What is kept of a query and of a kind that is not known: its id, and what tells that it speaks of money.
const OTHER_CONTENT: &[Field] =
    &[("id", Keep::Word), ("currency", Keep::Word), ("total_amount", Keep::Integer)];

/// Kinds that are no part of a payment, whatever they show: nothing of them is kept.
const APART_FROM_PAYMENTS: &[&str] = &[
    "business_connection",
    "business_message",
    "callback_query",
    "channel_post",
    "chat_boost",
    "chat_join_request",
    "chat_member",
    "chosen_inline_result",
    "deleted_business_messages",
    "edited_business_message",
    "edited_channel_post",
    "edited_message",
    "inline_query",
    "message_reaction",
    "message_reaction_count",
    "my_chat_member",
    "poll",
    "poll_answer",
    "removed_chat_boost",
];

/// What is kept of an update of that kind.
pub(super) fn keep_list(kind: &str) -> &'static [Field] {
    match kind {
        MESSAGE => MESSAGE_CONTENT,
        kind if APART_FROM_PAYMENTS.contains(&kind) => &[],
        _ => OTHER_CONTENT,
    }
}

/// Whether an update of that kind moves no money. A message may, by the payments that it shows; a query only asks.
pub(super) fn moves_no_money(kind: &str) -> bool {
    matches!(kind, MESSAGE | "pre_checkout_query" | "shipping_query") || APART_FROM_PAYMENTS.contains(&kind)
}

/// The kept part of what an update shows, typed. A field that is missing or was dropped is `None`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a str>,
    #[serde(borrow)]
    pub(super) currency: Option<&'a str>,
    pub(super) total_amount: Option<i64>,
    pub(super) date: Option<i64>,
    forward_date: Option<i64>,
    forward_origin: Option<IgnoredAny>,
    #[serde(borrow, default, deserialize_with = "shown")]
    successful_payment: Option<Payment<'a>>,
    #[serde(borrow, default, deserialize_with = "shown")]
    refunded_payment: Option<Payment<'a>>,
}

/// The kept part of a payment or of a refund.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Payment<'a> {
    #[serde(borrow)]
    pub(super) currency: Option<&'a str>,
    pub(super) total_amount: Option<i64>,
    #[serde(borrow)]
    pub(super) telegram_payment_charge_id: Option<&'a str>,
    #[serde(borrow)]
    pub(super) provider_payment_charge_id: Option<&'a str>,
}

/// A payment that stands there but cannot be read is one without fields, not none: it must be parked, not ignored.
fn shown<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer).map(|payment: Option<T>| Some(payment.unwrap_or_default()))
}

impl<'a> Content<'a> {
    /// The kept content of an update; an empty one if it is no object.
    pub(super) fn read(update: &Update<'a>) -> Result<Self, Unreadable> {
        let content: Option<Self> =
            serde_json::from_str(update.content.get()).map_err(|_| Unreadable::Json)?;
        Ok(content.unwrap_or_default())
    }

    /// A message passed on from somewhere else shows what was paid there.
    fn is_forwarded(&self) -> bool {
        self.forward_date.is_some() || self.forward_origin.is_some()
    }

    pub(super) fn payment(&self) -> Option<&Payment<'a>> {
        self.successful_payment.as_ref().filter(|_| !self.is_forwarded())
    }

    pub(super) fn refund(&self) -> Option<&Payment<'a>> {
        self.refunded_payment.as_ref().filter(|_| !self.is_forwarded())
    }

    /// The event's type: the kind of the update, and which payment a message shows.
    pub(super) fn event_type<'k>(&self, kind: &'k str) -> Cow<'k, str> {
        match (self.payment(), self.refund()) {
            (Some(_), _) => Cow::Owned(format!("{kind}.successful_payment")),
            (None, Some(_)) => Cow::Owned(format!("{kind}.refunded_payment")),
            (None, None) => Cow::Borrowed(kind),
        }
    }

    /// The amount, in the currency's own units, and the currency of what it shows.
    pub(super) fn shown_money(&self) -> (Option<i64>, Option<&'a str>) {
        match self.payment().or(self.refund()) {
            Some(payment) => (payment.total_amount, payment.currency),
            None => (self.total_amount, self.currency),
        }
    }

    pub(super) fn object_id(&self) -> Option<&'a str> {
        match self.payment().or(self.refund()) {
            Some(payment) => payment.telegram_payment_charge_id,
            None => self.id,
        }
    }
}
