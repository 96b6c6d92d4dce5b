//! `countersign assert-balance`: what a provider says that it holds, for the auditor to compare the books with.

use core::fmt;

use anyhow::Context as _;
use clap::Args;
use handle::Handle;
use ledger::{Livemode, Source};
use ledger_postgres::{BalanceAsserted, BalanceStated, PostgresOperator, Settings};
use money::{Amount, Currency, UnixMillis};
use secrecy::ExposeSecret as _;

use crate::config;
use crate::ending::{Answer, Failure, complain};
use crate::output::print_either;
use crate::table::{decimal, instant, mode};
use crate::when;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Of which source
    #[arg(long, value_parser = source)]
    source: Source,
    /// In whose book; without it, in that of the source's own account
    #[arg(long)]
    account: Option<String>,
    /// Real money; without it, test money
    #[arg(long)]
    livemode: bool,
    /// In which currency: USD
    #[arg(long, value_parser = currency)]
    currency: Currency,
    /// How much in all, pending and available: 1234.56
    #[arg(long, allow_hyphen_values = true)]
    amount: String,
    /// When: 2026-09-30T12:00:00Z, or 2026-09-30 for the end of that day, UTC
    #[arg(long, value_name = "TIME", value_parser = when::until)]
    at: UnixMillis,
    /// Where the figure is from
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// For programs
    #[arg(long)]
    json: bool,
}

fn source(text: &str) -> Result<Source, String> {
    Source::parse(text).map_err(|error| error.to_string())
}

fn currency(text: &str) -> Result<Currency, String> {
    Currency::parse(text).map_err(|error| error.to_string())
}

/// What was put down.
struct Told<'s>(&'s BalanceStated);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BalanceStated { provider, provider_account, livemode, currency, amount_minor, at, .. } = self.0;
        let amount = decimal((*amount_minor).into(), currency);
        write!(f, "{provider} {provider_account} held {amount} {currency} ({} money) at ", mode(*livemode))?;
        writeln!(f, "{}; countersign verify compares the books with it", instant(*at))
    }
}

pub(crate) async fn run(arguments: &Arguments, handle: Handle) -> Result<Answer, Failure> {
    let Arguments { source, account, livemode, currency, amount, at, reason, json } = arguments;
    let amount =
        parse(amount, *currency).map_err(|why| Failure::Usage(format!("--amount {amount}: {why}")))?;
    if *at > handle.now() {
        return Err(Failure::Usage("--at: nobody knows what is to come".to_owned()));
    }
    let config::Database { url, tls } = config::operator()?;
    let settings = Settings { tls, ..Settings::new(url.expose_secret()) };
    let operator = PostgresOperator::connect(&settings, handle).await.context("connect to the books")?;
    let asserted = BalanceAsserted {
        source,
        account: account.as_deref(),
        livemode: Livemode::from_bool(*livemode),
        amount,
        at: *at,
        reason,
    };
    match operator.assert_balance(&asserted).await.context("put the balance down")? {
        Some(stated) => {
            print_either(*json, &stated, &Told(&stated))?;
            Ok(Answer::Yes)
        }
        None => {
            complain(&format!("the books know no source {source}"));
            Ok(Answer::No)
        }
    }
}

/// Digits with at most one point, exact in the currency's exponent: neither rounded nor guessed.
fn parse(text: &str, currency: Currency) -> Result<Amount, String> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let pointed = unsigned.contains('.');
    if whole.is_empty() || (pointed && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return Err("digits with at most one point are expected".to_owned());
    }
    let sign = if unsigned.len() < text.len() { "-" } else { "" };
    let too_wide = |_| "the amount overflows".to_owned();
    let units: i64 = format!("{sign}{whole}{fraction}").parse().map_err(too_wide)?;
    let exponent = u8::try_from(fraction.len()).map_err(|_| "too many digits".to_owned())?;
    Amount::from_exponent(units, exponent, currency).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_exact_in_its_currency_or_refused() {
        let minor =
            |text: &str, code: &str| parse(text, Currency::parse(code).unwrap()).map(Amount::minor).ok();
        for (text, code, expected) in [
            ("12.34", "USD", Some(1234)),
            ("-0.05", "USD", Some(-5)),
            ("12", "USD", Some(1200)),
            ("12.3", "USD", Some(1230)),
            ("12.340", "USD", Some(1234)),
            ("500", "JPY", Some(500)),
            ("1.234", "KWD", Some(1234)),
            ("12.345", "USD", None),
            ("0.5", "JPY", None),
            ("92233720368547758.08", "USD", None),
        ] {
            assert_eq!(minor(text, code), expected, "{text} {code}");
        }
        for text in ["", "-", ".", "1.", ".5", "1,5", "1e3", "+1", " 1", "--1", "1.2.3", "0x1"] {
            assert_eq!(minor(text, "USD"), None, "{text:?}");
        }
    }
}
