//! The check `provider-balance`: what the provider says that it holds, against what the books say.

use crate::{
    AccountName, Check, CheckResult, CurrencyCode, Fault, Finding, Instant, Livemode, MoneyRef,
    ProbableCause, Severity,
};

/// The last figure of a provider for one of its books, and what the books say about that instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedRow {
    /// Whose.
    pub money: MoneyRef,
    /// Real money or not.
    pub livemode: Livemode,
    /// In which currency.
    pub currency: CurrencyCode,
    /// What the provider held, minor units.
    pub stated_minor: i128,
    /// What the account held in the books, minor units.
    pub booked_minor: i128,
    /// The account.
    pub account: AccountName,
    /// When.
    pub at: Instant,
}

/// Fails for every book whose balance differed from the provider's own figure at that figure's instant.
pub fn check_provider_balance(rows: &[StatedRow]) -> CheckResult {
    let differing = rows.iter().filter(|row| row.stated_minor != row.booked_minor);
    CheckResult::of(differing.map(finding).collect(), 0)
}

fn finding(row: &StatedRow) -> Finding {
    let MoneyRef { provider, provider_account, .. } = &row.money;
    let mode = if row.livemode.is_live() { "live" } else { "test" };
    Finding {
        severity: Severity::Error,
        livemode: Some(row.livemode),
        currency: Some(row.currency.clone()),
        difference_minor: row.booked_minor.saturating_sub(row.stated_minor),
        amount_minor: Some(row.booked_minor),
        since: Some(row.at.clone()),
        account: Some(row.account.clone()),
        money: Some(row.money.clone()),
        subject: Some(format!("{provider} {provider_account}")),
        ..Finding::new(
            Check::ProviderBalance,
            Fault::BalanceDiffers,
            ProbableCause::SettlementMissing,
            format!("{provider}/{provider_account}/{mode}/{}", row.currency),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(stated_minor: i128) -> StatedRow {
        StatedRow {
            money: MoneyRef {
                provider: "stripe".to_owned(),
                provider_account: "acct_dev".to_owned(),
                object_id: None,
            },
            livemode: Livemode::Live,
            currency: CurrencyCode::new("EUR"),
            stated_minor,
            booked_minor: 9_000,
            account: AccountName::new("assets:stripe:balance"),
            at: Instant::new("2026-11-22T07:00:00Z"),
        }
    }

    #[test]
    fn a_balance_is_what_the_provider_says_or_a_finding_of_the_difference() {
        assert_eq!(check_provider_balance(&[row(9_000)]), CheckResult::Passed);
        let result = check_provider_balance(&[row(9_500)]);
        let finding = &result.findings()[0];
        assert_eq!(finding.key.as_str(), "provider-balance/stripe/acct_dev/live/EUR");
        assert_eq!((finding.difference_minor, finding.amount_minor), (-500, Some(9_000)));
        assert!(finding.to_string().contains("difference -5.00 EUR live"), "{finding}");
    }
}
