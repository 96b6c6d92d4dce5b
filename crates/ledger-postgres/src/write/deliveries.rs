//! Rows of `delivery`.

use deadpool_postgres::Transaction;
use ledger::{EventType, Reason, Source, TraceId};
use ports::BooksError;
use tokio_postgres::types::ToSql;
use wire::{Fingerprint, ReplayCheck};

use super::{Inserted, execute};
use crate::plan::{NewDelivery, Plan};
use crate::rows;

const INSERT_DELIVERIES: &str = "-- insert_deliveries
INSERT INTO countersign.delivery (
  instance, sequence, source, provider_account, livemode, event_id, event_type, event_row, outcome, reason, evidence,
  fingerprint, fingerprint_version, broker_history, replay_checked, trace_id, received_at)
SELECT * FROM unnest(
  $1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::BOOLEAN[], $6::TEXT[], $7::TEXT[], $8::BIGINT[], $9::TEXT[],
  $10::TEXT[], $11::BYTEA[], $12::BYTEA[], $13::SMALLINT[], $14::TEXT[], $15::BOOLEAN[], $16::TEXT[],
  $17::TIMESTAMPTZ[])
ON CONFLICT (instance, sequence) DO NOTHING";

/// How many went in.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    plan: &Plan<'_>,
    inserted: &Inserted,
) -> Result<usize, BooksError> {
    let deliveries: Vec<&NewDelivery<'_>> = plan.deliveries.values().collect();
    if deliveries.is_empty() {
        return Ok(0);
    }
    let keys = || deliveries.iter().map(|delivery| delivery.named.key);
    let origins = || deliveries.iter().map(|new| new.delivery.origin);
    let instances: Vec<String> = origins().map(|origin| origin.instance.to_string()).collect();
    let sequences: Vec<i64> = origins().map(|origin| rows::sequence(origin.sequence)).collect();
    let sources: Vec<Option<&str>> =
        deliveries.iter().map(|new| new.named.source.map(Source::as_str)).collect();
    let accounts: Vec<Option<&str>> = keys().map(|key| key.map(|key| key.account.as_str())).collect();
    let livemodes: Vec<Option<bool>> = keys().map(|key| key.map(|key| key.livemode.is_live())).collect();
    let ids: Vec<Option<&str>> = keys().map(|key| key.map(|key| key.event_id.as_str())).collect();
    let types: Vec<Option<&str>> =
        deliveries.iter().map(|new| new.named.event_type.map(EventType::as_str)).collect();
    let event_rows = deliveries
        .iter()
        .map(|new| new.event.map(|row| inserted.event(row)).transpose())
        .collect::<Result<Vec<Option<i64>>, _>>()?;
    let outcomes: Vec<&str> = deliveries.iter().map(|new| new.outcome.as_str()).collect();
    let reasons: Vec<Option<&str>> =
        deliveries.iter().map(|new| new.outcome.reason().map(Reason::as_str)).collect();
    let evidence: Vec<Option<&[u8]>> =
        deliveries.iter().map(|new| new.evidence.map(|body| &**body)).collect();
    let fingerprints: Vec<Option<Fingerprint>> =
        evidence.iter().map(|message| fingerprint((*message)?)).collect();
    let digests: Vec<Option<&[u8]>> =
        fingerprints.iter().map(|of| of.as_ref().map(|of| of.digest.as_slice())).collect();
    let versions: Vec<Option<i16>> =
        fingerprints.iter().map(|of| of.map(|of| i16::from(of.version))).collect();
    let histories: Vec<Option<&str>> = deliveries.iter().map(|new| new.broker_history).collect();
    let checked: Vec<bool> = origins().map(|origin| origin.replay_check == ReplayCheck::Claimed).collect();
    let traces: Vec<Option<&str>> =
        deliveries.iter().map(|new| new.delivery.trace_id.as_ref().map(TraceId::as_str)).collect();
    let received =
        origins().map(|origin| rows::instant_nearest(origin.received_at)).collect::<Result<Vec<_>, _>>()?;
    let columns: [&(dyn ToSql + Sync); 17] = [
        &instances,
        &sequences,
        &sources,
        &accounts,
        &livemodes,
        &ids,
        &types,
        &event_rows,
        &outcomes,
        &reasons,
        &evidence,
        &digests,
        &versions,
        &histories,
        &checked,
        &traces,
        &received,
    ];
    execute(transaction, INSERT_DELIVERIES, &columns).await
}

/// Of the event that a message holds. Reading it may be what has panicked and made it evidence: then it holds none.
fn fingerprint(message: &[u8]) -> Option<Fingerprint> {
    std::panic::catch_unwind(|| rows::event_in(message)).ok().flatten().map(|event| event.fingerprint)
}
