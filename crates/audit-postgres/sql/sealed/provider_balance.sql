SELECT
  xid,
  id,
  provider,
  provider_account,
  livemode,
  currency,
  amount_minor,
  at,
  reason,
  operator,
  recorded_at
FROM countersign.provider_balance
WHERE xid >= $1 AND xid < $2
ORDER BY xid, id
