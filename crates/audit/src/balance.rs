//! The check `balance`.

use crate::{Check, CheckResult, Fault, Finding, ProbableCause, TotalRow};

/// Fails for every livemode and currency whose debits are not its credits.
pub fn check_balance(totals: &[TotalRow]) -> CheckResult {
    let differing = totals.iter().filter(|total| total.difference_minor() != 0);
    CheckResult::of(differing.map(finding).collect(), 0)
}

fn finding(total: &TotalRow) -> Finding {
    let key = format!("{}/{}", total.livemode, total.currency);
    Finding {
        livemode: Some(total.livemode),
        currency: Some(total.currency.clone()),
        difference_minor: total.difference_minor(),
        ..Finding::new(Check::Balance, Fault::TotalsDiffer, ProbableCause::SeeTransactions, key)
    }
}

impl TotalRow {
    /// Debits minus credits, minor units.
    pub fn difference_minor(&self) -> i128 {
        self.debits_minor.saturating_sub(self.credits_minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CurrencyCode, Livemode};

    fn total(livemode: Livemode, currency: &str, debits_minor: i128, credits_minor: i128) -> TotalRow {
        TotalRow { livemode, currency: CurrencyCode::new(currency), debits_minor, credits_minor }
    }

    #[test]
    fn empty_books_balance() {
        assert_eq!(check_balance(&[]), CheckResult::Passed);
    }

    #[test]
    fn a_surplus_in_one_currency_never_covers_a_lack_in_another() {
        let totals = [
            total(Livemode::Live, "EUR", 10_100, 10_000),
            total(Livemode::Live, "USD", 10_000, 10_100),
            total(Livemode::Test, "USD", 10_100, 10_100),
        ];
        let result = check_balance(&totals);
        let found: Vec<_> = result
            .findings()
            .iter()
            .map(|f| (f.livemode.unwrap(), f.currency.as_ref().unwrap().as_str(), f.difference_minor))
            .collect();
        assert_eq!(found, [(Livemode::Live, "EUR", 100), (Livemode::Live, "USD", -100)]);
    }

    #[test]
    fn a_surplus_of_test_money_never_covers_a_lack_of_real_money() {
        let totals = [total(Livemode::Live, "USD", 0, 5), total(Livemode::Test, "USD", 5, 0)];
        assert_eq!(check_balance(&totals).findings().len(), 2);
    }

    #[test]
    fn sums_beyond_64_bits_are_exact() {
        let beyond = i128::from(i64::MAX) * 3;
        let result = check_balance(&[total(Livemode::Live, "USD", beyond + 1, beyond)]);
        assert_eq!(result.findings()[0].difference_minor, 1);
    }
}
