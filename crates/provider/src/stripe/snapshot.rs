//! The kept part of an event, typed. A field that is missing, `null` or was dropped is `None`.

use jiff::Timestamp;
use ledger::{Reason, UnixMillis};
use serde::Deserialize;

use super::keep_list::THIN;
use crate::Unreadable;

/// An event.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a str>,
    #[serde(borrow)]
    pub(super) object: Option<&'a str>,
    #[serde(borrow, rename = "type")]
    pub(super) event_type: Option<&'a str>,
    #[serde(borrow)]
    pub(super) account: Option<&'a str>,
    #[serde(borrow)]
    created: Option<Created<'a>>,
    pub(super) livemode: Option<bool>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
    #[serde(borrow)]
    related_object: Option<Related<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Created<'a> {
    Seconds(i64),
    #[serde(borrow)]
    Text(&'a str),
}

#[derive(Debug, Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: Option<Object<'a>>,
}

#[derive(Debug, Deserialize)]
struct Related<'a> {
    #[serde(borrow)]
    id: Option<&'a str>,
}

/// The object that an event shows, or one that this lists: whichever it is, by Stripe's own names.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "Stripe's own names")]
pub(super) struct Object<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a str>,
    #[serde(borrow)]
    pub(super) object: Option<&'a str>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<&'a str>,
    #[serde(borrow)]
    pub(super) status: Option<&'a str>,
    #[serde(borrow)]
    pub(super) reporting_category: Option<&'a str>,
    pub(super) created: Option<i64>,
    pub(super) captured: Option<bool>,
    #[serde(borrow)]
    pub(super) currency: Option<&'a str>,
    pub(super) amount: Option<i64>,
    pub(super) amount_captured: Option<i64>,
    pub(super) amount_paid: Option<i64>,
    pub(super) amount_received: Option<i64>,
    pub(super) amount_refunded: Option<i64>,
    pub(super) amount_reversed: Option<i64>,
    pub(super) amount_total: Option<i64>,
    pub(super) fee: Option<i64>,
    pub(super) net: Option<i64>,
    #[serde(borrow)]
    pub(super) balance_transaction: Option<Reference<'a>>,
    #[serde(borrow)]
    pub(super) failure_balance_transaction: Option<Reference<'a>>,
    #[serde(borrow)]
    pub(super) latest_charge: Option<Reference<'a>>,
    #[serde(borrow)]
    pub(super) source: Option<Reference<'a>>,
    #[serde(borrow)]
    pub(super) balance_transactions: Option<Vec<Option<Object<'a>>>>,
    #[serde(borrow)]
    pub(super) fee_details: Option<Vec<Option<Object<'a>>>>,
    #[serde(borrow)]
    pub(super) refunds: Option<List<'a>>,
    #[serde(borrow)]
    pub(super) reversals: Option<List<'a>>,
    #[serde(borrow)]
    payment_method_details: Option<Details<'a>>,
}

/// Objects that belong to another one; `None` for an item that was not kept.
#[derive(Debug, Deserialize)]
pub(super) struct List<'a> {
    #[serde(borrow)]
    pub(super) data: Option<Vec<Option<Object<'a>>>>,
    pub(super) has_more: Option<bool>,
}

/// A reference that Stripe shows as an id or as the whole object.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Reference<'a> {
    #[serde(borrow)]
    Id(&'a str),
    Whole {
        #[serde(borrow)]
        id: Option<&'a str>,
    },
}

#[derive(Debug, Deserialize)]
struct Details<'a> {
    #[serde(borrow)]
    card: Option<Card<'a>>,
}

#[derive(Debug, Deserialize)]
struct Card<'a> {
    #[serde(borrow)]
    multicapture: Option<Multicapture<'a>>,
}

#[derive(Debug, Deserialize)]
struct Multicapture<'a> {
    #[serde(borrow)]
    status: Option<&'a str>,
}

impl<'a> Envelope<'a> {
    /// Reads what [`crate::keep::minimise`] has kept.
    pub(super) fn read(payload: &'a [u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(payload).map_err(|_| Unreadable::Json)
    }

    pub(super) fn shown(&self) -> Option<&Object<'a>> {
        self.data.as_ref().and_then(|data| data.object.as_ref())
    }

    pub(super) fn object_id(&self) -> Option<&'a str> {
        let related = || self.related_object.as_ref().and_then(|related| related.id);
        self.shown().and_then(|object| object.id).or_else(related)
    }

    pub(super) fn created(&self) -> Option<UnixMillis> {
        match self.created.as_ref()? {
            Created::Seconds(seconds) => Some(UnixMillis::from_seconds(*seconds)),
            Created::Text(text) => {
                text.parse::<Timestamp>().ok().map(|instant| UnixMillis(instant.as_millisecond()))
            }
        }
    }

    pub(super) fn is_thin(&self) -> bool {
        self.object == Some(THIN)
    }
}

impl Object<'_> {
    /// Whether the card would let the payment be captured again.
    pub(super) fn is_multicapturable(&self) -> bool {
        let card = self.payment_method_details.as_ref().and_then(|details| details.card.as_ref());
        let multicapture = card.and_then(|card| card.multicapture.as_ref());
        multicapture.and_then(|multicapture| multicapture.status) == Some("available")
    }

    /// Whether it states an amount of money, whatever that means.
    pub(super) fn speaks_of_money(&self) -> bool {
        let amounts = [self.amount, self.amount_paid, self.amount_received, self.amount_total, self.net];
        self.currency.is_some() && amounts.iter().any(Option::is_some)
    }
}

impl<'a> Reference<'a> {
    /// The id, if there is a usable one.
    pub(super) fn id(&self) -> Option<&'a str> {
        let id = match self {
            Self::Id(id) => Some(*id),
            Self::Whole { id } => *id,
        };
        id.filter(|id| !id.contains('*'))
    }

    /// Whether there is one. A reference that cannot be read is neither there nor not.
    pub(super) fn is_there(reference: Option<&Self>) -> Result<bool, Reason> {
        match reference {
            None => Ok(false),
            Some(reference) => reference.id().map(|_| true).ok_or(Reason::ObjectUnreadable),
        }
    }
}
