//! The check `completeness`: what was confirmed to an ingress, against what reached the books.

use crate::{
    Check, CheckResult, DeliveryRef, EventId, Fault, Finding, InstanceName, Instant, Limits, ProbableCause,
    Severity, SourceName,
};

/// What the control totals say that the deliveries do not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompletenessRows {
    /// Listed messages without a delivery row, whose event did not come another way either.
    pub missing: Vec<MissingRow>,
    /// Windows that no total tells of.
    pub windows: Vec<WindowRow>,
    /// How many more messages and windows are missing.
    pub left_out: u64,
    /// The last total of each ingress that has not ended.
    pub open_instances: Vec<InstanceRow>,
}

/// A message that a control total lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRow {
    /// Who was told that it is safe.
    pub instance: InstanceName,
    /// Its number there.
    pub sequence: i64,
    /// The window in which it was listed.
    pub window: i64,
    /// Whose it was.
    pub source: SourceName,
    /// Its event's id; for a body that is no event, its SHA-256.
    pub event_id: EventId,
    /// When its window was closed.
    pub closed_at: Instant,
    /// How long the total has been in the books, seconds.
    pub recorded_age_s: i64,
}

/// A window that is not there, though the one after it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowRow {
    /// Whose.
    pub instance: InstanceName,
    /// Its number.
    pub window: i64,
    /// When the one after it was closed.
    pub next_closed_at: Instant,
    /// How long that has been in the books, seconds.
    pub recorded_age_s: i64,
}

/// An ingress whose last total is not its final one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRow {
    /// Which.
    pub instance: InstanceName,
    /// The number of its last total.
    pub window: i64,
    /// When that was closed.
    pub closed_at: Instant,
    /// How long it has been in the books, seconds.
    pub recorded_age_s: i64,
}

/// Fails for every listed message that is not there when it is due, for every window that is missing, and, mildly, for an
/// ingress that went silent.
pub fn check_completeness(rows: &CompletenessRows, limits: &Limits) -> CheckResult {
    let due = |age: i64| age >= limits.delivery_due_s;
    let silent = |age: i64| (limits.instance_silent_s..limits.instance_forgotten_s).contains(&age);
    let missing = rows.missing.iter().filter(|row| due(row.recorded_age_s)).map(missing);
    let windows = rows.windows.iter().filter(|row| due(row.recorded_age_s)).map(window);
    let instances = rows.open_instances.iter().filter(|row| silent(row.recorded_age_s)).map(instance);
    CheckResult::of(missing.chain(windows).chain(instances).collect(), rows.left_out)
}

fn missing(row: &MissingRow) -> Finding {
    let key = format!("{}:{}", row.instance, row.sequence);
    Finding {
        source: Some(row.source.clone()),
        event_id: Some(row.event_id.clone()),
        since: Some(row.closed_at.clone()),
        delivery: Some(DeliveryRef {
            instance: row.instance.clone(),
            sequence: Some(row.sequence),
            window: Some(row.window),
        }),
        ..Finding::new(Check::Completeness, Fault::DeliveryMissing, ProbableCause::MessagesLost, key)
    }
}

fn window(row: &WindowRow) -> Finding {
    let key = format!("{}/window/{}", row.instance, row.window);
    Finding {
        since: Some(row.next_closed_at.clone()),
        delivery: Some(DeliveryRef {
            instance: row.instance.clone(),
            sequence: None,
            window: Some(row.window),
        }),
        ..Finding::new(Check::Completeness, Fault::WindowMissing, ProbableCause::MessagesLost, key)
    }
}

fn instance(row: &InstanceRow) -> Finding {
    let key = format!("{}/silent", row.instance);
    Finding {
        severity: Severity::Info,
        since: Some(row.closed_at.clone()),
        delivery: Some(DeliveryRef {
            instance: row.instance.clone(),
            sequence: None,
            window: Some(row.window),
        }),
        ..Finding::new(Check::Completeness, Fault::InstanceSilent, ProbableCause::IngressKilled, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(recorded_age_s: i64) -> CompletenessRows {
        let (instance, at) = (InstanceName::new("ab12"), Instant::new("2026-11-22T07:00:00Z"));
        CompletenessRows {
            missing: vec![MissingRow {
                instance: instance.clone(),
                sequence: 7,
                window: 2,
                source: SourceName::new("stripe"),
                event_id: EventId::new("evt_7"),
                closed_at: at.clone(),
                recorded_age_s,
            }],
            windows: vec![WindowRow {
                instance: instance.clone(),
                window: 4,
                next_closed_at: at.clone(),
                recorded_age_s,
            }],
            left_out: 0,
            open_instances: vec![InstanceRow { instance, window: 5, closed_at: at, recorded_age_s }],
        }
    }

    #[test]
    fn what_is_not_due_yet_is_no_finding() {
        assert_eq!(check_completeness(&rows(35 * 60 - 1), &Limits::default()), CheckResult::Passed);
    }

    #[test]
    fn a_missing_delivery_is_named_by_event_source_and_number() {
        let result = check_completeness(&rows(35 * 60), &Limits::default());
        let [missing, window, silent] = result.findings() else { panic!("{result:?}") };
        assert_eq!(missing.key.as_str(), "completeness/ab12:7");
        assert_eq!(missing.event_id.as_ref().unwrap().as_str(), "evt_7");
        assert_eq!(missing.source.as_ref().unwrap().as_str(), "stripe");
        assert_eq!(
            (missing.severity, missing.delivery.as_ref().unwrap().sequence),
            (Severity::Critical, Some(7))
        );
        assert_eq!(
            (window.faults[0], window.key.as_str()),
            (Fault::WindowMissing, "completeness/ab12/window/4")
        );
        assert_eq!((silent.faults[0], silent.severity), (Fault::InstanceSilent, Severity::Info));
    }

    #[test]
    fn the_silence_of_an_ingress_closes_after_a_week() {
        let result = check_completeness(&rows(7 * 24 * 3600), &Limits::default());
        assert!(result.findings().iter().all(|finding| finding.faults != [Fault::InstanceSilent]));
    }
}
