//! What a provider says that it holds, as an operator puts it down for the auditor.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use ledger::{Livemode, Source, UnixMillis};
use money::Amount;
use ports::BooksError;
use serde::Serialize;
use tokio_postgres::Row;

use super::PostgresOperator;
use crate::rows::{self, column};
use crate::session::query;

/// A figure of a provider for one of its books.
#[derive(Debug, Clone, Copy)]
pub struct BalanceAsserted<'a> {
    /// Of which source: it has the provider's name, and the account if none is named.
    pub source: &'a Source,
    /// In whose book; absent: in that of the source's own account.
    pub account: Option<&'a str>,
    /// Real money or not.
    pub livemode: Livemode,
    /// How much, in all: pending and available.
    pub amount: Amount,
    /// When.
    pub at: UnixMillis,
    /// Where it is from; not empty.
    pub reason: &'a str,
}

/// It, as it stands in the books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BalanceStated {
    /// Its number.
    pub id: i64,
    /// Whose.
    pub provider: String,
    /// In whose book.
    pub provider_account: String,
    /// Real money or not.
    pub livemode: bool,
    /// In which currency.
    pub currency: String,
    /// How much, minor units.
    pub amount_minor: i64,
    /// When.
    pub at: Timestamp,
}

const ASSERT_BALANCE: &str = "-- assert_balance
INSERT INTO countersign.provider_balance (provider, provider_account, livemode, currency, amount_minor, at, reason)
SELECT provider, coalesce($2::TEXT, own_account), $3, $4, $5, $6, $7
FROM countersign.source
WHERE name = $1
RETURNING id, provider, provider_account, livemode, currency, amount_minor, at";

impl PostgresOperator {
    /// Puts a provider's figure down: the next run of the auditor compares the books with it. `None`: the books know no such
    /// source. `Refused`: it is of an instant to come.
    pub async fn assert_balance(
        &self,
        asserted: &BalanceAsserted<'_>,
    ) -> Result<Option<BalanceStated>, BooksError> {
        let BalanceAsserted { source, account, livemode, amount, at, reason } = asserted;
        let (at, currency) = (rows::instant_nearest(*at)?, amount.currency().code());
        let (source, livemode, minor) = (source.as_str(), livemode.is_live(), amount.minor());
        self.session
            .write(async |transaction: &Transaction<'_>| {
                let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
                    [&source, account, &livemode, &currency, &minor, &at, reason];
                query(transaction, ASSERT_BALANCE, &parameters).await?.first().map(stated).transpose()
            })
            .await
    }
}

fn stated(row: &Row) -> Result<BalanceStated, BooksError> {
    Ok(BalanceStated {
        id: column(row, "id")?,
        provider: column(row, "provider")?,
        provider_account: column(row, "provider_account")?,
        livemode: column(row, "livemode")?,
        currency: column(row, "currency")?,
        amount_minor: column(row, "amount_minor")?,
        at: column(row, "at")?,
    })
}
