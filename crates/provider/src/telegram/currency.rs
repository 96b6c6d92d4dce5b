//! Telegram's exponents, where they differ from the books'.
//!
//! <https://core.telegram.org/bots/payments/currencies.json>, `exp`: 0 or 3 where this table says so, else 2. A
//! currency that Telegram does not list has an exponent only if 2 is beyond doubt: no amount is ever a guess.

use money::{Amount, Currency};

/// An amount as Telegram states it, in the exponent of the books; `None` if it does not convert exactly.
pub(super) fn amount(units: i64, currency: Currency) -> Option<Amount> {
    Amount::from_exponent(units, exponent(currency)?, currency).ok()
}

fn exponent(currency: Currency) -> Option<u8> {
    match currency.code() {
        "CLP" | "ISK" | "JPY" | "KRW" | "PYG" | "UGX" | "VND" | "XTR" => Some(0),
        "BHD" | "IQD" => Some(3),
        // Not listed; Telegram's own clients once had them without decimals.
        "CVE" | "MGA" => None,
        _ => (currency.exponent() == 2).then_some(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_amount_is_exact_or_none() {
        for (code, units, text) in [
            ("USD", 1099, Some("10.99 USD")),
            ("EUR", 100, Some("1.00 EUR")),
            ("IRR", 500, Some("5.00 IRR")),
            ("IDR", 1_406_555, Some("14065.55 IDR")),
            ("HUF", 27_844, Some("278.44 HUF")),
            ("BHD", 1234, Some("1.234 BHD")),
            ("IQD", 1234, Some("1.234 IQD")),
            ("CLP", 666, Some("666 CLP")),
            ("ISK", 119, Some("119 ISK")),
            ("JPY", 109, Some("109 JPY")),
            ("KRW", 1119, Some("1119 KRW")),
            ("PYG", 6013, Some("6013 PYG")),
            ("UGX", 3657, Some("3657 UGX")),
            ("VND", 23_084, Some("23084 VND")),
            ("XTR", 250, Some("250 XTR")),
            ("KWD", 1000, None),
            ("XOF", 100, None),
            ("CLF", 100, None),
            ("MGA", 100, None),
        ] {
            let read = amount(units, Currency::parse(code).unwrap()).map(|amount| amount.to_string());
            assert_eq!(read.as_deref(), text, "{code}");
        }
    }
}
