//! `countersign balances`: the trial balance.

use core::fmt;

use anyhow::Context as _;
use clap::Args;
use handle::Handle;
use ledger_postgres::{Balance, LastAudit};
use money::UnixMillis;
use serde::Serialize;

use crate::ending::{Answer, Failure};
use crate::events::reader;
use crate::output::print_either;
use crate::table::{self, Align, Table, decimal, mode};
use crate::when;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Of what happened up to then: 2026-09-30T12:00:00Z, or 2026-09-30 for the whole day, UTC
    #[arg(long, value_name = "TIME", value_parser = when::until)]
    at: Option<UnixMillis>,
    /// As the books knew it then
    #[arg(long, value_name = "TIME", value_parser = when::until)]
    known_at: Option<UnixMillis>,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct TrialBalance<'b> {
    books: Vec<Book<'b>>,
    /// What the auditor last said of the books; absent before its first run.
    last_audit: Option<LastAudit>,
}

/// Everything that balances within itself: one provider account, one mode, one currency.
#[derive(Debug, Serialize)]
struct Book<'b> {
    provider: &'b str,
    provider_account: &'b str,
    livemode: bool,
    currency: &'b str,
    debit_minor: i128,
    credit_minor: i128,
    accounts: Vec<Line<'b>>,
}

/// What stands on one account.
#[derive(Debug, Serialize)]
struct Line<'b> {
    account: &'b str,
    debit_minor: i128,
    credit_minor: i128,
    /// Debits minus credits.
    balance_minor: i128,
}

pub(crate) async fn run(arguments: &Arguments, handle: Handle) -> Result<Answer, Failure> {
    let reader = reader(handle).await?;
    // First the verdict: it is never newer than the balances.
    let last_audit = reader.last_audit().await.context("read the last verdict")?;
    let balances = reader.balances(arguments.at, arguments.known_at).await.context("read the balances")?;
    let trial = TrialBalance { books: books(&balances), last_audit };
    print_either(arguments.json, &trial, &trial)?;
    Ok(Answer::Yes)
}

fn books(balances: &[Balance]) -> Vec<Book<'_>> {
    let mut books: Vec<Book<'_>> = Vec::new();
    for balance in balances {
        let index = books.iter().position(|book| book.holds(balance)).unwrap_or_else(|| {
            books.push(Book::of(balance));
            books.len().saturating_sub(1)
        });
        if let Some(book) = books.get_mut(index) {
            book.add(balance);
        }
    }
    books
}

impl<'b> Book<'b> {
    fn of(balance: &'b Balance) -> Self {
        Self {
            provider: &balance.provider,
            provider_account: &balance.provider_account,
            livemode: balance.livemode,
            currency: &balance.currency,
            debit_minor: 0,
            credit_minor: 0,
            accounts: Vec::new(),
        }
    }

    fn holds(&self, balance: &Balance) -> bool {
        self.provider == balance.provider
            && self.provider_account == balance.provider_account
            && self.livemode == balance.livemode
            && self.currency == balance.currency
    }

    fn add(&mut self, balance: &'b Balance) {
        let Balance { account, debit_minor, credit_minor, .. } = balance;
        self.debit_minor = self.debit_minor.saturating_add(*debit_minor);
        self.credit_minor = self.credit_minor.saturating_add(*credit_minor);
        self.accounts.push(Line {
            account,
            debit_minor: *debit_minor,
            credit_minor: *credit_minor,
            balance_minor: debit_minor.saturating_sub(*credit_minor),
        });
    }
}

impl fmt::Display for TrialBalance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.books.is_empty() {
            writeln!(f, "the books are empty")?;
        }
        for (index, book) in self.books.iter().enumerate() {
            let between = if index == 0 { "" } else { "\n" };
            write!(f, "{between}{book}")?;
        }
        let Some(LastAudit { run, kind, verdict, finished_at, head }) = &self.last_audit else {
            return writeln!(f, "\nno audit has run");
        };
        writeln!(f, "\nlast audit: {verdict}, {kind} run {run} at {}", table::instant(*finished_at))?;
        let head = head.as_ref().map(|head| (head.height, head.digest.as_str()));
        writeln!(f, "{}", table::head(head))
    }
}

impl fmt::Display for Book<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { provider, provider_account, currency, debit_minor, credit_minor, .. } = self;
        writeln!(f, "{provider} {provider_account}, {} money, {currency}", mode(self.livemode))?;
        let number = |title| (title, Align::Right);
        let titles = [("account", Align::Left), number("debit"), number("credit"), number("balance")];
        let mut table = Table::new(titles);
        let amount = |minor| decimal(minor, currency);
        for line in &self.accounts {
            let amounts = [line.debit_minor, line.credit_minor, line.balance_minor].map(amount);
            table.row([line.account.to_owned()].into_iter().chain(amounts));
        }
        let totals = [*debit_minor, *credit_minor, debit_minor.saturating_sub(*credit_minor)].map(amount);
        table.row(["total".to_owned()].into_iter().chain(totals));
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(account: &str, currency: &str, debit_minor: i128, credit_minor: i128) -> Balance {
        Balance {
            provider: "stripe".to_owned(),
            provider_account: "acct_dev".to_owned(),
            livemode: false,
            account: account.to_owned(),
            currency: currency.to_owned(),
            debit_minor,
            credit_minor,
        }
    }

    #[test]
    fn each_currency_is_a_table_with_its_own_totals() {
        let balances = [
            balance("assets:stripe:clearing", "EUR", 500, 0),
            balance("assets:stripe:clearing", "USD", 1500, 200),
            balance("income:sales", "EUR", 0, 500),
            balance("income:sales", "USD", 0, 1300),
        ];
        let books: Vec<String> = books(&balances).iter().map(ToString::to_string).collect();
        let expected = "\
stripe acct_dev, test money, USD
account                 debit  credit  balance
assets:stripe:clearing  15.00    2.00    13.00
income:sales             0.00   13.00   -13.00
total                   15.00   15.00     0.00
";
        assert_eq!(books.len(), 2);
        assert_eq!(books[1], expected);
    }
}
