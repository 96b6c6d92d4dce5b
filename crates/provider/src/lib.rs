#![doc = include_str!("../README.md")]

use bytes::Bytes;
use ledger::{EventId, EventType, Livemode, Movement, ObjectId, ProviderAccount, Reason, UnixMillis};
use money::Amount;
use signature::{Scheme, Verified};
use wire::Fingerprint;

mod fingerprint;
mod keep;
mod pan;
pub mod stripe;
pub mod telegram;

pub use stripe::Stripe;
pub use telegram::Telegram;

/// A payment provider: everything that is particular to it, as pure functions.
pub trait Provider: Send + Sync {
    /// The name that its accounts and movement keys carry.
    fn name(&self) -> ledger::Provider;

    /// How its requests are signed.
    fn scheme(&self) -> Scheme;

    /// How long it retries a delivery: nothing about an event need be remembered for longer, in milliseconds.
    fn retry_horizon_ms(&self) -> i64;

    /// Whether it holds every later delivery back until this one is answered with success: then nothing that it could repair
    /// by no retry may be refused, or it would dam up everything behind it.
    fn retries_in_order(&self) -> bool;

    /// The events of a delivery, minimised, in their order; at least one.
    fn events(&self, delivery: &Verified<'_>, arrival: &Arrival<'_>) -> Result<Vec<Event>, Unreadable>;

    /// Whether its events say themselves whether they are of real money. Of those that do not, the source must say it.
    fn names_livemode(&self) -> bool;

    /// The amount that the event's object shows, if that can be read: what is at stake, whether or not it has moved.
    fn money(&self, payload: &[u8]) -> Option<Amount>;

    /// What an event asserts.
    fn assess(&self, event: &EventView<'_>) -> Assessment;
}

/// The provider of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Provider> {
    match name {
        "stripe" => Some(&Stripe),
        "telegram" => Some(&Telegram),
        _ => None,
    }
}

/// What a delivery itself may leave unsaid.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The account of its source: that of an event which names none.
    pub own_account: &'a ProviderAccount,
    /// The mode of its source: that of an event which names none.
    pub livemode: Livemode,
    /// When it arrived: when an event was made that does not say so.
    pub received_at: UnixMillis,
}

/// An event of a delivery, minimised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The provider's id.
    pub event_id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// When the provider made it.
    pub created: UnixMillis,
    /// Real money or not.
    pub livemode: Livemode,
    /// Whose book it is about.
    pub account: ProviderAccount,
    /// The object it shows.
    pub object_id: Option<ObjectId>,
    /// What every delivery of it has in common.
    pub fingerprint: Fingerprint,
    /// The version of the keep-list.
    pub keep_list_version: u32,
    /// What is kept: JSON.
    pub payload: Bytes,
}

/// An event as the bus brings it, to be assessed.
#[derive(Debug, Clone, Copy)]
pub struct EventView<'a> {
    /// What happened.
    pub event_type: &'a EventType,
    /// Whose book.
    pub account: &'a ProviderAccount,
    /// Real money or not.
    pub livemode: Livemode,
    /// When the provider made the event.
    pub created: UnixMillis,
    /// What was kept of it.
    pub payload: &'a [u8],
    /// Who settles what the event's own provider only announces, if the source's configuration says so.
    pub settles_with: Option<&'a SettlesWith>,
}

/// The source that settles money which another one announces too: the money's key is that source's, so that it is booked once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettlesWith {
    /// Its provider.
    pub provider: ledger::Provider,
    /// Its own account.
    pub account: ProviderAccount,
}

/// What one event asserts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assessment {
    /// These movements; at least one.
    Movements(Vec<Movement>),
    /// None that could be booked.
    Keep(Reason),
}

/// A verified body that is no delivery of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON, nested too deeply where it matters, or a kept key stands twice.
    #[error("the body cannot be read as JSON")]
    Json,
    /// A field that every event must have is missing or cannot be what it should be.
    #[error("the event's {0} is missing or malformed")]
    Field(&'static str),
}
