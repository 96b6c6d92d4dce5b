//! What an alert is about.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;

use audit_postgres::AuditStoreError;
use jiff::Timestamp;
use money::{Currency, Decimal};
use serde::{Deserialize, Serialize};

/// The check of a finding that no check made: the run itself could not read.
pub const CHECK_AUDIT: &str = "audit";

/// One finding that stands open, for a person. One finding is one page, on every route that takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFinding {
    /// The same for every run and every auditor as long as the fault is the same; at most 1024 bytes.
    pub key: String,
    /// The word of the check that found it.
    pub check: String,
    /// The name of the alert, which is the name of its page in `deploy/runbooks`.
    pub alert: String,
    /// How urgent it is.
    pub severity: Severity,
    /// One line; ids and amounts, nothing about people.
    pub summary: String,
    /// What probably happened.
    pub probable_cause: Option<String>,
    /// By how much, where it is about an amount.
    pub difference: Option<Difference>,
    /// Whether it makes the books imbalanced.
    pub imbalance: bool,
    /// What else a person needs, by name.
    pub details: BTreeMap<String, String>,
    /// Where to read how it came about.
    pub trace_ids: Vec<String>,
    /// Since when it stands.
    pub opened_at: Timestamp,
    /// Whether somebody has said that they know: no more reminders.
    pub acknowledged: bool,
}

impl OpenFinding {
    /// A run could not read the books.
    pub(crate) fn cannot_read(error: &AuditStoreError, opened_at: Timestamp) -> Self {
        Self {
            key: "audit/cannot-read".to_owned(),
            check: CHECK_AUDIT.to_owned(),
            alert: "AuditCannotRead".to_owned(),
            severity: Severity::Critical,
            summary: format!("The auditor cannot check the books: {error}"),
            probable_cause: None,
            difference: None,
            imbalance: false,
            details: BTreeMap::new(),
            trace_ids: Vec::new(),
            opened_at,
            acknowledged: false,
        }
    }
}

/// Debits minus credits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Minor units; saturates where books are damaged beyond 64 bits.
    pub minor: i64,
    /// In which currency, where one can be named.
    pub currency: Option<String>,
    /// Whether it is real money.
    pub livemode: bool,
}

/// With the currency's decimal point: `5.00 USD live`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.currency.as_deref().map(|code| (code, Currency::parse(code))) {
            Some((code, Ok(known))) => {
                let decimal = Decimal { minor: self.minor.into(), exponent: known.exponent() };
                write!(f, "{decimal} {code}")?;
            }
            Some((code, Err(_))) => write!(f, "{} minor units of {code:?}", self.minor)?,
            None => write!(f, "{}", self.minor)?,
        }
        f.write_str(if self.livemode { " live" } else { " test" })
    }
}

/// The newest checkpoint: what the books were when it was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its number.
    pub height: i64,
    /// Its digest, hexadecimal.
    pub digest: String,
}

/// Everything that stands open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// When the list was read, by the clock of the database, or a little before.
    pub as_of: Timestamp,
    /// All findings that stood open then, whoever found them.
    pub open: Vec<OpenFinding>,
    /// The newest checkpoint.
    pub head: Option<Head>,
}

/// How urgent a finding is; the words are PagerDuty's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Money may be wrong: now.
    Critical,
    /// Something is wrong: today.
    Error,
    /// Something may become wrong.
    Warning,
    /// For the record.
    Info,
}

impl Severity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Critical, Self::Error, Self::Warning, Self::Info];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Not the word of a severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeverityUnknown;

impl fmt::Display for SeverityUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none of critical, error, warning, info")
    }
}

impl std::error::Error for SeverityUnknown {}

impl FromStr for Severity {
    type Err = SeverityUnknown;

    fn from_str(word: &str) -> Result<Self, SeverityUnknown> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == word).ok_or(SeverityUnknown)
    }
}
