//! What probably happened to a transaction. A guess for a person: the faults stand without it.

use super::{Facts, only};
use crate::{CurrencyCode, Fault, LegRow, ProbableCause, Written};

/// A cause, and the leg that it points at when exactly one stands out.
pub(super) struct Suspicion<'r> {
    pub(super) cause: ProbableCause,
    pub(super) leg: Option<&'r LegRow>,
}

/// The most telling fault decides. `currency` is the one that the finding is about.
pub(super) fn suspect<'r>(facts: &Facts<'r>, currency: Option<&CurrencyCode>) -> Suspicion<'r> {
    let legs = &facts.row.legs;
    let all_zero = facts.off.is_empty();
    let (cause, leg) = if facts.has(Fault::NoHeader) {
        (ProbableCause::HeaderDeleted, None)
    } else if facts.has(Fault::FewerLegs) {
        let header_edited = all_zero && legs.len() >= 2 && facts.numbered_one_by_one();
        (if header_edited { ProbableCause::HeaderEdited } else { ProbableCause::LegMissing }, None)
    } else if facts.has(Fault::MoreLegs) || facts.has(Fault::LegNumbers) {
        surplus(facts)
    } else if all_zero && facts.has(Fault::MixedLivemode) {
        let astray = legs.iter().filter(|leg| leg.livemode != facts.livemode);
        (ProbableCause::LivemodeChanged, only(astray))
    } else if facts.off.len() > 1 && facts.off.values().sum::<i128>() == 0 {
        let moved = legs.iter().filter(|leg| later(leg) && facts.off.contains_key(&leg.currency));
        (ProbableCause::CurrencyChanged, only(moved).or(lone_in_its_currency(facts)))
    } else {
        edited(facts, currency)
    };
    Suspicion { cause, leg }
}

/// Legs that are too many, or in the place of others: what came later, or is numbered beyond the last.
fn surplus<'r>(facts: &Facts<'r>) -> (ProbableCause, Option<&'r LegRow>) {
    let legs = &facts.row.legs;
    let declared = facts.row.header.as_ref().map_or(0, |header| header.legs);
    let added = |leg: &&LegRow| later(leg) || leg.leg > declared || leg.leg < 1;
    let leg = only(legs.iter().filter(added));
    if facts.off.is_empty() && facts.numbered_one_by_one() && !legs.iter().any(later) {
        return (ProbableCause::HeaderEdited, None);
    }
    let copied = |leg: &LegRow| legs.iter().filter(|other| same_posting(other, leg)).count() > 1;
    let cause = if leg.is_some_and(copied) { ProbableCause::LegDoubled } else { ProbableCause::LegAdded };
    (cause, leg)
}

/// As many legs as declared: one of them is not what it was.
fn edited<'r>(facts: &Facts<'r>, currency: Option<&CurrencyCode>) -> (ProbableCause, Option<&'r LegRow>) {
    let legs = || facts.row.legs.iter().filter(|leg| Some(&leg.currency) == currency);
    let sum = currency.and_then(|currency| facts.off.get(currency)).copied().unwrap_or_default();
    // A leg on the wrong side makes a difference of twice its amount.
    let swapped = |leg: &&LegRow| i128::from(leg.amount_minor).saturating_mul(2) == sum;
    let newer = only(legs().filter(|leg| later(leg)));
    if sum != 0 && legs().any(|leg| swapped(&leg)) && newer.is_none_or(|leg| swapped(&leg)) {
        (ProbableCause::SideSwapped, newer.or(only(legs().filter(swapped))))
    } else {
        (ProbableCause::AmountEdited, newer)
    }
}

/// Of the currencies that are off, the only leg that stands alone in its own.
fn lone_in_its_currency<'r>(facts: &Facts<'r>) -> Option<&'r LegRow> {
    let legs = &facts.row.legs;
    let alone = |leg: &&LegRow| legs.iter().filter(|other| other.currency == leg.currency).count() == 1;
    only(legs.iter().filter(|leg| facts.off.contains_key(&leg.currency)).filter(alone))
}

fn later(leg: &LegRow) -> bool {
    leg.written == Written::Later
}

fn same_posting(a: &LegRow, b: &LegRow) -> bool {
    a.account == b.account && a.amount_minor == b.amount_minor && a.currency == b.currency
}
