//! Rows of `transaction`.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use ledger::{MovementDigest, ObjectId, TraceId};
use ports::BooksError;
use tokio_postgres::types::ToSql;

use super::{Inserted, query};
use crate::plan::Plan;
use crate::rows;

const INSERT_TRANSACTIONS: &str = "-- insert_transactions
INSERT INTO countersign.transaction (
  movement_key, provider, provider_account, livemode, object_id, kind, digest, digest_version, posting_version, legs,
  source, event_row, trace_id, occurred_at, settles)
SELECT * FROM unnest(
  $1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BOOLEAN[], $5::TEXT[], $6::TEXT[], $7::BYTEA[], $8::SMALLINT[], $9::INTEGER[],
  $10::SMALLINT[], $11::TEXT[], $12::BIGINT[], $13::TEXT[], $14::TIMESTAMPTZ[], $15::TEXT[])
ON CONFLICT (movement_key) DO NOTHING
RETURNING id, movement_key";

/// `None` when one of them was there.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    plan: &Plan<'_>,
    inserted: &Inserted,
) -> Result<Option<BTreeMap<String, i64>>, BooksError> {
    if plan.transactions.is_empty() {
        return Ok(Some(BTreeMap::new()));
    }
    let keys = || plan.transactions.keys();
    let new = || plan.transactions.values();
    let movement_keys: Vec<String> = keys().map(ToString::to_string).collect();
    let providers: Vec<&str> = keys().map(|key| key.provider.as_str()).collect();
    let accounts: Vec<&str> = keys().map(|key| key.account.as_str()).collect();
    let livemodes: Vec<bool> = keys().map(|key| key.livemode.is_live()).collect();
    let objects: Vec<&str> = keys().map(|key| key.object_id.as_str()).collect();
    let kinds: Vec<&str> = keys().map(|key| key.kind.as_str()).collect();
    let digests: Vec<Vec<u8>> = new().map(|new| new.transaction.digest().0.to_vec()).collect();
    let digest_versions = vec![i16::from(MovementDigest::VERSION); digests.len()];
    let postings =
        new().map(|new| rows::version(new.transaction.posting_version())).collect::<Result<Vec<_>, _>>()?;
    let legs = new().map(|new| rows::leg(new.transaction.entries().len())).collect::<Result<Vec<_>, _>>()?;
    let sources: Vec<&str> = new().map(|new| new.source.as_str()).collect();
    let event_rows = new().map(|new| inserted.event(new.event)).collect::<Result<Vec<i64>, _>>()?;
    let traces: Vec<Option<&str>> = new().map(|new| new.trace_id.map(TraceId::as_str)).collect();
    let occurred =
        new().map(|new| rows::instant(new.transaction.occurred_at())).collect::<Result<Vec<_>, _>>()?;
    let settles: Vec<Option<&str>> =
        new().map(|new| new.transaction.settles().map(ObjectId::as_str)).collect();
    let columns: [&(dyn ToSql + Sync); 15] = [
        &movement_keys,
        &providers,
        &accounts,
        &livemodes,
        &objects,
        &kinds,
        &digests,
        &digest_versions,
        &postings,
        &legs,
        &sources,
        &event_rows,
        &traces,
        &occurred,
        &settles,
    ];
    let returned = query(transaction, INSERT_TRANSACTIONS, &columns).await?;
    if returned.len() != movement_keys.len() {
        return Ok(None);
    }
    let pair = |row| Ok((rows::column(row, "movement_key")?, rows::column(row, "id")?));
    returned.iter().map(pair).collect::<Result<_, _>>().map(Some)
}
