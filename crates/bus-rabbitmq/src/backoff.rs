//! How long to wait before the next attempt.

use core::time::Duration;

use ports::Handle;

const FIRST: Duration = Duration::from_millis(100);
/// A connection that lasts longer than this was a success.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);

/// Doubles from 100 ms to 5 s; of each delay the second half is random, so that processes do not return in step.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// After a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// After a failure: the time to wait.
    pub(crate) fn next(&mut self, handle: &Handle) -> Duration {
        let delay = self.delay(u16::from_be_bytes(handle.random()));
        self.failures = self.failures.saturating_add(1);
        delay
    }

    fn delay(&self, random: u16) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(6)).min(LONGEST);
        let half = full / 2;
        half.saturating_add(half.saturating_mul(random.into()) / u32::from(u16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_five_seconds_and_its_second_half_is_random() {
        let range = |failures| {
            let backoff = Backoff { failures };
            (backoff.delay(0).as_millis(), backoff.delay(u16::MAX).as_millis())
        };
        assert_eq!(range(0), (50, 100));
        assert_eq!(range(3), (400, 800));
        assert_eq!(range(6), (2500, 5000));
        assert_eq!(range(1_000_000), (2500, 5000));
    }
}
