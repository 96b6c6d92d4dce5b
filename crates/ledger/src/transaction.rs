//! Transactions: balanced by construction.

use std::collections::BTreeMap;

use money::{Amount, Currency};

use crate::{Account, Movement, MovementDigest, MovementKey, ObjectId, UnixMillis};

/// One leg: an amount on an account, positive debit, negative credit, never nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub account: Account,
    /// How much, signed.
    pub amount: Amount,
}

/// Legs that are no transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Imbalance {
    /// The legs in this currency do not sum to zero.
    #[error("the legs in {currency} sum to {difference_minor} minor units")]
    NotZero {
        /// The currency.
        currency: Currency,
        /// Debits minus credits.
        difference_minor: i128,
    },
    /// Fewer than two legs, or more than a transaction may have.
    #[error("a transaction has 2 to 1000 legs")]
    Legs,
    /// A leg of nothing.
    #[error("a leg of nothing")]
    EmptyLeg,
}

/// A movement, posted: balanced per currency, because nothing else can be constructed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    key: MovementKey,
    digest: MovementDigest,
    posting_version: u32,
    occurred_at: UnixMillis,
    settles: Option<ObjectId>,
    entries: Vec<Entry>,
}

impl Transaction {
    /// The transaction of these legs for this movement; the only way to make one.
    pub fn balanced(
        movement: &Movement,
        posting_version: u32,
        entries: Vec<Entry>,
    ) -> Result<Self, Imbalance> {
        if !(2..=1000).contains(&entries.len()) {
            return Err(Imbalance::Legs);
        }
        if entries.iter().any(|entry| entry.amount.is_zero()) {
            return Err(Imbalance::EmptyLeg);
        }
        let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
        for entry in &entries {
            let sum = sums.entry(entry.amount.currency()).or_default();
            *sum = sum.saturating_add(i128::from(entry.amount.minor()));
        }
        if let Some((&currency, &difference_minor)) = sums.iter().find(|(_, sum)| **sum != 0) {
            return Err(Imbalance::NotZero { currency, difference_minor });
        }
        Ok(Self {
            key: movement.key.clone(),
            digest: movement.digest(),
            posting_version,
            occurred_at: movement.occurred_at,
            settles: movement.settles.clone(),
            entries,
        })
    }

    /// The movement's identity.
    pub fn key(&self) -> &MovementKey {
        &self.key
    }

    /// The digest of the movement's amounts.
    pub fn digest(&self) -> MovementDigest {
        self.digest
    }

    /// The version of the posting table it was posted with.
    pub fn posting_version(&self) -> u32 {
        self.posting_version
    }

    /// When the money moved.
    pub fn occurred_at(&self) -> UnixMillis {
        self.occurred_at
    }

    /// Whose announcement it takes out of clearing, if it settles one.
    pub fn settles(&self) -> Option<&ObjectId> {
        self.settles.as_ref()
    }

    /// The legs, numbered from 1 in this order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}
