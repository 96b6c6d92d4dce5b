//! What a run says: verdicts, checks, findings, and the snapshot that they are about.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    Check, CheckResult, CurrencyCode, Finding, Height, Instant, Livemode, Snapshot, TotalRow, TransactionRef,
};

/// Raised when a field of the JSON changes its meaning; fields may be added without.
pub const REPORT_SCHEMA: u32 = 2;

/// How much a run reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// What no sealed range covers.
    Incremental,
    /// Everything.
    Full,
}

impl Kind {
    /// The word in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incremental => "incremental",
            Self::Full => "full",
        }
    }
}

/// Whether books balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Debits equal credits, and every transaction is whole.
    Balanced,
    /// They do not, or one is not.
    Imbalanced,
}

impl Verdict {
    /// The word in the database, in JSON and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Balanced => "balanced",
            Self::Imbalanced => "imbalanced",
        }
    }
}

/// When and what a run read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// How much it read.
    pub kind: Kind,
    /// The one snapshot that every check read.
    pub snapshot: Snapshot,
    /// The checkpoint that it stands on: rows that are sealed up to there were not read again. Absent: everything was read.
    pub floor: Option<Height>,
    /// When it began.
    pub started_at: Instant,
    /// When the last check had ended.
    pub finished_at: Instant,
}

/// The verdict on the money of one livemode and currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BookVerdict {
    /// Real money or not.
    pub livemode: Livemode,
    /// The currency.
    pub currency: CurrencyCode,
    /// Balanced or not.
    pub verdict: Verdict,
    /// Sum of the debits, minor units.
    pub debits_minor: i128,
    /// Sum of the credits, minor units.
    pub credits_minor: i128,
    /// Debits minus credits; zero in imbalanced books means that errors cancel out.
    pub difference_minor: i128,
}

/// What became of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckSummary {
    /// Which.
    pub check: Check,
    /// Whether nothing was found.
    pub passed: bool,
    /// How many findings, listed or not.
    pub findings: u64,
    /// How many of them are not listed.
    pub left_out: u64,
}

/// Everything that a run found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `REPORT_SCHEMA`.
    pub schema: u32,
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// On all books together.
    pub verdict: Verdict,
    /// On each livemode and currency, in that order.
    pub verdicts: Vec<BookVerdict>,
    /// Each check, in the order in which they ran.
    pub checks: Vec<CheckSummary>,
    /// Their findings, in the same order.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Concludes from the totals and from every check's result.
    pub fn new(run: Run, totals: &[TotalRow], results: Vec<(Check, CheckResult)>) -> Self {
        let checks: Vec<_> = results.iter().map(|(check, result)| summary(*check, result)).collect();
        let findings: Vec<_> = results.into_iter().flat_map(|(_, result)| listed(result)).collect();
        let imbalanced = checks.iter().any(|check| !check.passed && check.check.decides_balance());
        Self {
            schema: REPORT_SCHEMA,
            run,
            verdict: if imbalanced { Verdict::Imbalanced } else { Verdict::Balanced },
            verdicts: verdicts(totals, &findings),
            checks,
            findings,
        }
    }

    /// The verdict on all money of a livemode; books without entries balance.
    pub fn verdict_of(&self, livemode: Livemode) -> Verdict {
        let decides =
            |finding: &&Finding| finding.livemode == Some(livemode) && finding.check.decides_balance();
        // What was left out of the list may be of any book.
        let unlisted = self.checks.iter().any(|check| check.left_out > 0 && check.check.decides_balance());
        verdict_if(unlisted || self.findings.iter().any(|finding| decides(&finding)))
    }

    /// The transactions that findings name in a book, those of no nameable currency included.
    pub fn transactions_in<'r>(&'r self, book: &'r BookVerdict) -> impl Iterator<Item = &'r TransactionRef> {
        self.findings
            .iter()
            .filter(|finding| concerns(finding, book.livemode, &book.currency))
            .filter_map(|finding| finding.transaction.as_ref())
    }

    /// How many findings there are, listed or not.
    pub fn findings_total(&self) -> u64 {
        self.checks.iter().map(|check| check.findings).sum()
    }
}

fn summary(check: Check, result: &CheckResult) -> CheckSummary {
    match result {
        CheckResult::Passed => CheckSummary { check, passed: true, findings: 0, left_out: 0 },
        CheckResult::Failed(found) => {
            let listed = u64::try_from(found.listed.len()).unwrap_or(u64::MAX);
            let findings = listed.saturating_add(found.left_out);
            CheckSummary { check, passed: false, findings, left_out: found.left_out }
        }
    }
}

fn listed(result: CheckResult) -> Vec<Finding> {
    match result {
        CheckResult::Passed => Vec::new(),
        CheckResult::Failed(findings) => findings.listed,
    }
}

fn verdicts(totals: &[TotalRow], findings: &[Finding]) -> Vec<BookVerdict> {
    let mut books = BTreeMap::new();
    for finding in findings {
        let decides = finding.check.decides_balance();
        if let (true, Some(livemode), Some(currency)) = (decides, finding.livemode, &finding.currency) {
            books.insert((livemode, currency.clone()), (0, 0));
        }
    }
    for total in totals {
        books.insert((total.livemode, total.currency.clone()), (total.debits_minor, total.credits_minor));
    }
    let verdict = |((livemode, currency), (debits_minor, credits_minor)): (_, (i128, i128))| BookVerdict {
        verdict: verdict_if(findings.iter().any(|finding| concerns(finding, livemode, &currency))),
        livemode,
        currency,
        debits_minor,
        credits_minor,
        difference_minor: debits_minor.saturating_sub(credits_minor),
    };
    books.into_iter().map(verdict).collect()
}

/// Whether a finding makes the book of this livemode and currency imbalanced.
fn concerns(finding: &Finding, livemode: Livemode, currency: &CurrencyCode) -> bool {
    let same_currency = finding.currency.as_ref().is_none_or(|found| found == currency);
    finding.check.decides_balance() && finding.livemode == Some(livemode) && same_currency
}

const fn verdict_if(imbalanced: bool) -> Verdict {
    if imbalanced { Verdict::Imbalanced } else { Verdict::Balanced }
}

#[cfg(test)]
mod tests;
