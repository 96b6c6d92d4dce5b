//! What is too long, too many, too much.

use core::ops::RangeInclusive;

/// The limits of the checks; the defaults are those of ARCHITECTURE.md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long after its control total was recorded a delivery must be there: longer than the broker may hold one back.
    pub delivery_due_s: i64,
    /// How long an ingress may say nothing.
    pub instance_silent_s: i64,
    /// After which time its silence is no news any more.
    pub instance_forgotten_s: i64,
    /// How long an event may wait for a decision.
    pub backlog_due_s: i64,
    /// How long what was announced may wait for its settlement.
    pub clearing_due_s: i64,
    /// How many authentic refusals of a source within an hour are still none.
    pub refusals_per_hour: u64,
    /// How many times as many as in an hour of the week before are too many.
    pub refusals_factor: u64,
    /// Which part of the deliveries of one event type, in percent, is too much.
    pub type_refused_percent: u64,
    /// How many deliveries of a type there must be in a day, for it to be judged.
    pub type_refused_of: u64,
    /// How long a source that delivers daily may be quiet.
    pub source_quiet_s: i64,
    /// How long a transaction may hold up the sealing.
    pub horizon_stuck_s: i64,
}

impl Limits {
    /// From a configuration: `number` is asked for each key, with its default and what it may be.
    pub fn read(mut number: impl FnMut(&'static str, u32, RangeInclusive<u32>) -> u32) -> Self {
        let mut minutes = |key, default| i64::from(number(key, default, 1..=10_080)).saturating_mul(60);
        let delivery_due_s = minutes("delivery_due_min", 35);
        let instance_silent_s = minutes("instance_silent_min", 35);
        let backlog_due_s = minutes("backlog_due_min", 15);
        let horizon_stuck_s = minutes("horizon_stuck_min", 60);
        Self {
            delivery_due_s,
            instance_silent_s,
            instance_forgotten_s: i64::from(number("instance_forgotten_d", 7, 1..=365))
                .saturating_mul(86_400),
            backlog_due_s,
            clearing_due_s: i64::from(number("clearing_due_d", 14, 1..=365)).saturating_mul(86_400),
            refusals_per_hour: number("refusals_per_hour", 5, 0..=1_000_000).into(),
            refusals_factor: number("refusals_factor", 10, 2..=10_000).into(),
            type_refused_percent: number("type_refused_percent", 80, 1..=100).into(),
            type_refused_of: number("type_refused_of", 20, 1..=1_000_000).into(),
            source_quiet_s: i64::from(number("source_quiet_h", 24, 1..=144)).saturating_mul(3_600),
            horizon_stuck_s,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::read(|_, default, _| default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_table() {
        let expected = Limits {
            delivery_due_s: 35 * 60,
            instance_silent_s: 35 * 60,
            instance_forgotten_s: 7 * 24 * 3600,
            backlog_due_s: 15 * 60,
            clearing_due_s: 14 * 24 * 3600,
            refusals_per_hour: 5,
            refusals_factor: 10,
            type_refused_percent: 80,
            type_refused_of: 20,
            source_quiet_s: 24 * 3600,
            horizon_stuck_s: 3600,
        };
        assert_eq!(Limits::default(), expected);
    }
}
