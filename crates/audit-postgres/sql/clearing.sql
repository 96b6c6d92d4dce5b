-- The books whose settlements are imported, and since when: one step through the index for each.
book AS (
  (
    SELECT provider, provider_account, livemode, occurred_at AS since
    FROM countersign.transaction
    WHERE settles IS NOT NULL
    ORDER BY provider, provider_account, livemode, occurred_at
    LIMIT 1
  )
  UNION ALL
  SELECT next.*
  FROM book
  CROSS JOIN LATERAL (
    SELECT provider, provider_account, livemode, occurred_at
    FROM countersign.transaction
    WHERE settles IS NOT NULL
      AND (provider, provider_account, livemode) > (book.provider, book.provider_account, book.livemode)
    ORDER BY provider, provider_account, livemode, occurred_at
    LIMIT 1
  ) AS next
),
-- What stands in clearing under each reference, by currency; `first`: what announced it. Of all books, if one imports at
-- all: with `book` joined here, the planner expects a few rows and reads every entry by its index.
standing AS (
  SELECT
    moved.provider,
    moved.provider_account,
    moved.livemode,
    moved.reference,
    entry.currency,
    coalesce(sum(entry.amount_minor) FILTER (WHERE moved.settles IS NULL), 0) AS announced,
    coalesce(sum(entry.amount_minor) FILTER (WHERE moved.settles IS NOT NULL), 0) AS settled,
    min(moved.id) FILTER (WHERE moved.settles IS NULL) AS first,
    min(moved.occurred_at) FILTER (WHERE moved.settles IS NULL) AS occurred_at
  FROM moved
  JOIN countersign.entry ON entry.transaction_id = moved.id
  JOIN countersign.account ON account.id = entry.account_id AND account.name = 'assets:' || moved.provider || ':clearing'
  WHERE EXISTS (SELECT FROM book) AND (moved.settles IS NOT NULL OR moved.kind <> 'settlement')
  GROUP BY moved.reference, entry.currency, moved.provider, moved.provider_account, moved.livemode
),
-- As `audit` judges: nothing that it would object to is left out. What is told of on the first day of an import may have been
-- settled just before it.
open AS (
  SELECT standing.*
  FROM standing
  JOIN book USING (provider, provider_account, livemode)
  WHERE standing.occurred_at >= book.since + INTERVAL '1 day'
    AND sign(standing.announced + standing.settled) = sign(standing.announced)
    AND standing.announced <> 0
)
SELECT
  open.provider,
  open.provider_account,
  open.livemode,
  open.reference,
  open.currency,
  open.announced::TEXT AS announced_minor,
  open.settled::TEXT AS settled_minor,
  elsewhere.settled AS settled_elsewhere,
  'assets:' || open.provider || ':clearing' AS account,
  header.source,
  event.event_id,
  header.trace_id,
  header.recorded_at AS since,
  extract(EPOCH FROM now() - header.recorded_at)::BIGINT AS age_s,
  count(*) FILTER (WHERE NOT elsewhere.settled) OVER () AS total
FROM open
JOIN countersign.transaction AS header ON header.id = open.first
LEFT JOIN countersign.event ON event.id = header.event_row
CROSS JOIN LATERAL (
  SELECT EXISTS (
    SELECT
    FROM countersign.transaction AS other
    JOIN countersign.entry ON entry.transaction_id = other.id AND entry.currency <> open.currency
    JOIN countersign.account ON account.id = entry.account_id AND account.name = 'assets:' || open.provider || ':clearing'
    WHERE coalesce(other.settles, other.object_id) = open.reference
      AND other.settles IS NOT NULL
      AND other.provider = open.provider
      AND other.provider_account = open.provider_account
      AND other.livemode = open.livemode
  ) AS settled
) AS elsewhere
WHERE header.recorded_at <= now() - make_interval(secs => $1::BIGINT)
ORDER BY elsewhere.settled, header.recorded_at, header.id, open.currency
LIMIT $3::BIGINT
