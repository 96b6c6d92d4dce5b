//! What this process has confirmed and refused and not yet told: the contents of the next control total. Pure.

use std::collections::{BTreeMap, VecDeque};

use ledger::{ProblemSlug, Source, UnixMillis};
use wire::{ControlTotal, InstanceId, Listed, RefusalCount};

use crate::Problem;

/// A total lists so many at most: with the listing before it and the longest ids, 12 MB, below what brokers take.
pub(crate) const LISTED_MAX: usize = 20_000;

/// Beyond so many, refusals count for the last minute that they were counted in: a long outage must not fill the memory.
const COUNTS_MAX: usize = 4_096;

const MINUTE_MS: i64 = 60_000;

/// The window that is open.
#[derive(Debug)]
pub(crate) struct Tally {
    instance: InstanceId,
    /// The number of the last window that was closed.
    window: u64,
    /// How many were listed until it was closed.
    told: u64,
    open: VecDeque<Listed>,
    previous: Vec<Listed>,
    refusals: BTreeMap<(Source, &'static str, UnixMillis), u64>,
}

/// The beginning of the minute of an instant.
const fn minute(of: UnixMillis) -> UnixMillis {
    UnixMillis(of.0.saturating_sub(of.0.rem_euclid(MINUTE_MS)))
}

impl Tally {
    pub(crate) fn new(instance: InstanceId) -> Self {
        Self {
            instance,
            window: 0,
            told: 0,
            open: VecDeque::new(),
            previous: Vec::new(),
            refusals: BTreeMap::new(),
        }
    }

    /// Notes a message that the broker has confirmed.
    pub(crate) fn confirmed(&mut self, listed: Listed) {
        self.open.push_back(listed);
    }

    /// Notes a refusal that is told as a number.
    pub(crate) fn refused(&mut self, source: &Source, problem: Problem, now: UnixMillis) {
        let (slug, minute) = (problem.slug(), minute(now));
        let mut key = (source.clone(), slug, minute);
        if self.refusals.len() >= COUNTS_MAX && !self.refusals.contains_key(&key) {
            let of_problem =
                (source.clone(), slug, UnixMillis(i64::MIN))..=(source.clone(), slug, UnixMillis(i64::MAX));
            if let Some((last, _)) = self.refusals.range(of_problem).next_back() {
                key = last.clone();
            }
        }
        let count = self.refusals.entry(key).or_default();
        *count = count.saturating_add(1);
    }

    /// Whether one total cannot list more than has been confirmed.
    pub(crate) fn is_full(&self) -> bool {
        self.open.len() >= LISTED_MAX
    }

    /// Whether there is anything to tell.
    pub(crate) fn has_news(&self, now: UnixMillis) -> bool {
        !self.open.is_empty() || self.refusals.keys().any(|(_, _, of)| *of < minute(now))
    }

    /// Closes the window, with the refusals of minutes that have ended.
    pub(crate) fn close(&mut self, now: UnixMillis) -> ControlTotal {
        let ended = minute(now);
        self.total(now, |of| of < ended)
    }

    /// Closes a window of an instance that takes nothing any more, with all refusals: the last one, if it lists the rest.
    pub(crate) fn end(&mut self, now: UnixMillis) -> ControlTotal {
        let total = self.total(now, |_| true);
        ControlTotal { last: self.open.is_empty(), ..total }
    }

    fn total(&mut self, now: UnixMillis, tell: impl Fn(UnixMillis) -> bool) -> ControlTotal {
        let listed: Vec<Listed> = self.open.drain(..self.open.len().min(LISTED_MAX)).collect();
        self.window = self.window.saturating_add(1);
        self.told = self.told.saturating_add(u64::try_from(listed.len()).unwrap_or(u64::MAX));
        let refusals = self.refusals.extract_if(.., |(_, _, minute), _| tell(*minute));
        let refusals = refusals.map(|((source, slug, minute), count)| RefusalCount {
            source,
            reason: reason(slug),
            minute,
            count,
        });
        ControlTotal {
            instance: self.instance,
            window: self.window,
            closed_at: now,
            confirmed: self.told,
            previous: core::mem::replace(&mut self.previous, listed.clone()),
            listed,
            last: false,
            refusals: refusals.collect(),
        }
    }
}

#[expect(clippy::expect_used, reason = "a test reads every one")]
fn reason(slug: &'static str) -> ProblemSlug {
    ProblemSlug::parse(slug).expect("a slug of ours")
}

#[cfg(test)]
mod tests {
    use ledger::EventId;
    use wire::Sequence;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_030_000);

