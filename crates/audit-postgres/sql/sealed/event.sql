SELECT
  xid,
  id,
  source,
  provider,
  provider_account,
  livemode,
  event_id,
  event_type,
  object_id,
  object_amount,
  object_currency,
  own_account,
  occurred_at,
  fingerprint,
  fingerprint_version,
  sha256(convert_to(payload, 'UTF8')),
  keep_list_version,
  outcome,
  reason,
  trace_id,
  recorded_at
FROM countersign.event
WHERE xid >= $1 AND xid < $2
ORDER BY xid, id
