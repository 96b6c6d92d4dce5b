//! Amounts: whole minor units in one currency.

use core::fmt;

use crate::Currency;

/// A whole number of minor units in one currency. In the books positive is debit, negative is credit.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Amount {
    minor: i64,
    currency: Currency,
}

/// Why an amount cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// The result does not fit 64 bits.
    #[error("the amount overflows")]
    Overflow,
    /// Two currencies met.
    #[error("amounts of two currencies cannot be added")]
    CurrencyMismatch,
    /// The minor units of the provider are no whole number of minor units of the books.
    #[error("the amount does not convert exactly")]
    Inexact,
}

impl Amount {
    /// `minor` minor units of `currency`, in the exponent of the books.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing of `currency`.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// An amount that a provider states with `exponent` decimal digits, brought to the exponent of the books.
    /// `Inexact` where digits would be lost, `Overflow` where it does not fit.
    pub fn from_exponent(units: i64, exponent: u8, currency: Currency) -> Result<Self, AmountError> {
        let own = currency.exponent();
        let minor = if exponent > own {
            let divisor = power_of_ten(exponent.abs_diff(own))?;
            let remainder = units.checked_rem(divisor).ok_or(AmountError::Overflow)?;
            if remainder != 0 {
                return Err(AmountError::Inexact);
            }
            units.checked_div(divisor)
        } else {
            units.checked_mul(power_of_ten(own.abs_diff(exponent))?)
        };
        minor.map(|minor| Self { minor, currency }).ok_or(AmountError::Overflow)
    }

    /// Minor units, signed.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The sum, in the one currency of both.
    pub fn checked_add(self, other: Self) -> Result<Self, AmountError> {
        if self.currency != other.currency {
            return Err(AmountError::CurrencyMismatch);
        }
        let minor = self.minor.checked_add(other.minor).ok_or(AmountError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// The same amount on the other side.
    pub fn checked_neg(self) -> Result<Self, AmountError> {
        let minor = self.minor.checked_neg().ok_or(AmountError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// Whether this is nothing.
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// Whether this is less than nothing.
    pub const fn is_negative(self) -> bool {
        self.minor < 0
    }
}

fn power_of_ten(digits: u8) -> Result<i64, AmountError> {
    10_i64.checked_pow(u32::from(digits)).ok_or(AmountError::Overflow)
}

/// The amount for people: `-12.30 USD`, `500 JPY`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            Decimal { minor: i128::from(self.minor), exponent: self.currency.exponent() },
            self.currency
        )
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Minor units written with a decimal point, for sums wider than an `Amount`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    /// Minor units, signed.
    pub minor: i128,
    /// How many of the digits stand behind the point.
    pub exponent: u8,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = usize::from(self.exponent);
        let sign = if self.minor < 0 { "-" } else { "" };
        let width = exponent.saturating_add(1);
        let digits = format!("{:0>width$}", self.minor.unsigned_abs());
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(exponent));
        let point = if exponent == 0 { "" } else { "." };
        f.pad(&format!("{sign}{whole}{point}{fraction}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    #[test]
    fn an_amount_prints_with_the_exponent_of_its_currency() {
        for (minor, code, text) in [
            (1234, "USD", "12.34 USD"),
            (-5, "USD", "-0.05 USD"),
            (0, "USD", "0.00 USD"),
            (500, "JPY", "500 JPY"),
            (1, "KWD", "0.001 KWD"),
            (i64::MIN, "USD", "-92233720368547758.08 USD"),
        ] {
            assert_eq!(Amount::new(minor, currency(code)).to_string(), text);
        }
    }

    #[test]
    fn a_provider_amount_converts_exactly_or_not_at_all() {
        let isk = currency("ISK");
        assert_eq!(Amount::from_exponent(50_000, 2, isk), Ok(Amount::new(500, isk)));
        assert_eq!(Amount::from_exponent(50_001, 2, isk), Err(AmountError::Inexact));
        let mga = currency("MGA");
        assert_eq!(Amount::from_exponent(7, 0, mga), Ok(Amount::new(700, mga)));
        assert_eq!(Amount::from_exponent(i64::MAX, 0, mga), Err(AmountError::Overflow));
    }

    #[test]
    fn amounts_of_two_currencies_never_meet() {
        let sum = Amount::new(1, currency("USD")).checked_add(Amount::new(1, currency("EUR")));
        assert_eq!(sum, Err(AmountError::CurrencyMismatch));
    }

    proptest! {
        #[test]
        fn addition_is_exact_or_refused(a: i64, b: i64) {
            let usd = currency("USD");
            let sum = Amount::new(a, usd).checked_add(Amount::new(b, usd));
            match a.checked_add(b) {
                Some(minor) => prop_assert_eq!(sum, Ok(Amount::new(minor, usd))),
                None => prop_assert_eq!(sum, Err(AmountError::Overflow)),
            }
        }

        #[test]
        fn a_conversion_there_and_back_is_the_same_amount(units in -1_000_000_000_i64..1_000_000_000, exponent in 0_u8..5) {
            let usd = currency("USD");
            if let Ok(amount) = Amount::from_exponent(units, exponent, usd) {
                let scaled = i128::from(amount.minor()) * 10_i128.pow(u32::from(exponent));
                prop_assert_eq!(scaled, i128::from(units) * 100);
            }
        }
    }
}
