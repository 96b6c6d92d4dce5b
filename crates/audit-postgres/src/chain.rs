//! The chain of checkpoints: read, and grown by one.

use std::collections::BTreeMap;

use audit::{
    AccountName, Checkpoint, Content, CurrencyCode, Digest, Head, Height, LinkRow, Livemode, Sums, Totals,
};
use serde_json::{Value, json};
use tokio_postgres::types::{Json, Type};
use tokio_postgres::{GenericClient, Row};

use crate::AuditStoreError;
use crate::error::{of_driver, unreadable};
use crate::query::{Columns, query, query_one};

/// What every statement here selects.
const COLUMNS: &str = "height, xid_lo, xid_hi, encoding_version, contents, totals, rows_total, digest, previous_digest, adopted";

/// The last checkpoint.
pub(crate) async fn last(client: &impl GenericClient) -> Result<Option<Checkpoint>, AuditStoreError> {
    let statement =
        format!("-- last\nSELECT {COLUMNS} FROM countersign.checkpoint ORDER BY height DESC LIMIT 1");
    query(client, "last", &statement, &[]).await?.first().map(checkpoint).transpose()
}

/// The checkpoints above a height, at most so many, by height.
pub(crate) async fn above(
    client: &impl GenericClient,
    height: Height,
    limit: i64,
) -> Result<Vec<Checkpoint>, AuditStoreError> {
    let statement = format!(
        "-- above\nSELECT {COLUMNS} FROM countersign.checkpoint WHERE height > $1 ORDER BY height LIMIT $2"
    );
    let parameters: crate::query::Parameters<'_> = &[(&height.0, Type::INT8), (&limit, Type::INT8)];
    query(client, "above", &statement, parameters).await?.iter().map(checkpoint).collect()
}

/// The height at which history begins: that of the last checkpoint which a person adopted, or the first.
pub(crate) async fn beginning(client: &impl GenericClient) -> Result<Height, AuditStoreError> {
    let statement = "-- beginning
SELECT coalesce(max(height), 1) FROM countersign.checkpoint WHERE adopted IS NOT NULL";
    let row = query_one(client, "beginning", statement, &[]).await?;
    row.try_get(0).map(Height).map_err(of_driver("beginning"))
}

/// The newest checkpoint that an incremental run can stand on: at least so many rows are sealed above it, so that what was
/// sealed last is read again and damage to it found at once; or it is what a person adopted, which is all that there was.
pub(crate) async fn floor(
    client: &impl GenericClient,
    last: &Checkpoint,
    tail_rows: u64,
) -> Result<Option<Checkpoint>, AuditStoreError> {
    let beginning = beginning(client).await?;
    let most = i64::try_from(last.rows_total.saturating_sub(tail_rows)).unwrap_or(i64::MAX);
    let statement = format!(
        "-- floor\nSELECT {COLUMNS} FROM countersign.checkpoint
WHERE height >= $1 AND (rows_total <= $2 OR adopted IS NOT NULL) ORDER BY height DESC LIMIT 1"
    );
    let parameters: crate::query::Parameters<'_> = &[(&beginning.0, Type::INT8), (&most, Type::INT8)];
    if last.rows_total <= tail_rows {
        return Ok(None);
    }
    query(client, "floor", &statement, parameters).await?.first().map(checkpoint).transpose()
}

/// The links of the chain from a height on, the last `limit` of them.
pub(crate) async fn links(
    client: &impl GenericClient,
    from: Height,
    limit: i64,
) -> Result<Vec<LinkRow>, AuditStoreError> {
    let statement = "-- links
SELECT * FROM (
  SELECT height, xid_lo, xid_hi, digest, previous_digest, adopted IS NOT NULL AS adopted
  FROM countersign.checkpoint WHERE height >= $1 ORDER BY height DESC LIMIT $2
) AS links ORDER BY height";
    let parameters: crate::query::Parameters<'_> = &[(&from.0, Type::INT8), (&limit, Type::INT8)];
    let rows = query(client, "links", statement, parameters).await?;
    rows.iter()
        .map(|row| {
            let columns = Columns { statement: "links", row };
            Ok(LinkRow {
                height: Height(columns.read("height")?),
                lo: columns.read("xid_lo")?,
                hi: columns.read("xid_hi")?,
                digest: digest(&columns, "digest")?,
                previous_digest: digest(&columns, "previous_digest")?,
                adopted: columns.read("adopted")?,
            })
        })
        .collect()
}

