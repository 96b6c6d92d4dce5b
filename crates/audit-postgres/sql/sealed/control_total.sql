SELECT
  xid,
  id,
  instance,
  window_number,
  closed_at,
  confirmed,
  final,
  array_to_json(sequences)::TEXT,
  array_to_json(sources)::TEXT,
  array_to_json(event_ids)::TEXT,
  restated,
  recorded_at
FROM countersign.control_total
WHERE xid >= $1 AND xid < $2
ORDER BY xid, id
