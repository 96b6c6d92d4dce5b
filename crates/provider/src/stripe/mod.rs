//! Stripe: snapshot and thin events, and the movements of every object that moves money.
//!
//! Facts: <https://docs.stripe.com/api/events/object>, <https://docs.stripe.com/event-destinations>,
//! <https://docs.stripe.com/currencies>.
//!
//! Stripe: every event asserts whatever the object it shows proves, under a key for each movement, so that order, repeats and
//! several describers cannot matter.
//!
//! | object | asserts |
//! |---|---|
//! | charge, captured | its capture; each refund that it lists (API versions before 2022-11-15) |
//! | payment intent, succeeded | the capture of its charge |
//! | refund | itself once it has a balance transaction; its failure once it has the other one |
//! | dispute | the settlement of each balance transaction that it lists |
//! | payout | that it was sent; that it came back, if it failed or was canceled; swapped, if negative |
//! | transfer, application fee | itself, and each reversal or refund that it lists |
//! | top-up | itself once it has succeeded; its reversal |
//! | balance transaction (an imported line: an event of type `balance_transaction` with the line as its `data.object`) | its settlement: `amount = net + fee`, the counterpart by its type, `suspense` if that is unknown |
//!
//! A cumulative amount proves nothing: a list that misses it parks its event (`list-truncated`), and so does a payment
//! between two captures (`multicapture`). A status that is not known parks as well. Stripe's own object in the place of an id is
//! read as that id.

use ledger::{EventId, EventType, Livemode, ObjectId, ProviderAccount};
use money::{Amount, Currency};
use signature::{Scheme, Verified};
use wire::Fingerprint;

use crate::keep::{Field, Keep, minimise};
use crate::{Arrival, Assessment, Event, EventView, Provider, Unreadable, fingerprint};

mod currency;
mod keep_list;
mod movements;
mod snapshot;
#[cfg(test)]
mod tests;

use keep_list::{EVENT, THIN, THIN_EVENT};
use snapshot::Envelope;

/// Live deliveries are retried for up to three days.
const RETRY_HORIZON_MS: i64 = 72 * 3600 * 1000;

/// The provider Stripe.
#[derive(Debug, Clone, Copy)]
pub struct Stripe;

/// The `object` of the event decides which keep-list applies; a body that names neither is refused.
fn minimised(body: &[u8]) -> Result<Vec<u8>, Unreadable> {
    const KIND: &[Field] = &[("object", Keep::Word)];
    let kind = minimise(body, KIND)?;
    match Envelope::read(&kind)?.object {
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

    fn retries_in_order(&self) -> bool {
        false
    }

    fn names_livemode(&self) -> bool {
        true
    }

    fn money(&self, payload: &[u8]) -> Option<Amount> {
        let event = Envelope::read(payload).ok()?;
        let shown = event.shown()?;
        currency::amount(shown.amount?, Currency::parse(shown.currency?).ok()?).ok()
    }

    fn events(&self, delivery: &Verified<'_>, arrival: &Arrival<'_>) -> Result<Vec<Event>, Unreadable> {
        let payload = minimised(delivery.body())?;
        let event = Envelope::read(&payload)?;
        let event_type = event.event_type.and_then(|text| EventType::parse(text).ok());
        let event_type = event_type.ok_or(Unreadable::Field("type"))?;
        let account = match event.account {
            None => arrival.own_account.clone(),
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
            keep_list_version: keep_list::VERSION,
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
    let (amount, currency) =
        (shown.and_then(|object| object.amount), shown.and_then(|object| object.currency));
    fingerprint::of(event.event_type, event.object_id(), amount, currency)
}
