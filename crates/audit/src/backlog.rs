//! The check `backlog`: what waits for a person.

use crate::{
    Check, CheckResult, CurrencyCode, EventId, Fault, Finding, Instant, Limits, Livemode, ProbableCause,
    Severity, Slug, SourceName,
};

/// What waits, and with it the money: all of one source, mode, reason and currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRow {
    /// Events that are parked, or messages that made no event.
    pub waiting: Waiting,
    /// Whose; absent where a message does not tell.
    pub source: Option<SourceName>,
    /// Real money or not.
    pub livemode: Option<Livemode>,
    /// Why.
    pub reason: Slug,
    /// The currency that the objects show; absent if they show none.
    pub currency: Option<CurrencyCode>,
    /// The sum of what they show, minor units.
    pub amount_minor: Option<i128>,
    /// How many.
    pub count: u64,
    /// The oldest one's event id, as an example.
    pub event_id: Option<EventId>,
    /// Since when the oldest one waits.
    pub since: Instant,
    /// How long that is, seconds.
    pub age_s: i64,
}

/// What kind of thing waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Parked events: released or dismissed by their id.
    Events,
    /// Messages that made no event: by instance and number.
    Evidence,
}

/// Fails for everything that has waited longer than the limit.
pub fn check_backlog(rows: &[WaitingRow], limits: &Limits) -> CheckResult {
    let overdue = rows.iter().filter(|row| row.age_s >= limits.backlog_due_s);
    CheckResult::of(overdue.map(finding).collect(), 0)
}

fn finding(row: &WaitingRow) -> Finding {
    let (fault, what) = match row.waiting {
        Waiting::Events => (Fault::EventsUndecided, "events"),
        Waiting::Evidence => (Fault::EvidenceUndecided, "evidence"),
    };
    let key = format!(
        "{what}/{}/{}/{}/{}",
        row.source.as_ref().map_or("-", SourceName::as_str),
        row.livemode.map_or("-", |livemode| if livemode.is_live() { "live" } else { "test" }),
        row.reason,
        row.currency.as_ref().map_or("-", CurrencyCode::as_str),
    );
    Finding {
        severity: Severity::Warning,
        livemode: row.livemode,
        currency: row.currency.clone(),
        amount_minor: row.amount_minor,
        count: Some(row.count),
        since: Some(row.since.clone()),
        source: row.source.clone(),
        reason: Some(row.reason.clone()),
        event_id: row.event_id.clone(),
        ..Finding::new(Check::Backlog, fault, ProbableCause::NobodyDecided, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(age_s: i64) -> WaitingRow {
        WaitingRow {
            waiting: Waiting::Events,
            source: Some(SourceName::new("stripe")),
            livemode: Some(Livemode::Live),
            reason: Slug::new("event-too-old"),
            currency: Some(CurrencyCode::new("USD")),
            amount_minor: Some(1099),
            count: 3,
            event_id: Some(EventId::new("evt_1")),
            since: Instant::new("2026-11-22T07:00:00Z"),
            age_s,
        }
    }

    #[test]
    fn a_quarter_of_an_hour_is_a_persons_time_to_decide() {
        assert_eq!(check_backlog(&[row(15 * 60 - 1)], &Limits::default()), CheckResult::Passed);
        let result = check_backlog(&[row(15 * 60)], &Limits::default());
        let finding = &result.findings()[0];
        assert_eq!(finding.key.as_str(), "backlog/events/stripe/live/event-too-old/USD");
        assert_eq!((finding.count, finding.amount_minor), (Some(3), Some(1099)));
        assert_eq!(finding.severity, Severity::Warning);
    }

    #[test]
    fn a_message_of_nobody_is_a_finding_too() {
        let row = WaitingRow {
            waiting: Waiting::Evidence,
            source: None,
            livemode: None,
            currency: None,
            ..row(9000)
        };
        let result = check_backlog(&[row], &Limits::default());
        assert_eq!(result.findings()[0].key.as_str(), "backlog/evidence/-/-/event-too-old/-");
    }
}
