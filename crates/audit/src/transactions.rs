//! The check `transactions`.

mod cause;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Check, CheckResult, CurrencyCode, Fault, Finding, LegRow, Livemode, Suspects, TransactionRef,
    TransactionRow,
};
use cause::{Suspicion, suspect};

/// No money moves with fewer.
const LEGS_MIN: i32 = 2;

/// Fails for every transaction that does not sum to zero per currency, has fewer or more legs than it says, or mixes
/// livemode. One finding per transaction and currency that is not zero; one per transaction if all are.
pub fn check_transactions(suspects: &Suspects) -> CheckResult {
    let findings = suspects.transactions.iter().flat_map(findings).collect();
    CheckResult::of(findings, suspects.left_out)
}

/// What the rows of one transaction say, computed once.
struct Facts<'r> {
    row: &'r TransactionRow,
    livemode: Livemode,
    /// Sums other than zero.
    off: BTreeMap<&'r CurrencyCode, i128>,
    faults: Vec<Fault>,
}

impl<'r> Facts<'r> {
    fn of(row: &'r TransactionRow) -> Self {
        let declared = row.header.as_ref().map(|header| header.livemode);
        let livemode = declared.or(row.legs.first().map(|leg| leg.livemode)).unwrap_or(Livemode::Live);
        let mut off: BTreeMap<&CurrencyCode, i128> = BTreeMap::new();
        for leg in &row.legs {
            let sum = off.entry(&leg.currency).or_default();
            *sum = sum.saturating_add(leg.amount_minor.into());
        }
        off.retain(|_, sum| *sum != 0);
        let mut facts = Self { row, livemode, off, faults: Vec::new() };
        facts.faults = facts.broken_rules();
        facts
    }

    fn broken_rules(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !self.off.is_empty() {
            faults.push(Fault::NotZero);
        }
        match &self.row.header {
            None => faults.push(Fault::NoHeader),
            Some(header) => {
                let found = i32::try_from(self.row.legs.len()).unwrap_or(i32::MAX);
                match found.cmp(&header.legs.max(LEGS_MIN)) {
                    core::cmp::Ordering::Less => faults.push(Fault::FewerLegs),
                    core::cmp::Ordering::Greater => faults.push(Fault::MoreLegs),
                    core::cmp::Ordering::Equal => {
                        if !self.numbered_one_by_one() {
                            faults.push(Fault::LegNumbers);
                        }
                    }
                }
            }
        }
        if self.row.legs.iter().any(|leg| leg.livemode != self.livemode) {
            faults.push(Fault::MixedLivemode);
        }
        faults
    }

    fn numbered_one_by_one(&self) -> bool {
        let numbers: BTreeSet<i32> = self.row.legs.iter().map(|leg| leg.leg).collect();
        numbers.len() == self.row.legs.len()
            && numbers.into_iter().zip(1..).all(|(number, due)| number == due)
    }

    fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// The currency and the amount to name when every currency sums to zero: of mixed livemode, what stands in the
    /// wrong one.
    fn whole(&self) -> (Option<&'r CurrencyCode>, i128) {
        let astray = || self.row.legs.iter().filter(|leg| leg.livemode != self.livemode);
        if self.has(Fault::MixedLivemode) {
            (only(astray().map(|leg| &leg.currency)), astray().map(|leg| i128::from(leg.amount_minor)).sum())
        } else {
            (only(self.row.legs.iter().map(|leg| &leg.currency)), 0)
        }
    }
}

fn findings(row: &TransactionRow) -> Vec<Finding> {
    let facts = Facts::of(row);
    if facts.faults.is_empty() {
        return Vec::new();
    }
    if facts.off.is_empty() {
        let (currency, amount) = facts.whole();
        return vec![finding(&facts, currency, amount)];
    }
    facts.off.iter().map(|(currency, sum)| finding(&facts, Some(currency), *sum)).collect()
}

fn finding(facts: &Facts<'_>, currency: Option<&CurrencyCode>, difference_minor: i128) -> Finding {
    let Suspicion { cause, leg } = suspect(facts, currency);
    let header = facts.row.header.as_ref();
    let key = format!("{}/{}", facts.row.id, currency.map_or("-", CurrencyCode::as_str));
    let fault = facts.faults.first().copied().unwrap_or(Fault::NotZero);
    Finding {
        faults: facts.faults.clone(),
        livemode: Some(facts.livemode),
        currency: currency.cloned(),
        difference_minor,
        transaction: Some(TransactionRef {
            id: facts.row.id,
            movement_key: header.map(|header| header.movement_key.clone()),
        }),
        account: leg.and_then(|leg: &LegRow| leg.account.clone()),
        leg: leg.map(|leg| leg.leg),
        event_id: header.and_then(|header| header.event_id.clone()),
        trace_id: header.and_then(|header| header.trace_id.clone()),
        ..Finding::new(Check::Transactions, fault, cause, key)
    }
}

/// The one value that all of them are; `None` if there are none or several.
fn only<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}
