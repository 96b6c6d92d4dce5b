//! The chart of accounts and the posting table.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Account, AccountInvalid, Entry, Imbalance, Movement, MovementKind, Part, Provider, Transaction};

mod text;

#[cfg(test)]
mod tests;

/// The table that is built in.
const DEFAULT: &str = include_str!("../postings/default.toml");

/// How each kind of movement becomes legs. Checked when it is read; immutable afterwards.
#[derive(Debug, Clone)]
pub struct PostingTable {
    version: u32,
    chart: BTreeSet<String>,
    rows: BTreeMap<MovementKind, Vec<LegRule>>,
}

#[derive(Debug, Clone)]
struct LegRule {
    account: String,
    part: Part,
    side: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Debit,
    Credit,
}

/// Why a table is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableInvalid {
    /// Not TOML of the expected shape.
    #[error("the posting table cannot be read: {0}")]
    Syntax(String),
    /// A name in the chart is no account.
    #[error(transparent)]
    Account(#[from] AccountInvalid),
    /// A movement names an account that is not in the chart.
    #[error("movement {kind} posts to {account}, which is not in the chart")]
    NotInChart {
        /// The movement.
        kind: String,
        /// The account.
        account: String,
    },
    /// A word that is no movement or no part.
    #[error("{0} is no movement or part of the books")]
    UnknownWord(String),
    /// A kind of movement has no row, or a row without a debit and a credit.
    #[error("movement {0} has no debit and credit")]
    Incomplete(String),
    /// A row posts a part that its kind of movement never has.
    #[error("movement {kind} never has a part {part}")]
    ForeignPart {
        /// The movement.
        kind: String,
        /// The part.
        part: String,
    },
    /// A row whose debits and credits are not the same, whatever the amounts are.
    #[error("movement {kind} does not balance: look at part {part}")]
    Unbalanced {
        /// The movement.
        kind: String,
        /// The part that stands on one side too often or too seldom.
        part: String,
    },
}

/// Why a movement cannot be posted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The legs do not make a transaction.
    #[error(transparent)]
    Imbalance(#[from] Imbalance),
    /// The movement lacks the part that its row names.
    #[error("the movement has no part {0:?}")]
    PartMissing(Part),
    /// The movement has a part that its kind never has, or has it twice.
    #[error("the movement has a part {0:?} too many")]
    PartUnexpected(Part),
    /// An amount cannot change its side.
    #[error(transparent)]
    Amount(#[from] money::AmountError),
    /// A template does not give an account name.
    #[error(transparent)]
    Account(#[from] AccountInvalid),
}

impl PostingTable {
    /// The table that is built in.
    #[expect(clippy::expect_used, reason = "a constant of this crate, read in its tests")]
    pub fn built_in() -> Self {
        Self::parse(DEFAULT).expect("the built-in posting table is valid")
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Every account that these providers' movements can touch.
    pub fn accounts<'a>(
        &self,
        providers: impl IntoIterator<Item = &'a Provider>,
    ) -> Result<BTreeSet<Account>, AccountInvalid> {
        let mut accounts = BTreeSet::new();
        for provider in providers {
            for template in &self.chart {
                accounts.insert(Account::of_template(template, provider)?);
            }
        }
        Ok(accounts)
    }

    /// Posts a movement.
    pub fn post(&self, movement: &Movement) -> Result<Transaction, PostError> {
        let possible = movement.key.kind.parts();
        let mut parts = BTreeSet::new();
        if let Some((part, _)) =
            movement.parts.iter().find(|(part, _)| !possible.contains(part) || !parts.insert(*part))
        {
            return Err(PostError::PartUnexpected(*part));
        }
        let rules = self.rows.get(&movement.key.kind).map(Vec::as_slice).unwrap_or_default();
        let mut entries = Vec::new();
        for LegRule { account, part, side } in rules {
            let amount = match movement.part(*part) {
                Some(amount) if amount.is_zero() => continue,
                Some(amount) => amount,
                // Of several parts, one that the movement lacks is nothing.
                None if possible.len() > 1 => continue,
                None => return Err(PostError::PartMissing(*part)),
            };
            let amount = match side {
                Side::Debit => amount,
                Side::Credit => amount.checked_neg()?,
            };
            entries.push(Entry { account: Account::of_template(account, &movement.key.provider)?, amount });
        }
        Ok(Transaction::balanced(movement, self.version, entries)?)
    }
}
