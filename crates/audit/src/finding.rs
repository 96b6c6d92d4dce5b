//! What a check says.

use core::fmt;

use serde::Serialize;

use crate::{AccountName, CurrencyCode, EventId, Livemode, MovementKey, TraceId, TransactionId};

/// The checks, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Debits equal credits for every livemode and currency.
    Balance,
    /// Every transaction is whole: zero per currency, all its legs and no more, one livemode.
    Transactions,
}

impl Check {
    /// All of them; a run runs them all.
    pub const ALL: [Self; 2] = [Self::Balance, Self::Transactions];

    /// The word in JSON, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Balance => "balance",
            Self::Transactions => "transactions",
        }
    }

    /// Whether its findings mean that the books are imbalanced.
    pub const fn decides_balance(self) -> bool {
        match self {
            Self::Balance | Self::Transactions => true,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckResult {
    /// Nothing is wrong.
    Passed,
    /// Something is.
    Failed(Findings),
}

/// The findings of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// In full.
    pub listed: Vec<Finding>,
    /// How many more there are.
    pub left_out: u64,
}

impl CheckResult {
    /// Passed if there is no finding.
    pub(crate) fn of(listed: Vec<Finding>, left_out: u64) -> Self {
        if listed.is_empty() && left_out == 0 {
            Self::Passed
        } else {
            Self::Failed(Findings { listed, left_out })
        }
    }

    /// The findings in full; none if it passed.
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Passed => &[],
            Self::Failed(findings) => &findings.listed,
        }
    }
}

/// One thing that is wrong, as exactly as the rows tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Who found it.
    pub check: Check,
    /// What is wrong; facts.
    pub faults: Vec<Fault>,
    /// Whose money.
    pub livemode: Livemode,
    /// In which currency; absent where none can be named.
    pub currency: Option<CurrencyCode>,
    /// Debits minus credits, minor units; of `mixed-livemode` alone, what stands in the wrong mode.
    pub difference_minor: i128,
    /// In which transaction.
    pub transaction: Option<TransactionRef>,
    /// On which account, when one leg stands out.
    pub account: Option<AccountName>,
    /// The number of that leg.
    pub leg: Option<i32>,
    /// The event that the transaction was booked for.
    pub event_id: Option<EventId>,
    /// The trace of its booking.
    pub trace_id: Option<TraceId>,
    /// What probably happened; a guess for a person.
    pub probable_cause: ProbableCause,
}

/// A transaction, for people and for tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransactionRef {
    /// Its number.
    pub id: TransactionId,
    /// What it books; absent when its own row is gone.
    pub movement_key: Option<MovementKey>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        /// In a sentence for people.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $text,)* })
            }
        }
    };
}

words! {
    /// A rule that the rows break.
    Fault {
        /// Debits and credits of a livemode and currency differ.
        TotalsDiffer = "debits and credits differ",
        /// The legs of a transaction in a currency do not sum to zero.
        NotZero = "the legs do not sum to zero",
        /// It has fewer legs than it says.
        FewerLegs = "legs are missing",
        /// It has more legs than it says.
        MoreLegs = "there are more legs than declared",
        /// Its legs are as many as it says, but not numbered 1 to that number.
        LegNumbers = "the legs are not numbered one by one",
        /// Its row and its legs are not all of one livemode.
        MixedLivemode = "live and test are mixed",
        /// Its legs belong to no transaction row.
        NoHeader = "the transaction row is gone",
    }
}

words! {
    /// What probably happened.
    ProbableCause {
        /// A total cannot tell; the findings of `transactions` do.
        SeeTransactions = "the transactions tell",
        /// A leg was deleted or never written.
        LegMissing = "a leg was deleted",
        /// A leg was added to a finished transaction.
        LegAdded = "a leg was added",
        /// A leg stands there twice.
        LegDoubled = "a leg was doubled",
        /// An amount was edited.
        AmountEdited = "an amount was edited",
        /// A debit became a credit, or the other way round.
        SideSwapped = "debit and credit were swapped",
        /// A leg was moved to another currency.
        CurrencyChanged = "a currency was changed",
        /// A leg or the transaction row was moved between live and test.
        LivemodeChanged = "live and test were swapped",
        /// The transaction row was deleted.
        HeaderDeleted = "the transaction row was deleted",
        /// The transaction row was edited.
        HeaderEdited = "the transaction row was edited",
    }
}
