SELECT
  xid,
  id,
  movement_key,
  provider,
  provider_account,
  livemode,
  object_id,
  kind,
  settles,
  digest,
  digest_version,
  posting_version,
  legs,
  source,
  event_row,
  trace_id,
  occurred_at,
  recorded_at
FROM countersign.transaction
WHERE xid >= $1 AND xid < $2
ORDER BY xid, id
