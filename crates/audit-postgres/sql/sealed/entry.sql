SELECT
  entry.xid,
  entry.id,
  entry.transaction_id,
  entry.leg,
  entry.account_id,
  account.name,
  entry.amount_minor,
  entry.currency,
  entry.livemode
FROM countersign.entry
LEFT JOIN countersign.account ON account.id = entry.account_id
WHERE entry.xid >= $1 AND entry.xid < $2
ORDER BY entry.xid, entry.id