    fn tally() -> Tally {
        Tally::new(InstanceId::from_bytes([7; 16]))
    }

    fn source() -> Source {
        Source::parse("stripe").unwrap()
    }

    fn listed(n: u64) -> Listed {
        Listed {
            sequence: Sequence(n),
            source: source(),
            event_id: EventId::parse(&format!("evt_{n}")).unwrap(),
        }
    }

    #[test]
    fn every_slug_can_be_told() {
        for problem in Problem::ALL {
            assert_eq!(reason(problem.slug()).as_str(), problem.slug());
        }
    }

    #[test]
    fn each_total_repeats_the_listing_before_it_and_counts_on() {
        let mut tally = tally();
        tally.confirmed(listed(1));
        tally.confirmed(listed(2));
        let first = tally.close(NOW);
        assert_eq!((first.window, first.confirmed, first.last), (1, 2, false));
        assert_eq!((first.listed.as_slice(), first.previous.len()), ([listed(1), listed(2)].as_slice(), 0));
        tally.confirmed(listed(3));
        let second = tally.close(NOW);
        assert_eq!((second.window, second.confirmed), (2, 3));
        assert_eq!((second.listed, second.previous), (vec![listed(3)], first.listed));
        let last = tally.end(NOW);
        assert_eq!((last.window, last.confirmed, last.last), (3, 3, true));
        assert_eq!((last.listed, last.previous), (vec![], vec![listed(3)]));
    }

    #[test]
    fn a_listing_is_bounded_and_what_is_beyond_it_is_told_next() {
        let mut tally = tally();
        for n in 0..=20_000 {
            assert_eq!(tally.is_full(), n == 20_000);
            tally.confirmed(listed(n));
        }
        let first = tally.end(NOW);
        assert_eq!((first.listed.len(), first.last), (20_000, false));
        let last = tally.end(NOW);
        assert_eq!((last.listed, last.confirmed, last.last), (vec![listed(20_000)], 20_001, true));
    }

    #[test]
    fn refusals_are_told_once_their_minute_has_ended_or_when_the_instance_ends() {
        let mut tally = tally();
        for _ in 0..3 {
            tally.refused(&source(), Problem::SignatureMismatch, NOW);
        }
        assert!(!tally.has_news(NOW));
        assert_eq!(tally.close(NOW).refusals, vec![]);
        let later = NOW.plus_ms(60_000);
        tally.refused(&source(), Problem::SignatureMismatch, later);
        assert!(tally.has_news(later));
        let count = |minute_ms, count| RefusalCount {
            source: source(),
            reason: ProblemSlug::parse("signature-mismatch").unwrap(),
            minute: UnixMillis(minute_ms),
            count,
        };
        assert_eq!(tally.close(later).refusals, [count(minute(NOW).0, 3)]);
        assert!(!tally.has_news(later));
        assert_eq!(tally.end(later).refusals, [count(minute(later).0, 1)]);
        assert!(!tally.has_news(later.plus_ms(120_000)));
    }

    #[test]
    fn counts_of_a_long_outage_are_bounded_and_none_is_lost() {
        let mut tally = tally();
        for n in 0..10_000 {
            tally.refused(&source(), Problem::NotDurable, NOW.plus_ms(n * 60_000));
        }
        tally.refused(&source(), Problem::Overloaded, NOW);
        let refusals = tally.end(NOW).refusals;
        assert_eq!(refusals.len(), COUNTS_MAX + 1);
        assert_eq!(refusals.iter().map(|refusal| refusal.count).sum::<u64>(), 10_001);
    }
}
