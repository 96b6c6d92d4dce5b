-- The last figure of a provider for each of its books, and what the books say about that instant. $1: only figures that came
-- later than that, or that a finding stands open about; all if it is NULL.
WITH stated AS (
  SELECT DISTINCT ON (provider, provider_account, livemode, currency) *
  FROM countersign.provider_balance
  ORDER BY provider, provider_account, livemode, currency, at DESC, id DESC
)
SELECT
  stated.provider,
  stated.provider_account,
  stated.livemode,
  stated.currency,
  stated.amount_minor::TEXT AS stated_minor,
  booked.amount_minor::TEXT AS booked_minor,
  'assets:' || stated.provider || ':balance' AS account,
  stated.at
FROM stated
CROSS JOIN LATERAL (
  SELECT coalesce(sum(entry.amount_minor), 0) AS amount_minor
  FROM countersign.entry
  JOIN countersign.account ON account.id = entry.account_id
  JOIN countersign.transaction ON transaction.id = entry.transaction_id
  WHERE account.name = 'assets:' || stated.provider || ':balance'
    AND entry.currency = stated.currency
    AND transaction.provider = stated.provider
    AND transaction.provider_account = stated.provider_account
    AND transaction.livemode = stated.livemode
    AND transaction.occurred_at <= stated.at
) AS booked
WHERE $1::TIMESTAMPTZ IS NULL
  OR stated.recorded_at > $1::TIMESTAMPTZ
  OR EXISTS (
    SELECT
    FROM countersign.finding
    WHERE check_name = 'provider-balance'
      AND resolved_at IS NULL
      AND detail #>> '{money,provider}' = stated.provider
      AND detail #>> '{money,provider_account}' = stated.provider_account
      AND (detail ->> 'livemode')::BOOLEAN = stated.livemode
      AND detail ->> 'currency' = stated.currency
  )
ORDER BY stated.provider, stated.provider_account, stated.livemode, stated.currency
