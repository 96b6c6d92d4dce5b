//! Currencies of the books, one exponent each.

use core::fmt;
use core::str::FromStr;

/// A currency of the books: an upper-case code with exactly one exponent.
///
/// Exponents are ISO 4217's (list one, published 2026-01-01); `XTR`, Telegram Stars, has 0. Providers whose own
/// exponent differs (Stripe's ISK, Adyen's IDR, ...) convert exactly in their `provider` module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency {
    code: &'static str,
    exponent: u8,
}

/// The text is not the code of a currency that the books know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a currency of the books")]
pub struct CurrencyUnknown;

impl Currency {
    /// The currency with this code, in either case.
    pub fn parse(code: &str) -> Result<Self, CurrencyUnknown> {
        TABLE
            .iter()
            .flat_map(|(exponent, codes)| codes.iter().map(move |code| (*code, *exponent)))
            .find(|(known, _)| known.eq_ignore_ascii_case(code))
            .map(|(code, exponent)| Self { code, exponent })
            .ok_or(CurrencyUnknown)
    }

    /// Every currency of the books, by exponent, then code.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE
            .iter()
            .flat_map(|(exponent, codes)| codes.iter().map(move |code| Self { code, exponent: *exponent }))
    }

    /// The upper-case code, three letters.
    pub const fn code(self) -> &'static str {
        self.code
    }

    /// How many decimal digits the minor unit stands for.
    pub const fn exponent(self) -> u8 {
        self.exponent
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl FromStr for Currency {
    type Err = CurrencyUnknown;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::parse(code)
    }
}

/// Exponent, codes. The most used exponent first: a lookup walks the table.
#[rustfmt::skip]
const TABLE: &[(u8, &[&str])] = &[
    (2, &[
        "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BMD", "BND",
        "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE", "CHF", "CHW", "CNY",
        "COP", "COU", "CRC", "CUP", "CVE", "CZK", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD",
        "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS",
        "INR", "IRR", "JMD", "KES", "KGS", "KHR", "KPW", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL",
        "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MXV", "MYR",
        "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "QAR",
        "RON", "RSD", "RUB", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "SSP",
        "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "USD",
        "USN", "UYU", "UZS", "VED", "VES", "WST", "XAD", "XCD", "XCG", "YER", "ZAR", "ZMW", "ZWG",
    ]),
    (0, &[
        "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV",
        "XAF", "XOF", "XPF", "XTR",
    ]),
    (3, &[
        "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND",
    ]),
    (4, &[
        "CLF", "UYW",
    ]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_those_of_iso_4217_and_stars_have_none() {
        for (code, exponent) in
            [("USD", 2), ("jpy", 0), ("KWD", 3), ("CLF", 4), ("ISK", 0), ("MGA", 2), ("XTR", 0)]
        {
            assert_eq!(Currency::parse(code).unwrap().exponent(), exponent, "{code}");
        }
    }

    #[test]
    fn a_code_that_is_no_currency_of_the_books_is_refused() {
        for code in ["", "US", "USDD", "XAU", "ZZZ", "U\u{0}D", "ＵＳＤ"] {
            assert_eq!(Currency::parse(code), Err(CurrencyUnknown), "{code}");
        }
    }

    #[test]
    fn every_code_stands_once() {
        let mut codes: Vec<_> = Currency::all().map(Currency::code).collect();
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
        assert!(codes.iter().all(|code| code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase())));
    }
}
