//! A source as the gate knows it: whose scheme it speaks, what it is for, and what becomes of what it is not for. Pure.

use core::fmt;
use std::sync::Arc;

use bytes::Bytes;
use ledger::{EventId, EventKey, Livemode, ProviderAccount, Source, UnixMillis};
use ports::Age;
use provider::telegram::{CheckoutVerdict, pre_checkout_answer};
use provider::{Arrival, Event, Provider, Unreadable};
use signature::{Freshness, Verified};

use crate::objection::Objection;
use crate::{Answer, Secrets};

/// A source as the gate knows it.
pub struct SourceGate {
    /// Its name.
    pub source: Source,
    /// Whose scheme it speaks.
    pub provider: &'static dyn Provider,
    /// Every active secret.
    pub secrets: Arc<Secrets>,
    /// How old or new a signature may be.
    pub freshness: Freshness,
    /// The account of events that name none.
    pub own_account: ProviderAccount,
    /// Which events it is for.
    pub pins: Pins,
    /// How old an event may be on arrival, in seconds: one of so many passes.
    pub event_age_max_s: u64,
    /// What becomes of one that is older.
    pub too_old: TooOld,
    /// What a question before a payment is answered.
    pub checkout: CheckoutVerdict,
}

/// Which events a source is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// Their mode; `None` takes both. Of a provider whose events name none, it is theirs.
    pub livemode: Option<Livemode>,
    /// Their accounts besides the source's own; `None` takes any.
    pub accounts: Option<Vec<ProviderAccount>>,
}

/// What becomes of an event that is too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooOld {
    /// Kept parked and refused with 400. A provider that retries in order is answered as by `Park`.
    Reject,
    /// Kept parked and answered with success.
    Park,
    /// Nothing: it is taken like any other.
    Accept,
}

impl fmt::Debug for SourceGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceGate").field("source", &self.source).finish_non_exhaustive()
    }
}

/// How much older than its own creation an event is on arrival, in whole seconds; negative where clocks differ.
pub(crate) const fn age_s(event: &wire::Event, received_at: UnixMillis) -> i64 {
    received_at.seconds().saturating_sub(event.occurred_at.seconds())
}

impl SourceGate {
    /// The events of a verified delivery.
    pub(crate) fn events(
        &self,
        verified: &Verified<'_>,
        received_at: UnixMillis,
    ) -> Result<Vec<wire::Event>, Unreadable> {
        // Events that name no mode are only taken where the configuration gives one.
        let livemode = self.pins.livemode.unwrap_or(Livemode::Test);
        let arrival = Arrival { own_account: &self.own_account, livemode, received_at };
        let events = self.provider.events(verified, &arrival)?;
        Ok(events.into_iter().map(|event| self.as_sent(event)).collect())
    }

    fn as_sent(&self, event: Event) -> wire::Event {
        wire::Event {
            key: EventKey {
                source: self.source.clone(),
                account: event.account,
                livemode: event.livemode,
                event_id: event.event_id,
            },
            provider: self.provider.name(),
            event_type: event.event_type,
            object_id: event.object_id,
            own_account: self.own_account.clone(),
            occurred_at: event.created,
            fingerprint: event.fingerprint,
            keep_list_version: event.keep_list_version,
            payload: event.payload,
        }
    }

    /// What the provider is to read in the response, if a delivery asks something of it and is answered with success.
    pub(crate) fn reply(&self, verified: &Verified<'_>) -> Option<Bytes> {
        pre_checkout_answer(verified, self.checkout).map(Bytes::from)
    }

    /// Whether the event is young enough.
    pub(crate) fn age(&self, event: &wire::Event, received_at: UnixMillis) -> Age {
        let too_old =
            u64::try_from(age_s(event, received_at)).is_ok_and(|age_s| age_s > self.event_age_max_s);
        if too_old { Age::Stale } else { Age::Fresh }
    }

    /// What speaks against an event of this age.
    pub(crate) fn objection(&self, event: &wire::Event, age: Age) -> Option<Objection> {
        let Pins { livemode, accounts } = &self.pins;
        let (mode, account) = (event.key.livemode, &event.key.account);
        let of_us = |accounts: &Vec<_>| *account == self.own_account || accounts.contains(account);
        if livemode.is_some_and(|pin| pin != mode) || !accounts.as_ref().is_none_or(of_us) {
            return Some(Objection::WrongMode);
        }
        (age == Age::Stale && self.too_old != TooOld::Accept).then_some(Objection::TooOld)
    }

    /// The answer to what is refused, once the evidence of it is confirmed.
    pub(crate) fn refusal(&self, objection: Objection, event_id: EventId) -> Answer {
        let parked = self.provider.retries_in_order()
            || (objection == Objection::TooOld && self.too_old == TooOld::Park);
        if parked { Answer::Parked(event_id) } else { Answer::Refused(objection.problem()) }
    }
}
