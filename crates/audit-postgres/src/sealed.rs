//! What ranges of transactions hold: every row of every sealed table, streamed in the order of its transaction number and
//! key, and never held in memory.

use core::pin::pin;

use audit::{
    AccountName, Content, CurrencyCode, Encoder, Field, Livemode, RangeFacts, RangeRow, RewrittenRow, Sums,
    TransactionId,
};
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};

use crate::AuditStoreError;
use crate::error::{of_driver, unreadable};
use crate::query::{Columns, query};
use crate::read::{header, leg};

/// More entries than these were not edited one by one: a restore rewrote them all.
const REWRITTEN_MAX: i64 = 10;

/// Every table whose rows a checkpoint seals, with the statement that reads them: encoding version 1. The first column is
/// the transaction number; the order of columns and rows is part of the version.
const TABLES: [(&str, &str); 11] = [
    ("control_total", include_str!("../sql/sealed/control_total.sql")),
    ("delivery", include_str!("../sql/sealed/delivery.sql")),
    (ENTRY, include_str!("../sql/sealed/entry.sql")),
    ("event", include_str!("../sql/sealed/event.sql")),
    ("event_status", include_str!("../sql/sealed/event_status.sql")),
    ("event_transaction", include_str!("../sql/sealed/event_transaction.sql")),
    ("operator_action", include_str!("../sql/sealed/operator_action.sql")),
    ("operator_effect", include_str!("../sql/sealed/operator_effect.sql")),
    ("provider_balance", include_str!("../sql/sealed/provider_balance.sql")),
    ("refusal_count", include_str!("../sql/sealed/refusal_count.sql")),
    ("transaction", include_str!("../sql/sealed/transaction.sql")),
];

/// The table whose rows make the totals.
const ENTRY: &str = "entry";

/// Where the ranges end that the rows with `lo <= xid < hi` are sealed in, of about `most` rows each, and how many rows that
/// is in all. What one database transaction wrote stays together.
pub(crate) async fn cuts(
    transaction: &Transaction<'_>,
    (lo, hi): (i64, i64),
    most: i64,
) -> Result<(Vec<i64>, u64), AuditStoreError> {
    let written = TABLES.map(|(table, _)| {
        format!(
            "SELECT xid, count(*) AS rows FROM countersign.{table} WHERE xid >= $1 AND xid < $2 GROUP BY xid"
        )
    });
    let statement = format!(
        "-- cuts\nWITH written AS ({})\n{}",
        written.join(" UNION ALL "),
        include_str!("../sql/cuts.sql")
    );
    let parameters: &[(&(dyn ToSql + Sync), Type)] =
        &[(&lo, Type::INT8), (&hi, Type::INT8), (&most.max(1), Type::INT8)];
    let (mut ends, mut rows) = (Vec::new(), 0_u64);
    for row in &query(transaction, "cuts", &statement, parameters).await? {
        let columns = Columns { statement: "cuts", row };
        ends.push(columns.read("xid_hi")?);
        rows = rows.saturating_add(columns.count("rows")?);
    }
    // Up to the very end, so that what comes next goes on from there.
    if let Some(last) = ends.last_mut() {
        *last = hi;
    }
    Ok((ends, rows))
}

/// What the consecutive ranges from `lo` hold that end at each of `ends`.
pub(crate) async fn facts(
    transaction: &Transaction<'_>,
    lo: i64,
    ends: &[i64],
) -> Result<Vec<RangeFacts>, AuditStoreError> {
    let mut ranges = vec![RangeFacts::default(); ends.len()];
    let Some(hi) = ends.last() else { return Ok(ranges) };
    for (table, statement) in TABLES {
        let mut digests = vec![(0_u64, Encoder::default()); ends.len()];
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&lo, Type::INT8), (hi, Type::INT8)];
        let rows = transaction.query_typed_raw(statement, parameters).await.map_err(of_driver(table))?;
        let mut rows = pin!(rows);
        let mut at = 0;
        while let Some(row) = rows.try_next().await.map_err(of_driver(table))? {
            let xid: i64 = row.try_get(0).map_err(|_| unreadable(table))?;
            while ends.get(at).is_some_and(|end| xid >= *end) {
                at = at.saturating_add(1);
            }
            let (Some((count, encoder)), Some(range)) = (digests.get_mut(at), ranges.get_mut(at)) else {
                return Err(unreadable(table));
            };
            *count = count.saturating_add(1);
            encoder.row(&fields(table, &row)?);
            if table == ENTRY {
                add_entry(range, &row)?;
            }
        }
        for (range, (rows, encoder)) in ranges.iter_mut().zip(digests) {
            if rows > 0 {
                range.contents.insert(table.to_owned(), Content { rows, digest: encoder.finish() });
            }
        }
    }
    Ok(ranges)
}

