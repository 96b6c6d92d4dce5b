SELECT xid, id, instance, window_number, source, reason, minute, count, recorded_at
FROM countersign.refusal_count
WHERE xid >= $1 AND xid < $2
ORDER BY xid, id
