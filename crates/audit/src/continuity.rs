//! The check `continuity`: what was sealed is what it was, and nothing of it is gone.

mod range;
#[cfg(test)]
mod tests;

use crate::{
    Check, CheckResult, Checkpoint, Digest, Fault, Finding, HeaderRow, Height, Instant, LegRow, Limits,
    ProbableCause, RangeFacts, Severity, Totals, TransactionId,
};

/// What is known of history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContinuityRows {
    /// The sealed ranges that were read again.
    pub ranges: Vec<RangeRow>,
    /// The links of the chain that were read, by height, without gaps in what was asked for.
    pub chain: Vec<LinkRow>,
    /// The head that was published outside, and what the chain has at its height.
    pub published: Option<PublishedRow>,
    /// The numbers of this run's snapshot.
    pub horizon: HorizonRow,
}

/// A sealed range, read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRow {
    /// As it was sealed.
    pub checkpoint: Checkpoint,
    /// The totals of the checkpoint before; nothing if it begins at the beginning.
    pub before: Totals,
    /// What is there now.
    pub found: RangeFacts,
    /// Entries whose present version is younger than their transaction: what somebody edited. Empty if there are many.
    pub rewritten: Vec<RewrittenRow>,
}

/// An entry that was edited after it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewrittenRow {
    /// Its transaction.
    pub transaction: TransactionId,
    /// What that says about itself.
    pub header: Option<HeaderRow>,
    /// As it is now.
    pub leg: LegRow,
}

/// A checkpoint as a link of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// Its number.
    pub height: Height,
    /// Its range.
    pub lo: i64,
    /// The end of its range.
    pub hi: i64,
    /// Its digest.
    pub digest: Digest,
    /// What it says that the one before has.
    pub previous_digest: Digest,
    /// Whether it begins history anew.
    pub adopted: bool,
}

/// The last head in the file outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedRow {
    /// As published.
    pub head: Head,
    /// What the chain has at that height.
    pub found: Option<Digest>,
    /// How high the chain is.
    pub height: Height,
}

/// The last checkpoint of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub height: Height,
    /// Its digest.
    pub digest: Digest,
}

/// Transaction numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HorizonRow {
    /// The end of what is sealed; `None` before the first checkpoint.
    pub sealed: Option<i64>,
    /// The oldest transaction under way when the snapshot was taken: everything below it can be sealed.
    pub xmin: i64,
    /// When the oldest row was recorded that is not below it, and how long ago that is, seconds.
    pub oldest_above: Option<(Instant, i64)>,
}

/// Fails for every sealed range that is not what it was, for a chain that is broken, shorter or another than the head
/// outside, for numbers that have started again, and for a horizon that does not move.
pub fn check_continuity(rows: &ContinuityRows, limits: &Limits) -> CheckResult {
    let mut findings: Vec<Finding> = rows.ranges.iter().flat_map(range::findings).collect();
    findings.extend(broken_links(&rows.chain));
    findings.extend(rows.published.as_ref().and_then(against_published));
    findings.extend(of_horizon(&rows.horizon, limits));
    CheckResult::of(findings, 0)
}

fn broken_links(chain: &[LinkRow]) -> Vec<Finding> {
    let pairs = chain.iter().zip(chain.iter().skip(1));
    let broken = pairs.filter(|(one, next)| !follows(one, next)).map(|(one, next)| {
        let subject = format!("checkpoint {} does not follow {}", next.height, one.height);
        link_finding(next.height, subject)
    });
    let first = chain
        .first()
        .filter(|first| first.height.0 == 1 && (first.lo != 0 || first.previous_digest != Digest::NONE));
    let first =
        first.map(|first| link_finding(first.height, "the first checkpoint follows something".to_owned()));
    first.into_iter().chain(broken).collect()
}

fn follows(one: &LinkRow, next: &LinkRow) -> bool {
    let begins = if next.adopted { next.lo == 0 } else { next.lo == one.hi };
    next.height.0 == one.height.0.saturating_add(1) && begins && next.previous_digest == one.digest
}

fn link_finding(height: Height, subject: String) -> Finding {
    Finding {
        checkpoint: Some(height),
        subject: Some(subject),
        ..Finding::new(
            Check::Continuity,
            Fault::ChainBroken,
            ProbableCause::RowsDeleted,
            format_args!("chain/{height}"),
        )
    }
}

fn against_published(row: &PublishedRow) -> Option<Finding> {
    let fault = match row.found {
        Some(digest) if digest == row.head.digest => return None,
        Some(_) => Fault::ChainDiffers,
        None => Fault::ChainShorter,
    };
    let subject = format!(
        "published {} {}; the chain ends at {}{}",
        row.head.height,
        row.head.digest,
        row.height,
        row.found.map(|digest| format!(" and has {digest} there")).unwrap_or_default()
    );
    Some(Finding {
        checkpoint: Some(row.head.height),
        subject: Some(subject),
        ..Finding::new(Check::Continuity, fault, ProbableCause::BackupRestored, "head")
    })
}

fn of_horizon(row: &HorizonRow, limits: &Limits) -> Option<Finding> {
    let sealed = row.sealed.unwrap_or_default();
    if row.xmin < sealed {
        let subject = format!("transaction {} is under way, everything below {sealed} is sealed", row.xmin);
        return Some(Finding {
            subject: Some(subject),
            ..Finding::new(
                Check::Continuity,
                Fault::ForeignHistory,
                ProbableCause::BackupRestored,
                "foreign-history",
            )
        });
    }
    let (since, age_s) = row.oldest_above.as_ref()?;
    (*age_s >= limits.horizon_stuck_s).then(|| Finding {
        severity: Severity::Warning,
        since: Some(since.clone()),
        subject: Some(format!("backend_xid {}", row.xmin)),
        ..Finding::new(Check::Continuity, Fault::HorizonStuck, ProbableCause::TransactionForgotten, "horizon")
    })
}
