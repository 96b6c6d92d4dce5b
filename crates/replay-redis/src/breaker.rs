//! The circuit breaker: after some failures in a row Redis is left alone for a while, and then one caller tries.

use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts failures. Time is an argument: any monotonic clock will do.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures_max: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration },
    Probing,
}

/// The leave to make one call. Its outcome must be reported; a probe that is dropped makes room for the next one.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Breaker {
    pub(crate) fn new(failures_max: u32, pause: Duration) -> Self {
        Self { failures_max, pause, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    /// Leave to call, or `None` while the circuit is open.
    pub(crate) fn admit(&self, now: Duration) -> Option<Permit<'_>> {
        let mut state = self.state();
        match *state {
            State::Closed { .. } => Some(Permit { breaker: self, probe: false }),
            State::Open { until } if now >= until => {
                *state = State::Probing;
                Some(Permit { breaker: self, probe: true })
            }
            State::Open { .. } | State::Probing => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under this lock can leave a state half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// The call was answered. True when this closes the circuit.
    pub(crate) fn succeeded(mut self) -> bool {
        let mut state = self.breaker.state();
        // While the circuit is open only the probe's word counts: another answer may be older than the failures.
        if matches!(*state, State::Closed { .. }) || self.probe {
            *state = State::Closed { failures: 0 };
        }
        core::mem::take(&mut self.probe)
    }

    /// The call failed. True when this opens the circuit.
    pub(crate) fn failed(mut self, now: Duration) -> bool {
        let mut state = self.breaker.state();
        let open = State::Open { until: now.saturating_add(self.breaker.pause) };
        if core::mem::take(&mut self.probe) {
            *state = open;
        } else if let State::Closed { failures } = &mut *state {
            *failures = failures.saturating_add(1);
            if *failures >= self.breaker.failures_max {
                *state = open;
                return true;
            }
        }
        false
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.probe {
            *self.breaker.state() = State::Open { until: Duration::ZERO };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn opened_at(now: Duration) -> Breaker {
        let breaker = Breaker::new(3, PAUSE);
        let opened: Vec<bool> = (0..3).map(|_| breaker.admit(now).unwrap().failed(now)).collect();
        assert_eq!(opened, [false, false, true]);
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_not_before() {
        let breaker = Breaker::new(3, PAUSE);
        for _ in 0..10 {
            assert!(!breaker.admit(at(0)).unwrap().failed(at(0)));
            assert!(!breaker.admit(at(0)).unwrap().failed(at(0)));
            assert!(!breaker.admit(at(0)).unwrap().succeeded());
        }
        assert!(opened_at(at(0)).admit(at(999)).is_none());
    }

    #[test]
    fn after_the_pause_one_caller_probes_and_its_success_closes() {
        let breaker = opened_at(at(5));
        let probe = breaker.admit(at(1005)).unwrap();
        assert!(breaker.admit(at(1005)).is_none());
        assert!(probe.succeeded());
        assert!(!breaker.admit(at(1005)).unwrap().failed(at(1005)));
    }

    #[test]
    fn a_failed_probe_opens_for_another_pause() {
        let breaker = opened_at(at(0));
        assert!(!breaker.admit(at(1000)).unwrap().failed(at(1500)));
        assert!(breaker.admit(at(2499)).is_none());
        assert!(breaker.admit(at(2500)).is_some());
    }

    #[test]
    fn a_probe_that_is_dropped_makes_room_for_the_next() {
        let breaker = opened_at(at(0));
        drop(breaker.admit(at(1000)).unwrap());
        let probe = breaker.admit(at(1000)).unwrap();
        assert!(breaker.admit(at(1000)).is_none());
        assert!(probe.succeeded());
    }

    #[test]
    fn what_was_under_way_when_it_opened_neither_closes_it_nor_prolongs_the_pause() {
        let breaker = Breaker::new(1, PAUSE);
        let (slow_success, slow_failure) = (breaker.admit(at(0)).unwrap(), breaker.admit(at(0)).unwrap());
        assert!(breaker.admit(at(0)).unwrap().failed(at(0)));
        assert!(!slow_success.succeeded());
        assert!(breaker.admit(at(500)).is_none());
        assert!(!slow_failure.failed(at(900)));
        assert!(breaker.admit(at(1000)).is_some());
    }
}
