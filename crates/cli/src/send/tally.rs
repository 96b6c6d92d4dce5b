//! What many deliveries were answered, and how fast.

use core::fmt::Write as _;
use core::time::Duration;
use std::collections::BTreeMap;

use super::delivery::Answered;

/// Times of answers, by what was answered.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<String, Vec<Duration>>);

impl Tally {
    pub(super) fn add(&mut self, answer: &Answered, took: Duration) {
        self.0.entry(answer.outcome()).or_default().push(took);
    }

    /// As a table, with the rate over the whole time.
    pub(super) fn summary(mut self, elapsed: Duration) -> String {
        let count: usize = self.0.values().map(Vec::len).sum();
        let per_second =
            u128::try_from(count).unwrap_or(u128::MAX).saturating_mul(1000) / elapsed.as_millis().max(1);
        let mut text = format!("{count} answers in {elapsed:.1?}, {per_second} a second\n");
        let mut line = |cells: [&str; 6]| {
            let [answer, count, half, most, nearly_all, slowest] = cells;
            let _infallible =
                writeln!(text, "{answer:<28} {count:>8} {half:>9} {most:>9} {nearly_all:>9} {slowest:>9}");
        };
        line(["answer", "count", "p50", "p95", "p99", "slowest"]);
        for (outcome, times) in &mut self.0 {
            times.sort_unstable();
            let [half, most, nearly_all, slowest] =
                [50, 95, 99, 100].map(|percent| format!("{:.1?}", percentile(times, percent)));
            line([outcome, &times.len().to_string(), &half, &most, &nearly_all, &slowest]);
        }
        text
    }
}

/// The least time within which so many percent of these were answered; they are sorted.
fn percentile(times: &[Duration], percent: usize) -> Duration {
    let rank = times.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
    times.get(rank).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        for (percent, ms) in [(50, 100), (95, 190), (99, 198), (100, 200)] {
            assert_eq!(percentile(&times, percent), Duration::from_millis(ms));
        }
        assert_eq!(percentile(&times[..1], 50), Duration::from_millis(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
