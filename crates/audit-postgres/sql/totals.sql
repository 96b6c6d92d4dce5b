SELECT
  livemode,
  currency,
  coalesce(sum(amount_minor) FILTER (WHERE amount_minor > 0), 0)::TEXT AS debits_minor,
  coalesce(-sum(amount_minor) FILTER (WHERE amount_minor < 0), 0)::TEXT AS credits_minor
FROM seen_entry
GROUP BY livemode, currency
ORDER BY livemode, currency
