//! When a full run is due: a cron expression in a time zone.

use core::str::FromStr as _;

use croner::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use money::UnixMillis;

/// Unless the configuration says otherwise: at two in the morning.
pub(crate) const FULL_AT: &str = "0 2 * * *";

/// Why there is no such schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSchedule {
    /// It is no cron expression, or one that no time matches.
    #[error("{0:?} is no cron expression of five fields")]
    Expression(String),
    /// There is no such time zone.
    #[error("{0:?} is no time zone, as in \"Europe/Berlin\"")]
    Zone(String),
}

/// The times that a cron expression names. Where clocks go back, an hour that comes twice counts once.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Option<Cron>,
    zone: TimeZone,
}

/// At two in the morning, UTC.
impl Default for Schedule {
    fn default() -> Self {
        Self { cron: Cron::from_str(FULL_AT).ok(), zone: TimeZone::UTC }
    }
}

impl Schedule {
    /// `at` in the zone of that name.
    pub fn parse(at: &str, zone: &str) -> Result<Self, NoSchedule> {
        let no_expression = || NoSchedule::Expression(at.to_owned());
        if at.split_whitespace().count() != 5 {
            return Err(no_expression());
        }
        let cron = Cron::from_str(at).map_err(|_| no_expression())?;
        let zone = TimeZone::get(zone).map_err(|_| NoSchedule::Zone(zone.to_owned()))?;
        let schedule = Self { cron: Some(cron), zone };
        if schedule.next_after(UnixMillis(0)).is_none() {
            return Err(no_expression());
        }
        Ok(schedule)
    }

    /// The next time after `now`.
    pub fn next_after(&self, now: UnixMillis) -> Option<UnixMillis> {
        let now = Timestamp::from_millisecond(now.0).ok()?.to_zoned(self.zone.clone());
        let next = self.cron.as_ref()?.find_next_occurrence(&now, false).ok()?;
        Some(UnixMillis(next.timestamp().as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(at: &str, zone: &str, now: &str) -> String {
        let now: Timestamp = now.parse().unwrap();
        let next = Schedule::parse(at, zone).unwrap().next_after(UnixMillis(now.as_millisecond())).unwrap();
        Timestamp::from_millisecond(next.0).unwrap().to_string()
    }

    #[test]
    fn the_next_time_is_later_than_now() {
        assert_eq!(next(FULL_AT, "UTC", "2026-11-22T01:59:59Z"), "2026-11-22T02:00:00Z");
        assert_eq!(next(FULL_AT, "UTC", "2026-11-22T02:00:00Z"), "2026-11-23T02:00:00Z");
        assert_eq!(next("*/15 * * * *", "UTC", "2026-11-22T02:00:01Z"), "2026-11-22T02:15:00Z");
    }

    #[test]
    fn two_in_the_morning_is_another_instant_in_summer_and_comes_every_day() {
        assert_eq!(next(FULL_AT, "Europe/Berlin", "2026-07-01T00:00:01Z"), "2026-07-02T00:00:00Z");
        assert_eq!(next(FULL_AT, "Europe/Berlin", "2026-12-01T00:00:01Z"), "2026-12-01T01:00:00Z");
        // The night in which two o'clock does not come, and the one in which it comes twice.
        let spring = next(FULL_AT, "Europe/Berlin", "2026-03-28T12:00:00Z");
        assert!(spring.starts_with("2026-03-29T01:00"), "{spring}");
        let autumn = next(FULL_AT, "Europe/Berlin", "2026-10-24T12:00:00Z");
        assert!(autumn.starts_with("2026-10-25T00:00"), "{autumn}");
        assert_eq!(next(FULL_AT, "Europe/Berlin", &autumn), "2026-10-26T01:00:00Z");
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        for at in ["", "61 2 * * *", "0 2 * *", "0 0 2 * * *", "0 2 31 2 *"] {
            assert_eq!(Schedule::parse(at, "UTC").unwrap_err(), NoSchedule::Expression(at.to_owned()));
        }
        let zone = Schedule::parse(FULL_AT, "Mars/Olympus").unwrap_err();
        assert_eq!(zone, NoSchedule::Zone("Mars/Olympus".to_owned()));
    }
}
