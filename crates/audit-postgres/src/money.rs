//! What the checks `clearing` and `provider-balance` read: what a provider announced, settled and says that it holds.

use audit::{
    AccountName, CurrencyCode, EventId, Limits, Livemode, MoneyRef, ReferenceRow, SourceName, StatedRow,
    TraceId,
};
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use crate::query::{Columns, Parameters, query};
use crate::{AuditStoreError, findings};

/// How many references are listed; the others are counted.
const LISTED_MAX: i64 = 200;

/// What is due and still stands in clearing: of all references, or of those that came due since the last run or stand open.
/// With it, how many more there are.
pub(crate) async fn clearing(
    transaction: &Transaction<'_>,
    everything: bool,
    limits: &Limits,
) -> Result<(Vec<ReferenceRow>, u64), AuditStoreError> {
    const ALL: &str = concat!(
        "-- clearing\n",
        include_str!("../sql/clearing_all.sql"),
        include_str!("../sql/clearing.sql")
    );
    const DUE: &str = concat!(
        "-- clearing\n",
        include_str!("../sql/clearing_due.sql"),
        include_str!("../sql/clearing.sql")
    );
    let reached = if everything { None } else { findings::reached(transaction, "clearing").await? };
    let statement = if reached.is_some() { DUE } else { ALL };
    let parameters: Parameters<'_> =
        &[(&limits.clearing_due_s, Type::INT8), (&reached, Type::TIMESTAMPTZ), (&LISTED_MAX, Type::INT8)];
    let rows = query(transaction, "clearing", statement, parameters).await?;
    let mut found = Vec::with_capacity(rows.len());
    let mut total = 0;
    for row in &rows {
        let columns = Columns { statement: "clearing", row };
        total = columns.count("total")?;
        found.push(reference(&columns)?);
    }
    let listed = u64::try_from(found.iter().filter(|row| !row.settled_elsewhere).count()).unwrap_or(u64::MAX);
    Ok((found, total.saturating_sub(listed)))
}

fn reference(columns: &Columns<'_>) -> Result<ReferenceRow, AuditStoreError> {
    Ok(ReferenceRow {
        money: MoneyRef {
            provider: columns.read("provider")?,
            provider_account: columns.read("provider_account")?,
            object_id: columns.read("reference")?,
        },
        livemode: Livemode::from_bool(columns.read("livemode")?),
        currency: columns.text("currency", CurrencyCode::new)?,
        announced_minor: columns.sum("announced_minor")?.unwrap_or_default(),
        settled_minor: columns.sum("settled_minor")?.unwrap_or_default(),
        settled_elsewhere: columns.read("settled_elsewhere")?,
        account: columns.text("account", AccountName::new)?,
        source: columns.text("source", SourceName::new)?,
        event_id: columns.optional("event_id", EventId::new)?,
        trace_id: columns.optional("trace_id", TraceId::new)?,
        since: columns.instant("since")?,
        age_s: columns.read("age_s")?,
    })
}

/// The last figure of each book: of all, or of those that are new or stand open.
pub(crate) async fn provider_balances(
    transaction: &Transaction<'_>,
    everything: bool,
) -> Result<Vec<StatedRow>, AuditStoreError> {
    let statement = concat!("-- provider_balances\n", include_str!("../sql/provider_balance.sql"));
    let reached = if everything { None } else { findings::reached(transaction, "provider-balance").await? };
    let rows = query(transaction, "provider_balances", statement, &[(&reached, Type::TIMESTAMPTZ)]).await?;
    let stated = |columns: &Columns<'_>| {
        Ok(StatedRow {
            money: MoneyRef {
                provider: columns.read("provider")?,
                provider_account: columns.read("provider_account")?,
                object_id: None,
            },
            livemode: Livemode::from_bool(columns.read("livemode")?),
            currency: columns.text("currency", CurrencyCode::new)?,
            stated_minor: columns.sum("stated_minor")?.unwrap_or_default(),
            booked_minor: columns.sum("booked_minor")?.unwrap_or_default(),
            account: columns.text("account", AccountName::new)?,
            at: columns.instant("at")?,
        })
    };
    rows.iter().map(|row| stated(&Columns { statement: "provider_balances", row })).collect()
}
