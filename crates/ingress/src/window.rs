//! Values of the last minutes, for the gauges that speak of a sliding window.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// At most this many values are remembered; older ones go first.
const VALUES_MAX: usize = 100_000;

/// What was observed within the last `span`.
#[derive(Debug)]
pub(crate) struct Window<T> {
    span: Duration,
    values: Mutex<VecDeque<(Duration, T)>>,
}

impl<T: Copy> Window<T> {
    pub(crate) fn new(span: Duration) -> Self {
        Self { span, values: Mutex::default() }
    }

    /// Notes a value at the monotonic instant `now`.
    pub(crate) fn note(&self, now: Duration, value: T) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.push_back((now, value));
        let excess = values.len().saturating_sub(VALUES_MAX);
        values.drain(..excess);
    }

    /// The values that are not older than the window at `now`.
    pub(crate) fn values(&self, now: Duration) -> Vec<T> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let old = values.iter().take_while(|(at, _)| now.saturating_sub(*at) > self.span).count();
        values.drain(..old);
        values.iter().map(|(_, value)| *value).collect()
    }
}

/// The value below which 95 of 100 lie (nearest rank); `None` of nothing.
pub(crate) fn p95(values: Vec<i64>) -> Option<i64> {
    percentile(values, 95)
}

/// The value in the middle; `None` of nothing.
pub(crate) fn median(values: Vec<i64>) -> Option<i64> {
    percentile(values, 50)
}

fn percentile(mut values: Vec<i64>, percent: usize) -> Option<i64> {
    values.sort_unstable();
    let rank = values.len().saturating_mul(percent).div_ceil(100);
    values.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_leaves_the_window_when_its_time_is_over() {
        let window = Window::new(Duration::from_mins(5));
        window.note(Duration::from_secs(0), 1);
        window.note(Duration::from_secs(200), 2);
        assert_eq!(window.values(Duration::from_mins(5)), [1, 2]);
        assert_eq!(window.values(Duration::from_secs(301)), [2]);
        assert!(window.values(Duration::from_secs(501)).is_empty());
    }

    #[test]
    fn the_95th_percentile_is_a_value_that_was_seen() {
        assert_eq!(p95(vec![]), None);
        assert_eq!(p95(vec![7]), Some(7));
        assert_eq!(p95((1..=100).collect()), Some(95));
        assert_eq!(p95((1..=20).rev().collect()), Some(19));
        assert_eq!(median(vec![-500, -1, 0]), Some(-1), "one that was held back says nothing of the clocks");
    }
}