fn add_entry(range: &mut RangeFacts, row: &Row) -> Result<(), AuditStoreError> {
    let columns = Columns { statement: ENTRY, row };
    let account = columns.optional("name", AccountName::new)?;
    let key = (
        Livemode::from_bool(columns.read("livemode")?),
        columns.text("currency", CurrencyCode::new)?,
        account.unwrap_or_else(|| AccountName::new("")),
    );
    range.totals.add(key, Sums::of_entry(columns.read("amount_minor")?));
    Ok(())
}

fn fields<'r>(table: &'static str, row: &'r Row) -> Result<Vec<Field<'r>>, AuditStoreError> {
    (0..row.len()).map(|index| field(table, row, index)).collect()
}

fn field<'r>(table: &'static str, row: &'r Row, index: usize) -> Result<Field<'r>, AuditStoreError> {
    let column = row.columns().get(index).ok_or_else(|| unreadable(table))?;
    let read = match *column.type_() {
        Type::INT8 => row.try_get::<_, Option<i64>>(index).map(|value| value.map(Field::Integer)),
        Type::INT4 => {
            row.try_get::<_, Option<i32>>(index).map(|value| value.map(|v| Field::Integer(v.into())))
        }
        Type::INT2 => {
            row.try_get::<_, Option<i16>>(index).map(|value| value.map(|v| Field::Integer(v.into())))
        }
        Type::BOOL => row.try_get::<_, Option<bool>>(index).map(|value| value.map(Field::Boolean)),
        Type::TEXT => row.try_get::<_, Option<&str>>(index).map(|value| value.map(Field::Text)),
        Type::BYTEA => row.try_get::<_, Option<&[u8]>>(index).map(|value| value.map(Field::Bytes)),
        Type::TIMESTAMPTZ => row
            .try_get::<_, Option<Timestamp>>(index)
            .map(|value| value.map(|at| Field::Instant(at.as_microsecond()))),
        _ => return Err(unreadable(table)),
    };
    read.map(|value| value.unwrap_or(Field::Null)).map_err(|_| unreadable(table))
}

/// The entries of a range that somebody edited, if it is not what it was and they are few.
pub(crate) async fn rewritten(
    transaction: &Transaction<'_>,
    range: &mut RangeRow,
) -> Result<(), AuditStoreError> {
    if range.checkpoint.contents == range.found.contents {
        return Ok(());
    }
    let (lo, hi) = (range.checkpoint.lo, range.checkpoint.hi);
    let limit = REWRITTEN_MAX.saturating_add(1);
    let statement = concat!("-- rewritten\n", include_str!("../sql/rewritten.sql"));
    let parameters: &[(&(dyn ToSql + Sync), Type)] =
        &[(&lo, Type::INT8), (&hi, Type::INT8), (&limit, Type::INT8)];
    let rows = query(transaction, "rewritten", statement, parameters).await?;
    if i64::try_from(rows.len()).is_ok_and(|rows| rows > REWRITTEN_MAX) {
        return Ok(());
    }
    for row in &rows {
        let columns = Columns { statement: "rewritten", row };
        if let Some(leg) = leg(&columns)? {
            let transaction = TransactionId(columns.read("id")?);
            range.rewritten.push(RewrittenRow { transaction, header: header(&columns)?, leg });
        }
    }
    Ok(())
}
