SELECT xid, id, kind, event_row, delivery_row, reason, operator, recorded_at
FROM countersign.operator_action
WHERE xid >= $1 AND xid < $2
ORDER BY xid, id
