//! What every family of objects is read with.

use ledger::{Movement, MovementKey, MovementKind, ObjectId, Part, Reason, UnixMillis};
use money::{Amount, Currency};

use crate::stripe::snapshot::{List, Object};
use crate::stripe::{Stripe, currency};
use crate::{EventView, Provider as _};

/// An event, and the object it shows or one that this lists.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'e> {
    pub(super) event: &'e EventView<'e>,
    pub(super) object: &'e Object<'e>,
}

impl<'e> Shown<'e> {
    /// The same event, at an object that the one it shows lists.
    pub(super) fn at(self, object: &'e Object<'e>) -> Self {
        Self { object, ..self }
    }

    /// The object's status; it decides what has moved, so it must be there.
    pub(super) fn status(self) -> Result<&'e str, Reason> {
        self.object.status.ok_or(Reason::ObjectUnreadable)
    }

    /// An amount of the object's currency, exact in the exponent of the books.
    pub(super) fn signed(self, units: Option<i64>) -> Result<Amount, Reason> {
        let code = self.object.currency.ok_or(Reason::CurrencyUnknown)?;
        let currency = Currency::parse(code).map_err(|_| Reason::CurrencyUnknown)?;
        // The least number of all has no counterpart on the other side.
        let units = units.filter(|units| units.checked_neg().is_some()).ok_or(Reason::AmountUnreadable)?;
        currency::amount(units, currency).map_err(|_| Reason::AmountUnreadable)
    }

    /// An amount that must not be negative.
    pub(super) fn unsigned(self, units: Option<i64>) -> Result<Amount, Reason> {
        self.signed(units.filter(|units| *units >= 0))
    }

    /// The movement of the object's own amount, not negative, under its own id; none if it is an amount of nothing.
    pub(super) fn own(self, kind: MovementKind, announced_by: &[&str]) -> Result<Option<Movement>, Reason> {
        let gross = self.unsigned(self.object.amount)?;
        self.movement(kind, self.object.id, vec![(Part::Gross, gross)], announced_by)
    }

    /// A movement under the id of a money object; none if every part of it is nothing. It occurred when the event was made
    /// if the event's type is one that announces it, else when the object was.
    pub(super) fn movement(
        self,
        kind: MovementKind,
        money_object: Option<&str>,
        mut parts: Vec<(Part, Amount)>,
        announced_by: &[&str],
    ) -> Result<Option<Movement>, Reason> {
        let whole = money_object.filter(|id| !id.contains('*'));
        let object_id = whole.and_then(|id| ObjectId::parse(id).ok()).ok_or(Reason::ObjectUnreadable)?;
        parts.retain(|(_, amount)| !amount.is_zero());
        if parts.is_empty() {
            return Ok(None);
        }
        let announced = announced_by.contains(&self.event.event_type.as_str());
        let of_object = self.object.created.filter(|_| !announced).map(UnixMillis::from_seconds);
        let key = MovementKey {
            provider: Stripe.name(),
            account: self.event.account.clone(),
            livemode: self.event.livemode,
            object_id,
            kind,
        };
        Ok(Some(Movement { key, occurred_at: of_object.unwrap_or(self.event.created), settles: None, parts }))
    }
}

/// What another object lists, as far as it shows it.
#[derive(Debug)]
pub(super) struct Listed<'e> {
    pub(super) items: Vec<&'e Object<'e>>,
    pub(super) is_cut_short: bool,
}

impl<'e> Listed<'e> {
    pub(super) fn of(list: Option<&'e List<'e>>) -> Self {
        let data = list.and_then(|list| list.data.as_deref()).unwrap_or_default();
        let items: Vec<_> = data.iter().flatten().collect();
        let is_cut_short = data.len() != items.len() || list.is_some_and(|list| list.has_more == Some(true));
        Self { items, is_cut_short }
    }

    /// Whether the items that count fall short of the cumulative amount that the other object states.
    pub(super) fn misses(&self, cumulative: Option<i64>, counts: impl Fn(&Object<'_>) -> bool) -> bool {
        let amounts = self.items.iter().filter(|item| counts(item)).filter_map(|item| item.amount);
        let sum = amounts.fold(0, i64::saturating_add);
        cumulative.map_or(self.is_cut_short, |cumulative| sum < cumulative)
    }
}
