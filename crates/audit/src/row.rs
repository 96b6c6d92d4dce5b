//! The rows that checks read, as the database has them: nothing here is parsed, for what is audited may be damaged.

use core::fmt;

use serde::{Serialize, Serializer};

macro_rules! text {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text as it stands in the database.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    )*};
}

text! {
    /// The code of a currency; damaged books may hold one that no currency has.
    CurrencyCode
    /// The unique key of the money movement that a transaction books.
    MovementKey
    /// The name of an account, `assets:stripe:clearing`.
    AccountName
    /// The provider's id of the event that a transaction was booked for.
    EventId
    /// The W3C trace id of the processing that booked a transaction.
    TraceId
    /// What a run saw, as `pg_snapshot` prints it: `xmin:xmax:xip,…`.
    Snapshot
    /// An instant of the database's clock, RFC 3339 in UTC.
    Instant
    /// What a finding is about: stable over runs and auditors.
    FindingKey
    /// The name of a configured source.
    SourceName
    /// The random name of one start of an ingress.
    InstanceName
    /// A word for a reason: of a refusal, or of an event that is parked.
    Slug
}

/// The number of a checkpoint in the chain, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Height(pub i64);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The number of a transaction in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TransactionId(pub i64);

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Whether real money moves. In JSON the boolean that providers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Livemode {
    /// Money of nobody.
    Test,
    /// Real money.
    Live,
}

impl Livemode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Live, Self::Test];

    /// From the boolean of a column.
    pub const fn from_bool(live: bool) -> Self {
        if live { Self::Live } else { Self::Test }
    }

    /// As the boolean of columns, labels and JSON.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Live)
    }
}

impl fmt::Display for Livemode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if self.is_live() { "live" } else { "test" })
    }
}

impl Serialize for Livemode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self.is_live())
    }
}

/// All entries of one livemode and currency, summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotalRow {
    /// Real money or not.
    pub livemode: Livemode,
    /// The currency.
    pub currency: CurrencyCode,
    /// Sum of the debits, minor units, not negative.
    pub debits_minor: i128,
    /// Sum of the credits, minor units, not negative.
    pub credits_minor: i128,
}

/// The transactions to look at: all of them, or those in which some fact deviates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suspects {
    /// The rows.
    pub transactions: Vec<TransactionRow>,
    /// How many more deviate and are not among the rows.
    pub left_out: u64,
}

/// A transaction with its legs, as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRow {
    /// Its number; what the legs say when there is no header.
    pub id: TransactionId,
    /// Its own row, unless that is gone.
    pub header: Option<HeaderRow>,
    /// Its legs, in any order.
    pub legs: Vec<LegRow>,
}

/// What a transaction says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderRow {
    /// What it books.
    pub movement_key: MovementKey,
    /// How many legs it says it has.
    pub legs: i32,
    /// Real money or not.
    pub livemode: Livemode,
    /// Why it was booked.
    pub event_id: Option<EventId>,
    /// Where to read how it was booked.
    pub trace_id: Option<TraceId>,
}

/// One leg of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegRow {
    /// Its number, from 1.
    pub leg: i32,
    /// Its account, unless that does not exist.
    pub account: Option<AccountName>,
    /// Minor units, positive debit, negative credit.
    pub amount_minor: i64,
    /// The currency.
    pub currency: CurrencyCode,
    /// Real money or not.
    pub livemode: Livemode,
    /// When it got its present content.
    pub written: Written,
}

/// Whether a leg's present content is as old as its siblings'. Evidence for a probable cause, never for a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// As old as the oldest leg of the transaction.
    Together,
    /// Inserted or edited after the oldest leg.
    Later,
}
