//! What the checks read: facts, not judgements. Which facts are wrong is for `audit` to say.
//!
//! Both statements read all entries once; the README says what that costs. `suspects` gives whole only the transactions
//! in which some fact deviates. It may suspect too much and must overlook nothing: a test compares it with the check.

use audit::{
    AccountName, CurrencyCode, EventId, HeaderRow, LegRow, Livemode, MovementKey, Suspects, TotalRow,
    TraceId, TransactionId, TransactionRow, Written,
};
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use crate::AuditStoreError;
use crate::error::unreadable;
use crate::query::{Columns, Parameters, query};

/// How many suspect transactions are read in full; the others are counted.
const SUSPECTS_MAX: i64 = 200;

/// The rows that a run sees.
#[derive(Debug)]
pub(crate) enum Horizon {
    /// What the transaction's own snapshot sees: everything.
    Now,
    /// Of that, only what something new belongs to: with this transaction number or a later one.
    Tail(i64),
    /// What an earlier run saw.
    Recorded {
        /// `pg_snapshot`, in the transaction numbers of the cluster that it was taken in.
        snapshot: String,
        /// What was added to those numbers when rows were stored.
        xid_offset: i64,
    },
}

impl Horizon {
    fn parameters(&self) -> (Option<&str>, i64) {
        match self {
            Self::Now | Self::Tail(_) => (None, 0),
            Self::Recorded { snapshot, xid_offset } => (Some(snapshot), *xid_offset),
        }
    }
}

/// Debits and credits of every livemode and currency; of a tail, its own alone.
pub(crate) async fn totals(
    transaction: &Transaction<'_>,
    horizon: &Horizon,
) -> Result<Vec<TotalRow>, AuditStoreError> {
    const TOTALS: &str =
        concat!("-- totals\n", include_str!("../sql/horizon.sql"), include_str!("../sql/totals.sql"));
    const TAIL: &str = concat!("-- tail_totals\n", include_str!("../sql/tail_totals.sql"));
    let (snapshot, xid_offset) = horizon.parameters();
    let rows = match horizon {
        Horizon::Tail(lo) => query(transaction, "tail_totals", TAIL, &[(lo, Type::INT8)]).await?,
        Horizon::Now | Horizon::Recorded { .. } => {
            let parameters: Parameters<'_> = &[(&snapshot, Type::TEXT), (&xid_offset, Type::INT8)];
            query(transaction, "totals", TOTALS, parameters).await?
        }
    };
    rows.iter().map(|row| total(&Columns { statement: "totals", row })).collect()
}

/// Every transaction in which some fact deviates, with all its legs, the first [`SUSPECTS_MAX`] of them.
pub(crate) async fn suspects(
    transaction: &Transaction<'_>,
    horizon: &Horizon,
) -> Result<Suspects, AuditStoreError> {
    const SUSPECTS: &str =
        concat!("-- suspects\n", include_str!("../sql/horizon.sql"), include_str!("../sql/suspects.sql"));
    const TAIL: &str =
        concat!("-- tail_suspects\n", include_str!("../sql/tail.sql"), include_str!("../sql/suspects.sql"));
    let (snapshot, xid_offset) = horizon.parameters();
    let rows = match horizon {
        Horizon::Tail(lo) => {
            // $2 is the offset in the other prelude.
            let parameters: Parameters<'_> =
                &[(lo, Type::INT8), (&xid_offset, Type::INT8), (&SUSPECTS_MAX, Type::INT8)];
            query(transaction, "tail_suspects", TAIL, parameters).await?
        }
        Horizon::Now | Horizon::Recorded { .. } => {
            let parameters: Parameters<'_> =
                &[(&snapshot, Type::TEXT), (&xid_offset, Type::INT8), (&SUSPECTS_MAX, Type::INT8)];
            query(transaction, "suspects", SUSPECTS, parameters).await?
        }
    };
    let mut suspects = Suspects::default();
    let mut total: i64 = 0;
    for row in &rows {
        let columns = Columns { statement: "suspects", row };
        total = columns.read("total")?;
        let id = TransactionId(columns.read("id")?);
        if suspects.transactions.last().is_none_or(|last| last.id != id) {
            let header = header(&columns)?;
            suspects.transactions.push(TransactionRow { id, header, legs: Vec::new() });
        }
        if let (Some(last), Some(leg)) = (suspects.transactions.last_mut(), leg(&columns)?) {
            last.legs.push(leg);
        }
    }
    let listed = u64::try_from(suspects.transactions.len()).unwrap_or(u64::MAX);
    suspects.left_out = u64::try_from(total).unwrap_or_default().saturating_sub(listed);
    Ok(suspects)
}

fn total(columns: &Columns<'_>) -> Result<TotalRow, AuditStoreError> {
    // Sums of BIGINT are NUMERIC and come as text: no damage makes them wider than 128 bits.
    let sum = |name| columns.read::<&str>(name)?.parse().map_err(|_| unreadable(columns.statement));
    Ok(TotalRow {
        livemode: Livemode::from_bool(columns.read("livemode")?),
        currency: CurrencyCode::new(columns.read::<&str>("currency")?),
        debits_minor: sum("debits_minor")?,
        credits_minor: sum("credits_minor")?,
    })
}

pub(crate) fn header(columns: &Columns<'_>) -> Result<Option<HeaderRow>, AuditStoreError> {
    let Some(movement_key) = columns.read::<Option<&str>>("movement_key")? else { return Ok(None) };
    Ok(Some(HeaderRow {
        movement_key: MovementKey::new(movement_key),
        legs: columns.read::<i16>("legs")?.into(),
        livemode: Livemode::from_bool(columns.read("livemode")?),
        event_id: columns.read::<Option<&str>>("event_id")?.map(EventId::new),
        trace_id: columns.read::<Option<&str>>("trace_id")?.map(TraceId::new),
    }))
}

pub(crate) fn leg(columns: &Columns<'_>) -> Result<Option<LegRow>, AuditStoreError> {
    let Some(leg) = columns.read::<Option<i16>>("leg")? else { return Ok(None) };
    Ok(Some(LegRow {
        leg: leg.into(),
        account: columns.read::<Option<&str>>("account")?.map(AccountName::new),
        amount_minor: columns.read("amount_minor")?,
        currency: CurrencyCode::new(columns.read::<&str>("currency")?),
        livemode: Livemode::from_bool(columns.read("leg_livemode")?),
        written: if columns.read("later")? { Written::Later } else { Written::Together },
    }))
}
