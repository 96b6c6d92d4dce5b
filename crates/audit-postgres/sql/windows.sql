-- Windows that are not there though the one after them is: of the totals that are due.
SELECT
  total.instance,
  total.window_number - 1 AS window_number,
  total.closed_at,
  extract(EPOCH FROM now() - total.recorded_at)::BIGINT AS age_s,
  count(*) OVER () AS total
FROM total
LEFT JOIN LATERAL (
  SELECT TRUE AS there
  FROM countersign.control_total AS before
  WHERE before.instance = total.instance AND before.window_number = total.window_number - 1
  LIMIT 1
) AS before ON TRUE
WHERE total.recorded_at <= now() - make_interval(secs => $2::BIGINT)
  AND total.window_number > 1
  AND before.there IS NULL
ORDER BY total.closed_at, total.instance
LIMIT $3::BIGINT