/// The digest that the chain has at a height.
pub(crate) async fn digest_at(
    client: &impl GenericClient,
    height: Height,
) -> Result<Option<Digest>, AuditStoreError> {
    let statement = "-- digest_at\nSELECT digest FROM countersign.checkpoint WHERE height = $1";
    let rows = query(client, "digest_at", statement, &[(&height.0, Type::INT8)]).await?;
    rows.first().map(|row| digest(&Columns { statement: "digest_at", row }, "digest")).transpose()
}

/// Adds a checkpoint. Nothing happens if another auditor has sealed that height meanwhile.
pub(crate) async fn insert(
    client: &impl GenericClient,
    checkpoint: &Checkpoint,
) -> Result<bool, AuditStoreError> {
    let statement = "-- seal
INSERT INTO countersign.checkpoint (
  height, xid_lo, xid_hi, encoding_version, contents, totals, rows_total, digest, previous_digest, adopted
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (height) DO NOTHING
RETURNING height";
    let rows_total = i64::try_from(checkpoint.rows_total).unwrap_or(i64::MAX);
    let rows = client
        .query_typed(
            statement,
            &[
                (&checkpoint.height.0, Type::INT8),
                (&checkpoint.lo, Type::INT8),
                (&checkpoint.hi, Type::INT8),
                (&checkpoint.encoding_version, Type::INT2),
                (&Json(contents(checkpoint)), Type::JSONB),
                (&Json(totals(checkpoint)), Type::JSONB),
                (&rows_total, Type::INT8),
                (&checkpoint.digest.0.as_slice(), Type::BYTEA),
                (&checkpoint.previous_digest.0.as_slice(), Type::BYTEA),
                (&checkpoint.adopted, Type::TEXT),
            ],
        )
        .await
        .map_err(of_driver("seal"))?;
    Ok(!rows.is_empty())
}

/// Height and digest of a checkpoint.
pub(crate) const fn head(checkpoint: &Checkpoint) -> Head {
    Head { height: checkpoint.height, digest: checkpoint.digest }
}

fn contents(checkpoint: &Checkpoint) -> Value {
    let of = |(table, content): (&String, &Content)| {
        (table.clone(), json!({ "rows": content.rows, "digest": content.digest.to_string() }))
    };
    Value::Object(checkpoint.contents.iter().map(of).collect())
}

/// Sums as texts: they may be wider than what reads JSON.
fn totals(checkpoint: &Checkpoint) -> Value {
    let of = |((livemode, currency, account), sums): (&audit::TotalKey, &Sums)| {
        json!({
            "livemode": livemode,
            "currency": currency,
            "account": account,
            "debits_minor": sums.debits_minor.to_string(),
            "credits_minor": sums.credits_minor.to_string(),
        })
    };
    checkpoint.totals.0.iter().map(of).collect()
}

fn checkpoint(row: &Row) -> Result<Checkpoint, AuditStoreError> {
    let columns = Columns { statement: "checkpoint", row };
    let broken = || unreadable("checkpoint");
    Ok(Checkpoint {
        height: Height(columns.read("height")?),
        lo: columns.read("xid_lo")?,
        hi: columns.read("xid_hi")?,
        encoding_version: columns.read("encoding_version")?,
        contents: read_contents(&columns.read("contents")?).ok_or_else(broken)?,
        totals: read_totals(&columns.read("totals")?).ok_or_else(broken)?,
        rows_total: columns.count("rows_total")?,
        digest: digest(&columns, "digest")?,
        previous_digest: digest(&columns, "previous_digest")?,
        adopted: columns.read("adopted")?,
    })
}

fn digest(columns: &Columns<'_>, name: &str) -> Result<Digest, AuditStoreError> {
    columns.read::<&[u8]>(name)?.try_into().map(Digest).map_err(|_| unreadable("checkpoint"))
}

fn read_contents(value: &Value) -> Option<BTreeMap<String, Content>> {
    let of = |(table, content): (&String, &Value)| {
        let (rows, digest) = (content.get("rows")?.as_u64()?, content.get("digest")?.as_str()?);
        Some((table.clone(), Content { rows, digest: Digest::parse(digest)? }))
    };
    value.as_object()?.iter().map(of).collect()
}

fn read_totals(value: &Value) -> Option<Totals> {
    let of = |total: &Value| {
        let text = |name: &str| total.get(name)?.as_str();
        let key = (
            Livemode::from_bool(total.get("livemode")?.as_bool()?),
            CurrencyCode::new(text("currency")?),
            AccountName::new(text("account")?),
        );
        let sums = Sums {
            debits_minor: text("debits_minor")?.parse().ok()?,
            credits_minor: text("credits_minor")?.parse().ok()?,
        };
        Some((key, sums))
    };
    value.as_array()?.iter().map(of).collect::<Option<_>>().map(Totals)
}
