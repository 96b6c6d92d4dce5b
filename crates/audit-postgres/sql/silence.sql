-- When each source last delivered, and on how many of the seven days up to then: from what runs have noted and what came with
-- transaction number $1 or later.
WITH hours AS (
  SELECT source, hour FROM countersign.source_hour
  UNION
  SELECT source, date_trunc('hour', received_at, 'UTC')
  FROM countersign.delivery
  WHERE xid >= $1::BIGINT AND source IS NOT NULL
),
last AS (
  SELECT source, max(hour) AS hour FROM hours WHERE hour <= now() GROUP BY source
)
SELECT
  last.source,
  last.hour AS last_at,
  extract(EPOCH FROM now() - last.hour - INTERVAL '1 hour')::BIGINT AS quiet_s,
  count(DISTINCT date_trunc('day', hours.hour, 'UTC')) AS days
FROM last
JOIN hours ON hours.source = last.source AND hours.hour <= last.hour AND hours.hour > last.hour - INTERVAL '7 days'
GROUP BY last.source, last.hour
ORDER BY last.source
