//! The chart of accounts and the posting table.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::{Account, AccountInvalid, Entry, Imbalance, Movement, MovementKind, Part, Provider, Transaction};

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

#[derive(Debug, Clone, Copy)]
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
    /// An amount cannot change its side.
    #[error(transparent)]
    Amount(#[from] money::AmountError),
    /// A template does not give an account name.
    #[error(transparent)]
    Account(#[from] AccountInvalid),
}

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
    /// The table that is built in.
    #[expect(clippy::expect_used, reason = "a constant of this crate, read in its tests")]
    pub fn built_in() -> Self {
        Self::parse(DEFAULT).expect("the built-in posting table is valid")
    }

    /// Reads a table and checks it against the kinds of movement that exist.
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
            if row.debit.is_empty() || row.credit.is_empty() {
                return Err(TableInvalid::Incomplete(word));
            }
            let legs = row.debit.into_iter().map(|leg| (leg, Side::Debit));
            let legs = legs.chain(row.credit.into_iter().map(|leg| (leg, Side::Credit)));
            let mut rules = Vec::new();
            for (LegText { account, part }, side) in legs {
                if !chart.contains(&account) {
                    return Err(TableInvalid::NotInChart { kind: word, account });
                }
                let part = Part::parse(&part).ok_or(TableInvalid::UnknownWord(part))?;
                rules.push(LegRule { account, part, side });
            }
            rows.insert(kind, rules);
        }
        if let Some(kind) = MovementKind::ALL.iter().find(|kind| !rows.contains_key(kind)) {
            return Err(TableInvalid::Incomplete(kind.as_str().to_owned()));
        }
        Ok(Self { version: text.version, chart, rows })
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
        let rules = self.rows.get(&movement.key.kind).map(Vec::as_slice).unwrap_or_default();
        let mut entries = Vec::new();
        for LegRule { account, part, side } in rules {
            let amount = movement.part(*part).ok_or(PostError::PartMissing(*part))?;
            if amount.is_zero() {
                continue;
            }
            let amount = match side {
                Side::Debit => amount,
                Side::Credit => amount.checked_neg()?,
            };
            entries.push(Entry { account: Account::of_template(account, &movement.key.provider)?, amount });
        }
        Ok(Transaction::balanced(movement, self.version, entries)?)
    }
}

#[cfg(test)]
mod tests {
    use money::{Amount, Currency};
    use proptest::prelude::*;

    use super::*;
    use crate::{Livemode, MovementKey, ObjectId, ProviderAccount, UnixMillis};

    fn capture(minor: i64) -> Movement {
        Movement {
            key: MovementKey {
                provider: Provider::parse("stripe").unwrap(),
                account: ProviderAccount::parse("acct_dev").unwrap(),
                livemode: Livemode::Test,
                object_id: ObjectId::parse("ch_1").unwrap(),
                kind: MovementKind::Capture,
            },
            occurred_at: UnixMillis(0),
            parts: vec![(Part::Gross, Amount::new(minor, Currency::parse("USD").unwrap()))],
        }
    }

    #[test]
    fn a_capture_debits_clearing_and_credits_sales() {
        let transaction = PostingTable::built_in().post(&capture(1000)).unwrap();
        let legs: Vec<_> =
            transaction.entries().iter().map(|e| (e.account.to_string(), e.amount.minor())).collect();
        assert_eq!(legs, [("assets:stripe:clearing".to_owned(), 1000), ("income:sales".to_owned(), -1000)]);
        assert_eq!(transaction.key().to_string(), "stripe/acct_dev/test/ch_1/capture");
    }

    #[test]
    fn legs_that_do_not_balance_are_no_transaction() {
        let usd = Currency::parse("USD").unwrap();
        let leg = |minor, currency| Entry {
            account: Account::parse("income:sales").unwrap(),
            amount: Amount::new(minor, currency),
        };
        let movement = capture(1);
        let one_short = Transaction::balanced(&movement, 1, vec![leg(2, usd), leg(-1, usd)]);
        assert_eq!(one_short, Err(Imbalance::NotZero { currency: usd, difference_minor: 1 }));
        let eur = Currency::parse("EUR").unwrap();
        assert!(Transaction::balanced(&movement, 1, vec![leg(1, usd), leg(-1, eur)]).is_err());
        assert_eq!(
            Transaction::balanced(&movement, 1, vec![leg(0, usd), leg(0, usd)]),
            Err(Imbalance::EmptyLeg)
        );
        assert_eq!(Transaction::balanced(&movement, 1, vec![leg(0, usd)]), Err(Imbalance::Legs));
    }

    #[test]
    fn a_table_with_a_mistake_says_which() {
        let edit = |from: &str, to: &str| PostingTable::parse(&DEFAULT.replace(from, to)).unwrap_err();
        assert!(matches!(edit("movements.capture", "movements.captured"), TableInvalid::UnknownWord(_)));
        assert!(matches!(edit("part = \"gross\"", "part = \"grass\""), TableInvalid::UnknownWord(_)));
        assert!(matches!(edit("  \"income:sales\",\n", ""), TableInvalid::NotInChart { .. }));
        assert!(matches!(edit("version = 1", "version = -1"), TableInvalid::Syntax(_)));
    }

    proptest! {
        #[test]
        fn every_capture_that_posts_sums_to_zero(minor in 1_i64..) {
            let transaction = PostingTable::built_in().post(&capture(minor)).unwrap();
            let sum: i128 = transaction.entries().iter().map(|e| i128::from(e.amount.minor())).sum();
            prop_assert_eq!(sum, 0);
        }

        #[test]
        fn the_digest_changes_with_the_amount(a in 1_i64.., b in 1_i64..) {
            prop_assert_eq!(capture(a).digest() == capture(b).digest(), a == b);
        }
    }
}
