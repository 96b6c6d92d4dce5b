-- The last total of every ingress that has not said its last word, if it is older than $1 seconds and younger than $2. From
-- one instance to the next by the index: one look-up each, however many totals they have.
WITH RECURSIVE instances AS (
  SELECT min(instance) AS instance FROM countersign.control_total
  UNION ALL
  SELECT (SELECT min(instance) FROM countersign.control_total AS next WHERE next.instance > instances.instance)
  FROM instances
  WHERE instances.instance IS NOT NULL
)
SELECT
  last.instance,
  last.window_number,
  last.closed_at,
  extract(EPOCH FROM now() - last.recorded_at)::BIGINT AS age_s
FROM instances
CROSS JOIN LATERAL (
  SELECT *
  FROM countersign.control_total AS total
  WHERE total.instance = instances.instance
  ORDER BY total.window_number DESC
  LIMIT 1
) AS last
WHERE NOT last.final
  AND last.recorded_at <= now() - make_interval(secs => $1::BIGINT)
  AND last.recorded_at > now() - make_interval(secs => $2::BIGINT)
ORDER BY last.closed_at
