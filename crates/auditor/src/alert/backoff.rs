//! When to try again.

use core::time::Duration;

/// However long a receiver is away, it is tried this often: an alert that is late is better than none.
const LONGEST: Duration = Duration::from_mins(5);

/// What a receiver may ask for at most.
const ASKED_MAX: Duration = Duration::from_hours(1);

/// Doubles from `first` to five minutes with each failure in a row; the second half is random, so that auditors do not
/// return in step. What the receiver asked for is waited in any case.
pub(super) fn delay(first: Duration, failures: u32, asked: Option<Duration>, random: u16) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = first.saturating_mul(1 << doublings).min(LONGEST.max(first));
    let half = full / 2;
    let delay = half.saturating_add(half.saturating_mul(random.into()) / u32::from(u16::MAX));
    delay.max(asked.unwrap_or_default().min(ASKED_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_five_minutes_and_its_second_half_is_random() {
        let first = Duration::from_secs(5);
        let range = |failures| [0, u16::MAX].map(|random| delay(first, failures, None, random).as_millis());
        assert_eq!(range(1), [2_500, 5_000]);
        assert_eq!(range(3), [10_000, 20_000]);
        assert_eq!(range(7), [150_000, 300_000]);
        assert_eq!(range(u32::MAX), [150_000, 300_000]);
    }

    #[test]
    fn what_a_receiver_asks_for_is_waited_up_to_an_hour() {
        let first = Duration::from_secs(5);
        let asked = |seconds| delay(first, 1, Some(Duration::from_secs(seconds)), u16::MAX).as_secs();
        assert_eq!([asked(1), asked(42), asked(1_000_000)], [5, 42, 3_600]);
    }
}
