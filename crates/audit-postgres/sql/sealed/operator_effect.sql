SELECT xid, action_id, status, reason, event_row, recorded_at
FROM countersign.operator_effect
WHERE xid >= $1 AND xid < $2
ORDER BY xid, action_id
