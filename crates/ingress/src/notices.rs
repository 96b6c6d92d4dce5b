//! Which refusals the books have been told of by this process: the first of each singly, never the same one again.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::{EventKey, Reason, Source};

/// So many are remembered; the oldest go first. One that is forgotten is told again, which the books bear.
const REMEMBERED_MAX: usize = 10_000;

/// A refusal, as far as it is the same one: the very content, for the very reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Notice {
    pub(crate) subject: Subject,
    pub(crate) reason: Reason,
}

/// What is refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// An event, by the key of its content: another content under its id is another notice.
    Event(EventKey),
    /// A body that is no event, by its SHA-256.
    Body(Source, [u8; 32]),
}

/// The notices of this process.
#[derive(Debug, Default)]
pub(crate) struct Notices(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Until when each is remembered, by monotonic time.
    confirmed: BTreeMap<Notice, Duration>,
    order: VecDeque<Notice>,
    pending: BTreeSet<Notice>,
}

/// Whose turn it is to tell the books.
#[derive(Debug)]
pub(crate) enum Turn<'a> {
    /// The caller's.
    First(Telling<'a>),
    /// Another delivery's: it is doing so now, and what comes of it is not known yet.
    Another,
    /// Nobody's: they have been told.
    Told,
}

/// A notice that is being published. Dropped without a word, it was not confirmed.
#[derive(Debug)]
pub(crate) struct Telling<'a> {
    notices: &'a Notices,
    notice: Notice,
}

impl Notices {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose turn it is to publish this one, at the monotonic instant `now`.
    pub(crate) fn turn(&self, notice: Notice, now: Duration) -> Turn<'_> {
        let mut state = self.state();
        if state.confirmed.get(&notice).is_some_and(|until| now < *until) {
            return Turn::Told;
        }
        if state.pending.insert(notice.clone()) {
            Turn::First(Telling { notices: self, notice })
        } else {
            Turn::Another
        }
    }
}

impl Telling<'_> {
    /// It was confirmed: remembered until then.
    pub(crate) fn confirmed(self, until: Duration) {
        let mut state = self.notices.state();
        if state.confirmed.insert(self.notice.clone(), until).is_none() {
            state.order.push_back(self.notice.clone());
        }
        while state.order.len() > REMEMBERED_MAX {
            if let Some(oldest) = state.order.pop_front() {
                state.confirmed.remove(&oldest);
            }
        }
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.notices.state().pending.remove(&self.notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn notice(n: usize) -> Notice {
        let mut sha256 = [0; 32];
        sha256[..8].copy_from_slice(&n.to_be_bytes());
        let subject = Subject::Body(Source::parse("stripe").unwrap(), sha256);
        Notice { subject, reason: Reason::PayloadInvalid }
    }

    fn tell(notices: &Notices, n: usize, now: Duration) -> bool {
        match notices.turn(notice(n), now) {
            Turn::First(telling) => telling.confirmed(now + HOUR),
            Turn::Another | Turn::Told => return false,
        }
        true
    }

    #[test]
    fn what_was_confirmed_is_not_told_again_until_its_time_is_over() {
        let notices = Notices::default();
        assert!(tell(&notices, 1, Duration::ZERO));
        assert!(!tell(&notices, 1, Duration::from_mins(59)));
        assert!(tell(&notices, 1, HOUR));
        assert!(!tell(&notices, 1, HOUR));
    }

    #[test]
    fn of_two_at_once_one_tells_and_what_failed_is_free() {
        let notices = Notices::default();
        let Turn::First(telling) = notices.turn(notice(1), Duration::ZERO) else { panic!("the first") };
        assert!(matches!(notices.turn(notice(1), Duration::ZERO), Turn::Another));
        let other = Notice { reason: Reason::EventTooOld, ..notice(1) };
        assert!(matches!(notices.turn(other, Duration::ZERO), Turn::First(_)));
        drop(telling);
        assert!(tell(&notices, 1, Duration::ZERO));
    }

    #[test]
    fn ten_thousand_are_remembered_and_the_oldest_goes_first() {
        let notices = Notices::default();
        for n in 0..=REMEMBERED_MAX {
            assert!(tell(&notices, n, Duration::ZERO));
        }
        assert!(!tell(&notices, 1, Duration::ZERO));
        assert!(tell(&notices, 0, Duration::ZERO));
        assert_eq!(notices.state().confirmed.len(), REMEMBERED_MAX);
        assert!(notices.state().pending.is_empty());
    }
}
