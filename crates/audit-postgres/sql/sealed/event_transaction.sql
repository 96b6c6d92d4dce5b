SELECT xid, event_row, transaction_id, role, recorded_at
FROM countersign.event_transaction
WHERE xid >= $1 AND xid < $2
ORDER BY xid, event_row, transaction_id, role COLLATE "C"
