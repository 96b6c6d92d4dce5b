SELECT
  livemode,
  currency,
  coalesce(sum(amount_minor) FILTER (WHERE amount_minor > 0), 0)::TEXT AS debits_minor,
  coalesce(-sum(amount_minor) FILTER (WHERE amount_minor < 0), 0)::TEXT AS credits_minor
FROM countersign.entry
WHERE xid >= $1::BIGINT
GROUP BY livemode, currency
