SELECT xid, id, event_row, rank, status, reason, cause, action_id, trace_id, recorded_at
FROM countersign.event_status
WHERE xid >= $1 AND xid < $2
ORDER BY xid, id
