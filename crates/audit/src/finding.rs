//! What a check says.

use core::fmt;

use serde::Serialize;

use crate::MoneyRef;
use crate::fault::{Fault, ProbableCause};
use crate::row::{
    AccountName, CurrencyCode, EventId, FindingKey, Height, InstanceName, Instant, Livemode, MovementKey,
    Slug, SourceName, TraceId, TransactionId,
};
use crate::words::words;

/// The checks, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Debits equal credits for every livemode and currency.
    Balance,
    /// Every transaction is whole: zero per currency, all its legs and no more, one livemode.
    Transactions,
    /// What was sealed is what it was, and nothing of it is gone.
    Continuity,
    /// What was accepted arrived.
    Completeness,
    /// Events and transactions belong together, each once.
    Coverage,
    /// Nothing waits for a decision for long.
    Backlog,
    /// What was announced is settled or returned in time.
    Clearing,
    /// The provider holds what the books say.
    ProviderBalance,
    /// Authentic deliveries are not refused in numbers.
    Rejections,
    /// What protects the books is there and on.
    Guards,
    /// Who delivers daily delivers.
    Silence,
}

impl Check {
    /// All of them; a run runs them all.
    pub const ALL: [Self; 11] = [
        Self::Balance,
        Self::Transactions,
        Self::Continuity,
        Self::Completeness,
        Self::Coverage,
        Self::Backlog,
        Self::Clearing,
        Self::ProviderBalance,
        Self::Rejections,
        Self::Guards,
        Self::Silence,
    ];

    /// The word in JSON, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Balance => "balance",
            Self::Transactions => "transactions",
            Self::Continuity => "continuity",
            Self::Completeness => "completeness",
            Self::Coverage => "coverage",
            Self::Backlog => "backlog",
            Self::Clearing => "clearing",
            Self::ProviderBalance => "provider-balance",
            Self::Rejections => "rejections",
            Self::Guards => "guards",
            Self::Silence => "silence",
        }
    }

    /// Whether its findings mean that the books are imbalanced.
    pub const fn decides_balance(self) -> bool {
        matches!(self, Self::Balance | Self::Transactions)
    }

    /// Whether its findings mean that history is not what it should be: then nothing more is sealed, and every run reads
    /// everything, until they are resolved or a person has acknowledged them.
    pub const fn is_of_history(self) -> bool {
        matches!(self, Self::Balance | Self::Transactions | Self::Continuity | Self::Coverage)
    }

    /// The name of the alert that its findings raise, and of its runbook.
    pub const fn alert(self) -> &'static str {
        match self {
            Self::Balance | Self::Transactions => "LedgerImbalance",
            Self::Continuity => "LedgerHistoryChanged",
            Self::Completeness => "WebhookDeliveriesMissing",
            Self::Coverage => "LedgerCoverageBroken",
            Self::Backlog => "EventsAwaitDecision",
            Self::Clearing => "ClearingOverdue",
            Self::ProviderBalance => "ProviderBalanceDiffers",
            Self::Rejections => "HighWebhookRejectRate",
            Self::Guards => "LedgerGuardMissing",
            Self::Silence => "WebhookSourceSilent",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

words! {
    /// How urgent a finding is. The words are PagerDuty's.
    Severity {
        /// For the record; closes by itself or by acknowledgement.
        Info = "info",
        /// Within the day.
        Warning = "warning",
        /// Now, in working hours.
        Error = "error",
        /// Now.
        Critical = "critical",
    }
}

impl Severity {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// How many findings of several results are listed in full.
const LISTED_MAX: usize = 200;

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

    /// All of these as one, each finding once; the first `LISTED_MAX` in full.
    pub fn all(results: impl IntoIterator<Item = Self>) -> Self {
        let mut all: Vec<Finding> = Vec::new();
        let mut left_out = 0_u64;
        for result in results {
            if let Self::Failed(findings) = result {
                left_out = left_out.saturating_add(findings.left_out);
                for finding in findings.listed {
                    if all.iter().any(|known| known.key == finding.key) {
                        continue;
                    }
                    if all.len() < LISTED_MAX {
                        all.push(finding);
                    } else {
                        left_out = left_out.saturating_add(1);
                    }
                }
            }
        }
        Self::of(all, left_out)
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
    /// What it is about: the same in every run and for every auditor, as long as it is the same fault.
    pub key: FindingKey,
    /// How urgent it is.
    pub severity: Severity,
    /// What is wrong; facts, never empty.
    pub faults: Vec<Fault>,
    /// Whose money; absent where it is about none.
    pub livemode: Option<Livemode>,
    /// In which currency; absent where none can be named.
    pub currency: Option<CurrencyCode>,
    /// Debits minus credits, minor units; of `mixed-livemode` alone, what stands in the wrong mode.
    pub difference_minor: i128,
    /// What is at stake or was moved though everything balances, minor units.
    pub amount_minor: Option<i128>,
    /// How many of them.
    pub count: Option<u64>,
    /// Since when.
    pub since: Option<Instant>,
    /// In which checkpoint's range.
    pub checkpoint: Option<Height>,
    /// In which transaction.
    pub transaction: Option<TransactionRef>,
    /// On which account, when one leg stands out.
    pub account: Option<AccountName>,
    /// The number of that leg.
    pub leg: Option<i32>,
    /// Whose webhooks.
    pub source: Option<SourceName>,
    /// Why they were parked or refused.
    pub reason: Option<Slug>,
    /// Which message of which ingress.
    pub delivery: Option<DeliveryRef>,
    /// The event that it is about, or that the transaction was booked for.
    pub event_id: Option<EventId>,
    /// The trace of its processing.
    pub trace_id: Option<TraceId>,
    /// Which money of which provider.
    pub money: Option<MoneyRef>,
    /// What else is to be said, in words.
    pub subject: Option<String>,
    /// What probably happened; a guess for a person.
    pub probable_cause: ProbableCause,
    /// What to do about it, where that is one thing.
    pub cure: Option<&'static str>,
}

impl Finding {
    /// About nothing yet but a fault and its key; the check goes before the key.
    pub(crate) fn new(
        check: Check,
        fault: Fault,
        probable_cause: ProbableCause,
        key: impl fmt::Display,
    ) -> Self {
        Self {
            check,
            key: FindingKey::new(format!("{check}/{key}")),
            severity: Severity::Critical,
            faults: vec![fault],
            livemode: None,
            currency: None,
            difference_minor: 0,
            amount_minor: None,
            count: None,
            since: None,
            checkpoint: None,
            transaction: None,
            account: None,
            leg: None,
            source: None,
            reason: None,
            delivery: None,
            event_id: None,
            trace_id: None,
            money: None,
            subject: None,
            probable_cause,
            cure: fault.cure(),
        }
    }
}

/// A transaction, for people and for tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransactionRef {
    /// Its number.
    pub id: TransactionId,
    /// What it books; absent when its own row is gone.
    pub movement_key: Option<MovementKey>,
}

/// A message of an ingress; without a number, the ingress as a whole or one of its windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryRef {
    /// The start of the ingress.
    pub instance: InstanceName,
    /// Its number within the instance.
    pub sequence: Option<i64>,
    /// The window in which it was listed.
    pub window: Option<i64>,
}
