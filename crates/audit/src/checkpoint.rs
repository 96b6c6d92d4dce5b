//! Checkpoints: what the rows of a range of transactions were when they were sealed.

use std::collections::BTreeMap;

use crate::seal::{Digest, ENCODING_VERSION, Encoder, Field};
use crate::{AccountName, CurrencyCode, Height, Livemode};

/// Debits and credits, minor units, neither negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Of the debits.
    pub debits_minor: i128,
    /// Of the credits.
    pub credits_minor: i128,
}

impl Sums {
    /// Of one entry: positive debit, negative credit.
    pub fn of_entry(amount_minor: i64) -> Self {
        let amount = i128::from(amount_minor);
        Self { debits_minor: amount.max(0), credits_minor: amount.saturating_neg().max(0) }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            debits_minor: self.debits_minor.saturating_add(other.debits_minor),
            credits_minor: self.credits_minor.saturating_add(other.credits_minor),
        }
    }

    /// What this has more than the other.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            debits_minor: self.debits_minor.saturating_sub(other.debits_minor),
            credits_minor: self.credits_minor.saturating_sub(other.credits_minor),
        }
    }

    /// Debits minus credits.
    pub const fn net_minor(self) -> i128 {
        self.debits_minor.saturating_sub(self.credits_minor)
    }
}

/// Whose sums: livemode, currency, account. An entry may be on no account when the books are damaged.
pub type TotalKey = (Livemode, CurrencyCode, AccountName);

/// Sums by livemode, currency and account; what is nothing is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals(pub BTreeMap<TotalKey, Sums>);

impl Totals {
    /// Adds an entry.
    pub fn add(&mut self, key: TotalKey, sums: Sums) {
        let entry = self.0.entry(key).or_default();
        *entry = entry.plus(sums);
    }

    /// All of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.merged(other, Sums::plus)
    }

    /// What this has more than the other; negative where it has less.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.merged(other, Sums::minus)
    }

    fn merged(&self, other: &Self, merge: impl Fn(Sums, Sums) -> Sums) -> Self {
        let mut merged = self.0.clone();
        for (key, sums) in &other.0 {
            let entry = merged.entry(key.clone()).or_default();
            *entry = merge(*entry, *sums);
        }
        merged.retain(|_, sums| *sums != Sums::default());
        Self(merged)
    }
}

/// How many rows of one table a range has, and the digest over them in the order of transaction number and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// How many.
    pub rows: u64,
    /// What they are.
    pub digest: Digest,
}

/// What a range of transactions holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeFacts {
    /// By table.
    pub contents: BTreeMap<String, Content>,
    /// Of its entries alone.
    pub totals: Totals,
}

impl RangeFacts {
    /// How many rows, in all tables.
    pub fn rows(&self) -> u64 {
        self.contents.values().map(|content| content.rows).sum()
    }
}

/// A sealed range: `lo <= xid < hi`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its number, one more than that of the one before.
    pub height: Height,
    /// The first transaction number.
    pub lo: i64,
    /// The first one after it.
    pub hi: i64,
    /// How the digests were made.
    pub encoding_version: i16,
    /// What the range held, by table.
    pub contents: BTreeMap<String, Content>,
    /// Sums of everything up to here, not of the range alone.
    pub totals: Totals,
    /// How many rows everything up to here has.
    pub rows_total: u64,
    /// Over all of the above and the one before.
    pub digest: Digest,
    /// The digest of the one before.
    pub previous_digest: Digest,
    /// Why a person declared this to be the history from here on; it seals everything anew, from the beginning.
    pub adopted: Option<String>,
}

impl Checkpoint {
    /// Seals what the range up to `hi` holds, after `previous`.
    pub fn seal(previous: Option<&Self>, hi: i64, facts: RangeFacts) -> Self {
        let before = previous.map(|previous| (&previous.totals, previous.rows_total));
        let totals = before.map_or_else(|| facts.totals.clone(), |(totals, _)| totals.plus(&facts.totals));
        let rows_total = before.map_or(0, |(_, rows)| rows).saturating_add(facts.rows());
        let lo = previous.map_or(0, |previous| previous.hi);
        Self::make(previous, (lo, hi), facts, (totals, rows_total), None)
    }

    /// Seals everything up to `hi` anew: what stood before is history no more.
    pub fn adopt(previous: Option<&Self>, hi: i64, facts: RangeFacts, reason: &str) -> Self {
        let all = (facts.totals.clone(), facts.rows());
        Self::make(previous, (0, hi), facts, all, Some(reason.to_owned()))
    }

    fn make(
        previous: Option<&Self>,
        (lo, hi): (i64, i64),
        facts: RangeFacts,
        (totals, rows_total): (Totals, u64),
        adopted: Option<String>,
    ) -> Self {
        let mut checkpoint = Self {
            height: Height(previous.map_or(0, |previous| previous.height.0).saturating_add(1)),
            lo,
            hi,
            encoding_version: ENCODING_VERSION,
            contents: facts.contents,
            totals,
            rows_total,
            digest: Digest::NONE,
            previous_digest: previous.map_or(Digest::NONE, |previous| previous.digest),
            adopted,
        };
        checkpoint.digest = checkpoint.own_digest();
        checkpoint
    }

    /// What its digest must be.
    pub fn own_digest(&self) -> Digest {
        let mut encoder = Encoder::default();
        encoder.row(&[
            Field::Text("countersign checkpoint"),
            Field::Integer(self.encoding_version.into()),
            Field::Bytes(&self.previous_digest.0),
            Field::Integer(self.height.0),
            Field::Integer(self.lo),
            Field::Integer(self.hi),
            number(self.rows_total),
            self.adopted.as_deref().map_or(Field::Null, Field::Text),
        ]);
        for (table, content) in &self.contents {
            encoder.row(&[Field::Text(table), number(content.rows), Field::Bytes(&content.digest.0)]);
        }
        for ((livemode, currency, account), sums) in &self.totals.0 {
            encoder.row(&[
                Field::Boolean(livemode.is_live()),
                Field::Text(currency.as_str()),
                Field::Text(account.as_str()),
                Field::Bytes(&sums.debits_minor.to_be_bytes()),
                Field::Bytes(&sums.credits_minor.to_be_bytes()),
            ]);
        }
        encoder.finish()
    }
}

fn number(rows: u64) -> Field<'static> {
    Field::Integer(i64::try_from(rows).unwrap_or(i64::MAX))
}
