//! The Telegram Bot API: payments in Stars and in fiat money, refunds of Stars.
//!
//! Facts: <https://core.telegram.org/bots/api#update>, <https://core.telegram.org/bots/api#successfulpayment>,
//! <https://core.telegram.org/bots/api#refundedpayment>; how updates are delivered: WebhookActor.cpp and Client.cpp of
//! <https://github.com/tdlib/telegram-bot-api>.
//!
//! A secret token proves the sender; neither the body nor a time is signed. Updates name neither their bot nor a mode:
//! the source's own account is the bot's id, and the source's mode theirs.

use ledger::{EventId, EventType, ObjectId, UnixMillis};
use money::{Amount, Currency};
use signature::{Scheme, Verified};
use wire::Fingerprint;

use crate::keep::minimise;
use crate::{Arrival, Assessment, Event, EventView, Provider, Unreadable, fingerprint};

mod checkout;
mod content;
mod currency;
mod movements;
#[cfg(test)]
mod tests;
mod update;

pub use checkout::{CheckoutVerdict, pre_checkout_answer};
use content::Content;
use update::Update;

/// The version of the keep-lists in [`content`].
const KEEP_LIST_VERSION: u32 = 1;

/// A message is dropped a day after its date, whatever became of its deliveries; everything else is dropped sooner.
const RETRY_HORIZON_MS: i64 = 24 * 3600 * 1000;

/// The provider Telegram.
#[derive(Debug, Clone, Copy)]
pub struct Telegram;

/// An id as the minimiser left it; `None` if a part of it is masked.
fn object_id(text: Option<&str>) -> Option<ObjectId> {
    text.filter(|id| !id.contains('*')).and_then(|id| ObjectId::parse(id).ok())
}

/// What is kept of an update, in the form of an update. An `invoice_payload` that is no UTF-8 arrives as it is, and must
/// not keep the rest from being read: what is no UTF-8 becomes U+FFFD, which no kept word may have.
fn minimised(body: &[u8]) -> Result<String, Unreadable> {
    let body = String::from_utf8_lossy(body);
    let Update { number, kind, content } = Update::read(&body)?;
    let content = minimise(content.get().as_bytes(), content::keep_list(&kind))?;
    let content = String::from_utf8(content).map_err(|_| Unreadable::Json)?;
    Ok(format!("{{\"update_id\":{number},\"{kind}\":{content}}}"))
}

impl Provider for Telegram {
    #[expect(clippy::expect_used, reason = "a constant")]
    fn name(&self) -> ledger::Provider {
        ledger::Provider::parse("telegram").expect("a provider name")
    }

    fn scheme(&self) -> Scheme {
        Scheme::Telegram
    }

    fn retry_horizon_ms(&self) -> i64 {
        RETRY_HORIZON_MS
    }

    fn retries_in_order(&self) -> bool {
        true
    }

    fn names_livemode(&self) -> bool {
        false
    }

    fn money(&self, payload: &[u8]) -> Option<Amount> {
        let update = Update::read(str::from_utf8(payload).ok()?).ok()?;
        let (units, code) = Content::read(&update).ok()?.shown_money();
        currency::amount(units?, Currency::parse(code?).ok()?)
    }

    fn events(&self, delivery: &Verified<'_>, arrival: &Arrival<'_>) -> Result<Vec<Event>, Unreadable> {
        let Arrival { own_account, livemode, received_at } = *arrival;
        let payload = minimised(delivery.body())?;
        let update = Update::read(&payload)?;
        let content = Content::read(&update)?;
        let event_id = format!("{own_account}:{}", update.number);
        let event_type = content.event_type(&update.kind);
        Ok(vec![Event {
            event_id: EventId::parse(&event_id).map_err(|_| Unreadable::Field("update_id"))?,
            event_type: EventType::parse(&event_type).map_err(|_| Unreadable::Field("type"))?,
            created: content.date.map_or(received_at, UnixMillis::from_seconds),
            livemode,
            account: own_account.clone(),
            object_id: object_id(content.object_id()),
            fingerprint: fingerprint(&event_type, &content),
            keep_list_version: KEEP_LIST_VERSION,
            payload: payload.clone().into(),
        }])
    }

    fn assess(&self, event: &EventView<'_>) -> Assessment {
        movements::assess(event)
    }
}

/// SHA-256 over what no retry changes: the type, the object's id, the amount and the currency, each with its length.
fn fingerprint(event_type: &str, content: &Content<'_>) -> Fingerprint {
    let (amount, currency) = content.shown_money();
    fingerprint::of(Some(event_type), content.object_id(), amount, currency)
}
