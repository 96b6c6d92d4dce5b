//! Stripe: snapshot and thin events; captures.
//!
//! Facts: <https://docs.stripe.com/api/events/object>, <https://docs.stripe.com/event-destinations>,
//! <https://docs.stripe.com/currencies>.

use jiff::Timestamp;
use ledger::{EventId, EventType, Livemode, ObjectId, ProviderAccount, UnixMillis};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use signature::{Scheme, Verified};
use wire::Fingerprint;

use crate::keep::{Field, Keep, minimise};
use crate::{Assessment, Event, EventView, Provider, Unreadable};

mod currency;
mod movements;
#[cfg(test)]
mod tests;

/// The version of the keep-list below.
const KEEP_LIST_VERSION: u32 = 1;

/// The version of what goes into a fingerprint.
const FINGERPRINT_VERSION: u8 = 1;

/// Live deliveries are retried for up to three days.
const RETRY_HORIZON_MS: i64 = 72 * 3600 * 1000;

const EXPANDED: &[Field] = &[("id", Keep::Word), ("object", Keep::Word)];

/// What is kept of the object that an event shows.
const OBJECT: &[Field] = &[
    ("id", Keep::Word),
    ("object", Keep::Word),
    ("amount", Keep::Integer),
    ("amount_captured", Keep::Integer),
    ("amount_received", Keep::Integer),
    ("amount_refunded", Keep::Integer),
    ("currency", Keep::Word),
    ("created", Keep::Integer),
    ("status", Keep::Word),
    ("captured", Keep::Flag),
    ("paid", Keep::Flag),
    ("latest_charge", Keep::Expandable(EXPANDED)),
    ("payment_intent", Keep::Expandable(EXPANDED)),
    ("charge", Keep::Expandable(EXPANDED)),
    ("balance_transaction", Keep::Expandable(EXPANDED)),
    ("failure_code", Keep::Word),
];

/// What is kept of an event.
const EVENT: &[Field] = &[
    ("id", Keep::Word),
    ("object", Keep::Word),
    ("type", Keep::Word),
    ("account", Keep::Word),
    ("api_version", Keep::Word),
    ("created", Keep::Integer),
    ("livemode", Keep::Flag),
    ("data", Keep::Object(&[("object", Keep::Object(OBJECT))])),
];

/// What is kept of a thin event, which refers to its object without showing it.
const THIN_EVENT: &[Field] = &[
    ("id", Keep::Word),
    ("object", Keep::Word),
    ("type", Keep::Word),
    ("created", Keep::Word),
    ("livemode", Keep::Flag),
    ("related_object", Keep::Object(&[("id", Keep::Word), ("type", Keep::Word)])),
];

/// The `object` of a thin event.
const THIN: &str = "v2.core.event";

/// The provider Stripe.
#[derive(Debug, Clone, Copy)]
pub struct Stripe;

/// The kept part of an event, typed. A field that is missing or was dropped is `None`.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a str>,
    #[serde(borrow)]
    object: Option<&'a str>,
    #[serde(borrow, rename = "type")]
    event_type: Option<&'a str>,
    #[serde(borrow)]
    account: Option<&'a str>,
    #[serde(borrow)]
    created: Option<Created<'a>>,
    livemode: Option<bool>,
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

/// The kept part of the object that an event shows.
#[derive(Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "Stripe's own names")]
struct Object<'a> {
    #[serde(borrow)]
    id: Option<&'a str>,
    #[serde(borrow)]
    object: Option<&'a str>,
    amount: Option<i64>,
    amount_captured: Option<i64>,
    amount_received: Option<i64>,
    #[serde(borrow)]
    currency: Option<&'a str>,
    created: Option<i64>,
    #[serde(borrow)]
    status: Option<&'a str>,
    captured: Option<bool>,
    #[serde(borrow)]
    latest_charge: Option<Expandable<'a>>,
}

/// A reference that Stripe shows as an id or as the whole object.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Expandable<'a> {
    #[serde(borrow)]
    Id(&'a str),
    Whole {
        #[serde(borrow)]
        id: Option<&'a str>,
    },
}

