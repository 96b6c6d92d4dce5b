//! Reading a posting table: whatever could go wrong with it goes wrong here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{LegRule, PostingTable, Side, TableInvalid};
use crate::{Account, MovementKind, Part, Provider};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableText {
    version: u32,
    accounts: Vec<String>,
    movements: BTreeMap<String, RowText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowText {
    debit: Vec<LegText>,
    credit: Vec<LegText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LegText {
    account: String,
    part: String,
}

impl PostingTable {
    /// Reads a table and checks it: every kind of movement has a row, every row posts to accounts of the chart, and what
    /// it posts balances, whatever the amounts are.
    pub fn parse(text: &str) -> Result<Self, TableInvalid> {
        let text: TableText =
            toml::from_str(text).map_err(|error| TableInvalid::Syntax(error.to_string()))?;
        let sample = Provider::parse("provider").map_err(|error| TableInvalid::Syntax(error.to_string()))?;
        for account in &text.accounts {
            Account::of_template(account, &sample)?;
        }
        let chart: BTreeSet<String> = text.accounts.into_iter().collect();
        let mut rows = BTreeMap::new();
        for (word, row) in text.movements {
            let kind = MovementKind::parse(&word).ok_or_else(|| TableInvalid::UnknownWord(word.clone()))?;
            rows.insert(kind, rules(kind, row, &chart)?);
        }
        if let Some(kind) = MovementKind::ALL.iter().find(|kind| !rows.contains_key(kind)) {
            return Err(TableInvalid::Incomplete(kind.as_str().to_owned()));
        }
        Ok(Self { version: text.version, chart, rows })
    }
}

fn rules(kind: MovementKind, row: RowText, chart: &BTreeSet<String>) -> Result<Vec<LegRule>, TableInvalid> {
    let word = || kind.as_str().to_owned();
    if row.debit.is_empty() || row.credit.is_empty() {
        return Err(TableInvalid::Incomplete(word()));
    }
    let legs = row.debit.into_iter().map(|leg| (leg, Side::Debit));
    let legs = legs.chain(row.credit.into_iter().map(|leg| (leg, Side::Credit)));
    let mut rules = Vec::new();
    for (LegText { account, part }, side) in legs {
        if !chart.contains(&account) {
            return Err(TableInvalid::NotInChart { kind: word(), account });
        }
        let Some(known) = Part::parse(&part) else { return Err(TableInvalid::UnknownWord(part)) };
        if !kind.parts().contains(&known) {
            return Err(TableInvalid::ForeignPart { kind: word(), part });
        }
        rules.push(LegRule { account, part: known, side });
    }
    match unbalanced(kind, &rules) {
        Some(part) => Err(TableInvalid::Unbalanced { kind: word(), part: part.as_str().to_owned() }),
        None => Ok(rules),
    }
}

/// The first part whose debits and credits do not cancel out, by themselves or by what holds of the parts of the kind:
/// weighted, they sum to zero, and so does any multiple of that.
fn unbalanced(kind: MovementKind, rules: &[LegRule]) -> Option<Part> {
    let surplus = |part: Part| {
        let legs = rules.iter().filter(|rule| rule.part == part);
        legs.fold(0_i64, |sum, rule| match rule.side {
            Side::Debit => sum.saturating_add(1),
            Side::Credit => sum.saturating_sub(1),
        })
    };
    let times = match kind.parts() {
        [first, _, ..] => surplus(*first).saturating_mul(first.weight()),
        [] | [_] => 0,
    };
    kind.parts().iter().copied().find(|part| surplus(*part) != times.saturating_mul(part.weight()))
}
