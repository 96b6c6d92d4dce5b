//! Rows of `event`.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use ledger::{EventKey, ObjectId, Reason, TraceId};
use money::Amount;
use ports::BooksError;
use tokio_postgres::types::ToSql;

use super::query;
use crate::plan::{NewEvent, Plan};
use crate::rows;

const INSERT_EVENTS: &str = "-- insert_events
INSERT INTO countersign.event (
  source, provider, provider_account, livemode, event_id, event_type, object_id, object_amount, object_currency,
  own_account, occurred_at, fingerprint, fingerprint_version, payload, keep_list_version, outcome, reason, trace_id)
SELECT * FROM unnest(
  $1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BOOLEAN[], $5::TEXT[], $6::TEXT[], $7::TEXT[], $8::BIGINT[], $9::TEXT[],
  $10::TEXT[], $11::TIMESTAMPTZ[], $12::BYTEA[], $13::SMALLINT[], $14::TEXT[], $15::INTEGER[], $16::TEXT[],
  $17::TEXT[], $18::TEXT[])
ON CONFLICT (source, provider_account, livemode, event_id) DO NOTHING
RETURNING id, source, provider_account, livemode, event_id";

/// `None` when one of them was there.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    plan: &Plan<'_>,
) -> Result<Option<BTreeMap<EventKey, i64>>, BooksError> {
    let events: Vec<&NewEvent<'_>> = plan.events.values().collect();
    if events.is_empty() {
        return Ok(Some(BTreeMap::new()));
    }
    let records = || events.iter().map(|new| &new.record.event);
    let money = || events.iter().map(|new| new.record.money);
    let sources: Vec<&str> = records().map(|event| event.key.source.as_str()).collect();
    let providers: Vec<&str> = records().map(|event| event.provider.as_str()).collect();
    let accounts: Vec<&str> = records().map(|event| event.key.account.as_str()).collect();
    let livemodes: Vec<bool> = records().map(|event| event.key.livemode.is_live()).collect();
    let ids: Vec<&str> = records().map(|event| event.key.event_id.as_str()).collect();
    let types: Vec<&str> = records().map(|event| event.event_type.as_str()).collect();
    let objects: Vec<Option<&str>> =
        records().map(|event| event.object_id.as_ref().map(ObjectId::as_str)).collect();
    let amounts: Vec<Option<i64>> = money().map(|money| money.map(Amount::minor)).collect();
    let currencies: Vec<Option<&str>> =
        money().map(|money| money.map(|amount| amount.currency().code())).collect();
    let own_accounts: Vec<&str> = records().map(|event| event.own_account.as_str()).collect();
    let occurred = records().map(|event| rows::instant(event.occurred_at)).collect::<Result<Vec<_>, _>>()?;
    let fingerprints: Vec<&[u8]> = records().map(|event| event.fingerprint.digest.as_slice()).collect();
    let fingerprint_versions: Vec<i16> = records().map(|event| event.fingerprint.version.into()).collect();
    let payloads = records().map(|event| rows::text(&event.payload)).collect::<Result<Vec<_>, _>>()?;
    let keep_lists =
        records().map(|event| rows::version(event.keep_list_version)).collect::<Result<Vec<_>, _>>()?;
    let outcomes: Vec<&str> = events.iter().map(|event| event.outcome().as_str()).collect();
    let reasons: Vec<Option<&str>> = events.iter().map(|event| event.reason.map(Reason::as_str)).collect();
    let traces: Vec<Option<&str>> = events.iter().map(|event| event.trace_id.map(TraceId::as_str)).collect();
    let columns: [&(dyn ToSql + Sync); 18] = [
        &sources,
        &providers,
        &accounts,
        &livemodes,
        &ids,
        &types,
        &objects,
        &amounts,
        &currencies,
        &own_accounts,
        &occurred,
        &fingerprints,
        &fingerprint_versions,
        &payloads,
        &keep_lists,
        &outcomes,
        &reasons,
        &traces,
    ];
    let returned = query(transaction, INSERT_EVENTS, &columns).await?;
    if returned.len() != events.len() {
        return Ok(None);
    }
    returned
        .iter()
        .map(|row| Ok((rows::event_key(row)?, rows::column(row, "id")?)))
        .collect::<Result<_, _>>()
        .map(Some)
}