impl<'a> Expandable<'a> {
    fn id(&self) -> Option<&'a str> {
        match self {
            Self::Id(id) => Some(id),
            Self::Whole { id } => *id,
        }
    }
}

impl<'a> Envelope<'a> {
    fn shown(&self) -> Option<&Object<'a>> {
        self.data.as_ref().and_then(|data| data.object.as_ref())
    }

    fn object_id(&self) -> Option<&'a str> {
        let related = || self.related_object.as_ref().and_then(|related| related.id);
        self.shown().and_then(|object| object.id).or_else(related)
    }

    fn created(&self) -> Option<UnixMillis> {
        match self.created.as_ref()? {
            Created::Seconds(seconds) => Some(UnixMillis::from_seconds(*seconds)),
            Created::Text(text) => {
                text.parse::<Timestamp>().ok().map(|instant| UnixMillis(instant.as_millisecond()))
            }
        }
    }

    fn is_thin(&self) -> bool {
        self.object == Some(THIN)
    }
}

fn envelope(payload: &[u8]) -> Result<Envelope<'_>, Unreadable> {
    serde_json::from_slice(payload).map_err(|_| Unreadable::Json)
}

/// The `object` of the event decides which keep-list applies; a body that names neither is refused.
fn minimised(body: &[u8]) -> Result<Vec<u8>, Unreadable> {
    const KIND: &[Field] = &[("object", Keep::Word)];
    let kind = minimise(body, KIND)?;
    match envelope(&kind)?.object {
        Some("event") => minimise(body, EVENT),
        Some(THIN) => minimise(body, THIN_EVENT),
        Some(_) | None => Err(Unreadable::Field("object")),
    }
}

impl Provider for Stripe {
    #[expect(clippy::expect_used, reason = "a constant")]
    fn name(&self) -> ledger::Provider {
        ledger::Provider::parse("stripe").expect("a provider name")
    }

    fn scheme(&self) -> Scheme {
        Scheme::Stripe
    }

    fn retry_horizon_ms(&self) -> i64 {
        RETRY_HORIZON_MS
    }

    fn events(
        &self,
        delivery: &Verified<'_>,
        own_account: &ProviderAccount,
    ) -> Result<Vec<Event>, Unreadable> {
        let payload = minimised(delivery.body())?;
        let event = envelope(&payload)?;
        let event_type = event.event_type.and_then(|text| EventType::parse(text).ok());
        let event_type = event_type.ok_or(Unreadable::Field("type"))?;
        let account = match event.account {
            None => own_account.clone(),
            Some(text) => ProviderAccount::parse(text).map_err(|_| Unreadable::Field("account"))?,
        };
        let event_id = event.id.filter(|id| !id.contains('*')).and_then(|id| EventId::parse(id).ok());
        Ok(vec![Event {
            event_id: event_id.ok_or(Unreadable::Field("id"))?,
            created: event.created().ok_or(Unreadable::Field("created"))?,
            livemode: Livemode::from_bool(event.livemode.ok_or(Unreadable::Field("livemode"))?),
            account,
            object_id: event.object_id().and_then(|id| ObjectId::parse(id).ok()),
            fingerprint: fingerprint(&event),
            keep_list_version: KEEP_LIST_VERSION,
            event_type,
            payload: payload.clone().into(),
        }])
    }

    fn assess(&self, event: &EventView<'_>) -> Assessment {
        movements::assess(event)
    }
}

/// SHA-256 over what no retry changes: the type, the object's id and its own amount and currency, each with its length.
fn fingerprint(event: &Envelope<'_>) -> Fingerprint {
    let shown = event.shown();
    let amount = shown.and_then(|object| object.amount).map(|amount| amount.to_string());
    let fields =
        [event.event_type, event.object_id(), amount.as_deref(), shown.and_then(|object| object.currency)];
    let mut hash = Sha256::new();
    hash.update([FINGERPRINT_VERSION]);
    for field in fields {
        let text = field.unwrap_or_default();
        hash.update([u8::from(field.is_some())]);
        hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(text);
    }
    Fingerprint { version: FINGERPRINT_VERSION, digest: hash.finalize().into() }
}
