//! A bounded memory of what was seen lately. Pure: time is an argument.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

/// Keys and when each was last noted.
#[derive(Debug)]
pub(crate) struct Remembered<K> {
    span: Duration,
    keys_max: usize,
    last: BTreeMap<K, Duration>,
    by_time: BTreeSet<(Duration, K)>,
}

impl<K: Ord + Clone> Remembered<K> {
    /// Remembers at most `keys_max` keys, each for `span`; the one that was noted first goes first.
    pub(crate) const fn new(span: Duration, keys_max: usize) -> Self {
        Self { span, keys_max, last: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Notes a key at the monotonic instant `now`.
    pub(crate) fn note(&mut self, key: K, now: Duration) {
        self.forget(&key);
        self.last.insert(key.clone(), now);
        self.by_time.insert((now, key));
        while self.last.len() > self.keys_max
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.last.remove(&oldest);
        }
    }

    /// Forgets a key.
    pub(crate) fn forget(&mut self, key: &K) {
        if let Some((key, at)) = self.last.remove_entry(key) {
            self.by_time.remove(&(at, key));
        }
    }

    /// Whether a key is remembered at `now`.
    pub(crate) fn holds(&self, key: &K, now: Duration) -> bool {
        self.last.get(key).is_some_and(|at| now.saturating_sub(*at) < self.span)
    }
}

#[cfg(test)]
impl<K> Remembered<K> {
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.last.len(), self.by_time.len());
        self.last.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_from_its_last_note_on_and_the_oldest_goes_first() {
        let second = Duration::from_secs(1);
        let mut remembered = Remembered::new(2 * second, 2);
        remembered.note(1, Duration::ZERO);
        remembered.note(1, second);
        assert!(remembered.holds(&1, 2 * second));
        assert!(!remembered.holds(&1, 3 * second));
        remembered.note(2, second);
        remembered.note(3, second);
        assert_eq!((remembered.len(), remembered.holds(&1, second)), (2, false));
        remembered.forget(&2);
        assert_eq!((remembered.len(), remembered.holds(&2, second)), (1, false));
    }
}
