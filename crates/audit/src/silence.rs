//! The check `silence`: a source that delivers daily and has stopped.

use crate::{Check, CheckResult, Fault, Finding, Instant, Limits, ProbableCause, Severity, SourceName};

/// Delivering on each of this many days makes a source a daily one; silence that lasts as long is no news any more.
const DAYS: i64 = 7;

const DAY_S: i64 = 24 * 3600;

/// When a source last delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// Which.
    pub source: SourceName,
    /// The last hour in which it delivered.
    pub last_at: Instant,
    /// How long ago that is, seconds.
    pub quiet_s: i64,
    /// On how many of the seven days up to then it delivered.
    pub days: i64,
}

/// Fails for every source that delivered on each of seven days and then not within the limit.
pub fn check_silence(rows: &[SourceRow], limits: &Limits) -> CheckResult {
    let news = |row: &&SourceRow| (limits.source_quiet_s..DAYS * DAY_S).contains(&row.quiet_s);
    let silent = rows.iter().filter(|row| row.days >= DAYS).filter(news);
    CheckResult::of(silent.map(finding).collect(), 0)
}

fn finding(row: &SourceRow) -> Finding {
    Finding {
        severity: Severity::Warning,
        source: Some(row.source.clone()),
        since: Some(row.last_at.clone()),
        ..Finding::new(Check::Silence, Fault::SourceSilent, ProbableCause::SenderStopped, &row.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_silent(quiet_s: i64, days: i64) -> bool {
        let last_at = Instant::new("2026-11-22T07:00:00Z");
        let row = SourceRow { source: SourceName::new("stripe"), last_at, quiet_s, days };
        check_silence(&[row], &Limits::default()) != CheckResult::Passed
    }

    #[test]
    fn a_daily_source_may_be_quiet_for_a_day_and_after_a_week_it_is_gone() {
        assert!(!is_silent(DAY_S - 1, 7));
        assert!(is_silent(DAY_S, 7));
        assert!(is_silent(7 * DAY_S - 1, 7));
        assert!(!is_silent(7 * DAY_S, 7));
    }

    #[test]
    fn a_source_that_does_not_deliver_daily_may_be_quiet() {
        assert!(!is_silent(3 * DAY_S, 6));
    }
}
