//! Stripe's exponents, where they differ from the books'.
//!
//! <https://docs.stripe.com/currencies#special-cases>: ISK and UGX are zero-decimal but sent with two decimals; MGA is
//! sent without.

use money::{Amount, AmountError, Currency};

/// An amount as Stripe states it, in the exponent of the books.
pub(super) fn amount(units: i64, currency: Currency) -> Result<Amount, AmountError> {
    let exponent = match currency.code() {
        "ISK" | "UGX" => 2,
        "MGA" => 0,
        _ => currency.exponent(),
    };
    Amount::from_exponent(units, exponent, currency)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_cases_convert_exactly_or_not_at_all() {
        for (code, units, minor) in [
            ("USD", 1099, Ok(1099)),
            ("JPY", 500, Ok(500)),
            ("KWD", 5124, Ok(5124)),
            ("ISK", 50_000, Ok(500)),
            ("UGX", 50_001, Err(AmountError::Inexact)),
            ("MGA", 3, Ok(300)),
        ] {
            let currency = Currency::parse(code).unwrap();
            assert_eq!(amount(units, currency).map(Amount::minor), minor, "{code}");
        }
    }
}
