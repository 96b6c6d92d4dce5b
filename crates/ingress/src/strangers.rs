//! Strangers pay, the provider never does: callers that fail and have not lately shown a genuine delivery share few places.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ports::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Problem;
use crate::caller::Caller;
use crate::remembered::Remembered;

/// How long a verified delivery frees its caller from every limit.
const VERIFIED_FOR: Duration = Duration::from_hours(24);

/// How long a failure is remembered.
const FAILED_FOR: Duration = Duration::from_hours(1);

/// How many callers are remembered of either kind; the one that was noted first goes first.
const CALLERS_MAX: usize = 65_536;

/// How many requests of limited callers are read and verified at a time.
const PLACES: usize = 32;

/// How long a limited caller waits for a place. A forgery takes microseconds once its body is there, so that a genuine first
/// delivery behind a thousand of them gets its turn; only slow bodies keep places busy for longer.
const PLACE_PATIENCE: Duration = Duration::from_millis(500);

/// How many requests may wait for a place at a time.
const WAITING_MAX: usize = 2_048;

/// The longest body of a limited caller.
const LIMITED_BODY_MAX_BYTES: usize = 64 * 1024;

/// How long the body of a limited caller may take: it keeps a place busy.
const LIMITED_BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// What callers have shown. Pure: time is an argument.
#[derive(Debug)]
struct Repute {
    verified: Remembered<Caller>,
    failed: Remembered<Caller>,
}

impl Repute {
    const fn new(callers_max: usize) -> Self {
        Self {
            verified: Remembered::new(VERIFIED_FOR, callers_max),
            failed: Remembered::new(FAILED_FOR, callers_max),
        }
    }

    fn verified(&mut self, caller: Caller, now: Duration) {
        self.verified.note(caller, now);
        self.failed.forget(&caller);
    }

    fn failed(&mut self, caller: Caller, now: Duration) {
        self.failed.note(caller, now);
    }

    fn is_limited(&self, caller: Caller, now: Duration) -> bool {
        self.failed.holds(&caller, now) && !self.verified.holds(&caller, now)
    }
}

/// The limiter.
#[derive(Debug)]
pub(crate) struct Strangers {
    handle: Handle,
    repute: Mutex<Repute>,
    places: Arc<Semaphore>,
    waiting: Semaphore,
}

/// A request that may be read and verified. A limited one holds its place until this is dropped.
#[derive(Debug)]
pub struct Entry {
    caller: Option<Caller>,
    place: Option<OwnedSemaphorePermit>,
}

impl Entry {
    /// The longest body of this request, where the service takes `bytes_max` of anybody.
    pub(crate) fn body_max_bytes(&self, bytes_max: usize) -> usize {
        if self.place.is_some() { bytes_max.min(LIMITED_BODY_MAX_BYTES) } else { bytes_max }
    }

    /// How long the body of this request may take, where anybody's may take `timeout`.
    pub(crate) fn body_timeout(&self, timeout: Duration) -> Duration {
        if self.place.is_some() { timeout.min(LIMITED_BODY_TIMEOUT) } else { timeout }
    }
}

impl Strangers {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            repute: Mutex::new(Repute::new(CALLERS_MAX)),
            places: Arc::new(Semaphore::new(PLACES)),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }

    /// Lets a request in; a limited caller's waits for a place. Nobody is limited who cannot be told from others.
    pub(crate) async fn enter(&self, caller: Option<Caller>) -> Result<Entry, Problem> {
        let now = self.handle.monotonic();
        if !caller.is_some_and(|caller| self.repute().is_limited(caller, now)) {
            return Ok(Entry { caller, place: None });
        }
        let Ok(_waiting) = self.waiting.try_acquire() else { return Err(Problem::TooManyFailures) };
        let place = Arc::clone(&self.places).acquire_owned();
        match self.handle.within(PLACE_PATIENCE, place).await {
            Some(Ok(place)) => Ok(Entry { caller, place: Some(place) }),
            Some(Err(_)) | None => Err(Problem::TooManyFailures),
        }
    }

    /// Notes that the delivery was genuine.
    pub(crate) fn verified(&self, entry: &Entry) {
        if let Some(caller) = entry.caller {
            self.repute().verified(caller, self.handle.monotonic());
        }
    }

    /// Notes that it was not, or never became complete.
    pub(crate) fn failed(&self, entry: &Entry) {
        if let Some(caller) = entry.caller {
            self.repute().failed(caller, self.handle.monotonic());
        }
    }

    fn repute(&self) -> MutexGuard<'_, Repute> {
        self.repute.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use testkit::simulation::Simulation;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn caller(n: u32) -> Caller {
        Caller::at(core::net::Ipv4Addr::from_bits(0x0909_0000 | n).into())
    }

    #[test]
    fn a_caller_that_fails_is_limited_for_an_hour_and_a_new_one_is_not() {
        let mut repute = Repute::new(10);
        repute.failed(caller(1), SECOND);
        assert!(repute.is_limited(caller(1), FAILED_FOR));
        assert!(!repute.is_limited(caller(1), FAILED_FOR + SECOND));
        assert!(!repute.is_limited(caller(2), SECOND));
    }

    #[test]
    fn a_verified_delivery_frees_its_caller_for_a_day_whatever_fails_besides() {
        let mut repute = Repute::new(10);
        repute.failed(caller(1), Duration::ZERO);
        repute.verified(caller(1), SECOND);
        for hour in 1..=24 {
            repute.failed(caller(1), Duration::from_hours(hour));
            assert!(!repute.is_limited(caller(1), Duration::from_hours(hour)));
        }
        assert!(repute.is_limited(caller(1), VERIFIED_FOR + SECOND));
    }

    #[test]
    fn a_flood_of_addresses_fills_no_memory_and_drives_out_no_verified_one() {
        let mut repute = Repute::new(100);
        repute.verified(caller(0), Duration::ZERO);
        for n in 0..10_000 {
            repute.failed(caller(n), SECOND);
        }
        assert!((repute.failed.len(), repute.verified.len()) <= (100, 100));
        assert!(repute.is_limited(caller(9_999), SECOND));
        assert!(!repute.is_limited(caller(0), SECOND));
    }

    #[test]
    fn limited_callers_share_few_places_and_small_bodies_and_nobody_else_waits() {
        let simulation = Simulation::new(1);
        let strangers = Strangers::new(simulation.handle());
        simulation.run(async {
            let first = strangers.enter(Some(caller(1))).await.unwrap();
            assert_eq!(first.body_max_bytes(1 << 20), 1 << 20);
            strangers.failed(&first);
            let mut inside = Vec::new();
            for _ in 0..PLACES {
                inside.push(strangers.enter(Some(caller(1))).await.unwrap());
            }
            assert!(inside.iter().all(|entry| entry.body_max_bytes(1 << 20) == 65_536));
            assert_eq!(strangers.enter(Some(caller(1))).await.unwrap_err(), Problem::TooManyFailures);
            assert_eq!(strangers.handle.monotonic(), PLACE_PATIENCE);
            for free in [Some(caller(2)), None] {
                strangers.enter(free).await.unwrap();
            }
            inside.pop();
            strangers.enter(Some(caller(1))).await.unwrap();
            let genuine = strangers.enter(Some(caller(1))).await.unwrap();
            strangers.verified(&genuine);
            assert_eq!(strangers.enter(Some(caller(1))).await.unwrap().body_max_bytes(1 << 20), 1 << 20);
        });
    }
}
