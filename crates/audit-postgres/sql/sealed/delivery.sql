SELECT
  xid,
  id,
  instance,
  sequence,
  source,
  provider_account,
  livemode,
  event_id,
  event_type,
  event_row,
  outcome,
  reason,
  sha256(evidence),
  fingerprint,
  fingerprint_version,
  sha256(convert_to(broker_history, 'UTF8')),
  replay_checked,
  trace_id,
  received_at,
  recorded_at
FROM countersign.delivery
WHERE xid >= $1 AND xid < $2
ORDER BY xid, id
