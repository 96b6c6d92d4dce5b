//! The check `rejections`: authentic deliveries that the ingress refused. A stranger's are none of it.

use crate::{Check, CheckResult, Fault, Finding, Limits, ProbableCause, Severity, SourceName};

/// Fewer than these in an hour are never far more than in other hours.
const ABOVE_MEAN_MIN: u64 = 5;

/// Hours of the week before.
const HOURS: u64 = 7 * 24;

/// How often sources were refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RejectionRows {
    /// By source.
    pub sources: Vec<RefusedSourceRow>,
    /// By source and event type, of those with enough refusals to be judged.
    pub types: Vec<RefusedTypeRow>,
}

/// What was refused of a source: each event once, and what had no id by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedSourceRow {
    /// Whose.
    pub source: SourceName,
    /// In the last hour.
    pub last_hour: u64,
    /// In the seven days before that.
    pub week_before: u64,
}

/// What was refused of an event type within a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedTypeRow {
    /// Whose.
    pub source: SourceName,
    /// The type.
    pub event_type: String,
    /// How many were refused.
    pub refused: u64,
    /// How many came.
    pub delivered: u64,
}

/// Fails for a source with more refusals in an hour than the limit, with far more than in other hours, or with nearly all
/// of one type refused.
pub fn check_rejections(rows: &RejectionRows, limits: &Limits) -> CheckResult {
    let per_hour = rows.sources.iter().filter(|row| row.last_hour > limits.refusals_per_hour).map(|row| {
        let subject = format!("{} within an hour; {} are allowed", row.last_hour, limits.refusals_per_hour);
        finding(&row.source, Fault::RefusalsPerHour, "hour", row.last_hour, subject)
    });
    let above = rows.sources.iter().filter(|row| far_above(row, limits)).map(|row| {
        let subject = format!("{} within an hour; {} in the week before", row.last_hour, row.week_before);
        finding(&row.source, Fault::RefusalsAboveMean, "mean", row.last_hour, subject)
    });
    let types = rows.types.iter().filter(|row| nearly_all(row, limits)).map(|row| {
        let subject = format!("{} of {} {} within a day", row.refused, row.delivered, row.event_type);
        let what = format!("type/{}", row.event_type);
        finding(&row.source, Fault::TypeRefused, &what, row.refused, subject)
    });
    CheckResult::of(per_hour.chain(above).chain(types).collect(), 0)
}

fn far_above(row: &RefusedSourceRow, limits: &Limits) -> bool {
    let hour_times_hours = row.last_hour.saturating_mul(HOURS);
    let allowed = row.week_before.saturating_mul(limits.refusals_factor);
    row.last_hour >= ABOVE_MEAN_MIN && row.week_before > 0 && hour_times_hours >= allowed
}

fn nearly_all(row: &RefusedTypeRow, limits: &Limits) -> bool {
    let refused = row.refused.saturating_mul(100);
    row.delivered >= limits.type_refused_of
        && refused >= row.delivered.saturating_mul(limits.type_refused_percent)
}

fn finding(source: &SourceName, fault: Fault, what: &str, count: u64, subject: String) -> Finding {
    Finding {
        severity: Severity::Warning,
        source: Some(source.clone()),
        count: Some(count),
        subject: Some(subject),
        ..Finding::new(
            Check::Rejections,
            fault,
            ProbableCause::SourceMisconfigured,
            format_args!("{source}/{what}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_source(last_hour: u64, week_before: u64) -> Vec<Fault> {
        let sources = vec![RefusedSourceRow { source: SourceName::new("stripe"), last_hour, week_before }];
        faults(&RejectionRows { sources, types: Vec::new() })
    }

    fn faults(rows: &RejectionRows) -> Vec<Fault> {
        check_rejections(rows, &Limits::default())
            .findings()
            .iter()
            .map(|finding| finding.faults[0])
            .collect()
    }

    #[test]
    fn more_than_five_in_an_hour_are_too_many() {
        assert_eq!(of_source(5, 0), []);
        assert_eq!(of_source(6, 0), [Fault::RefusalsPerHour]);
    }

    #[test]
    fn ten_times_the_mean_of_the_week_is_too_many() {
        assert_eq!(of_source(5, 84), [Fault::RefusalsAboveMean]);
        assert_eq!(of_source(5, 85), []);
        assert_eq!(of_source(4, 1), []);
    }

    #[test]
    fn four_fifths_of_one_type_are_too_many_if_there_are_twenty() {
        let of_type = |refused, delivered| {
            let (source, event_type) = (SourceName::new("stripe"), "charge.succeeded".to_owned());
            faults(&RejectionRows {
                sources: Vec::new(),
                types: vec![RefusedTypeRow { source, event_type, refused, delivered }],
            })
        };
        assert_eq!(of_type(16, 20), [Fault::TypeRefused]);
        assert_eq!(of_type(15, 20), []);
        assert_eq!(of_type(19, 19), []);
    }
}
