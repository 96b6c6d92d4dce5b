//! The check `clearing`: what was announced, and the provider's balance never showed.

use crate::{
    AccountName, Check, CheckResult, CurrencyCode, EventId, Fault, Finding, Instant, Limits, Livemode,
    ProbableCause, Severity, SourceName, TraceId,
};

/// Whose money: a provider's account, and within it maybe one money object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MoneyRef {
    /// The provider.
    pub provider: String,
    /// In whose book.
    pub provider_account: String,
    /// The charge, refund, payout, …; absent where it is about all of the book.
    pub object_id: Option<String>,
}

/// What stands in clearing under one money object, in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceRow {
    /// Which.
    pub money: MoneyRef,
    /// Real money or not.
    pub livemode: Livemode,
    /// In which currency.
    pub currency: CurrencyCode,
    /// What events announced, less what they took back, minor units; positive is owed to us.
    pub announced_minor: i128,
    /// What lines of the provider's balance settled of it: the other sign.
    pub settled_minor: i128,
    /// Whether lines of another currency settle it.
    pub settled_elsewhere: bool,
    /// The account on which it stands.
    pub account: AccountName,
    /// Whose webhook announced it.
    pub source: SourceName,
    /// In which event.
    pub event_id: Option<EventId>,
    /// The trace of its booking.
    pub trace_id: Option<TraceId>,
    /// When it was booked.
    pub since: Instant,
    /// How long ago that is, seconds.
    pub age_s: i64,
}

impl ReferenceRow {
    /// What is still to come, with the sign of what was announced; nothing once as much was settled, or more.
    ///
    /// More is settled than was announced where a capture was partial: the rest is returned under an id of its own. What was
    /// settled in another currency cannot be compared: it is settled.
    fn outstanding_minor(&self) -> i128 {
        let rest = self.announced_minor.saturating_add(self.settled_minor);
        let of_announced = rest.signum() == self.announced_minor.signum();
        if of_announced && !self.settled_elsewhere { rest } else { 0 }
    }
}

/// Fails for every reference that was neither settled nor returned within the limit. `left_out`: how many more there are.
pub fn check_clearing(rows: &[ReferenceRow], left_out: u64, limits: &Limits) -> CheckResult {
    let overdue = rows.iter().filter(|row| row.age_s >= limits.clearing_due_s);
    let open = overdue.filter(|row| row.outstanding_minor() != 0);
    CheckResult::of(open.map(finding).collect(), left_out)
}

fn finding(row: &ReferenceRow) -> Finding {
    let MoneyRef { provider, provider_account, object_id } = &row.money;
    let object = object_id.as_deref().unwrap_or("-");
    let mode = if row.livemode.is_live() { "live" } else { "test" };
    let key = format!("{provider}/{provider_account}/{mode}/{object}/{}", row.currency);
    let days = row.age_s.checked_div(86_400).unwrap_or_default();
    Finding {
        severity: Severity::Warning,
        livemode: Some(row.livemode),
        currency: Some(row.currency.clone()),
        amount_minor: Some(row.outstanding_minor()),
        since: Some(row.since.clone()),
        account: Some(row.account.clone()),
        source: Some(row.source.clone()),
        event_id: row.event_id.clone(),
        trace_id: row.trace_id.clone(),
        money: Some(row.money.clone()),
        subject: Some(format!("{object}, for {days} days")),
        ..Finding::new(Check::Clearing, Fault::NotSettled, ProbableCause::SettlementMissing, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: i64 = 86_400;

    fn row(announced_minor: i128, settled_minor: i128) -> ReferenceRow {
        ReferenceRow {
            money: MoneyRef {
                provider: "stripe".to_owned(),
                provider_account: "acct_dev".to_owned(),
                object_id: Some("ch_1".to_owned()),
            },
            livemode: Livemode::Live,
            currency: CurrencyCode::new("USD"),
            announced_minor,
            settled_minor,
            settled_elsewhere: false,
            account: AccountName::new("assets:stripe:clearing"),
            source: SourceName::new("stripe"),
            event_id: Some(EventId::new("evt_1")),
            trace_id: None,
            since: Instant::new("2026-11-01T07:00:00Z"),
            age_s: 14 * DAY_S,
        }
    }

    fn outstanding(row: ReferenceRow) -> Option<i128> {
        let result = check_clearing(&[row], 0, &Limits::default());
        result.findings().first().map(|finding| finding.amount_minor.unwrap())
    }

    #[test]
    fn what_was_announced_is_due_until_as_much_was_settled_or_returned() {
        assert_eq!(outstanding(row(1000, 0)), Some(1000));
        assert_eq!(outstanding(row(-300, 0)), Some(-300), "a refund");
        assert_eq!(outstanding(row(1000, -900)), Some(100));
        assert_eq!(outstanding(row(1000, -1000)), None);
        assert_eq!(outstanding(row(0, 0)), None, "returned");
        assert_eq!(outstanding(ReferenceRow { age_s: 14 * DAY_S - 1, ..row(1000, 0) }), None);
    }

    #[test]
    fn partial_captures_and_other_currencies_are_no_finding_for_ever() {
        assert_eq!(outstanding(row(600, -1000)), None, "the rest comes back under an id of its own");
        assert_eq!(outstanding(ReferenceRow { settled_elsewhere: true, ..row(1000, 0) }), None);
    }

    #[test]
    fn the_finding_names_reference_amount_event_and_age() {
        let result = check_clearing(&[row(1000, 0)], 0, &Limits::default());
        let finding = &result.findings()[0];
        assert_eq!(finding.key.as_str(), "clearing/stripe/acct_dev/live/ch_1/USD");
        let text = finding.to_string();
        for part in ["ch_1, for 14 days", "amount 10.00 USD", "assets:stripe:clearing", "evt_1"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
