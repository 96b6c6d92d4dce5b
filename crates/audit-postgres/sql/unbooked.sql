-- Messages that control totals list and no delivery row has: of the totals that came with transaction number $1 or later, and
-- within $2 seconds; and the transaction number of the first such total.
SELECT
  count(*) AS count,
  coalesce(extract(EPOCH FROM now() - min(total.recorded_at)), 0)::BIGINT AS age_s,
  min(total.xid) AS first
FROM countersign.control_total AS total
CROSS JOIN LATERAL unnest(total.sequences) AS listed (sequence)
LEFT JOIN LATERAL (
  SELECT TRUE AS there
  FROM countersign.delivery
  WHERE delivery.instance = total.instance AND delivery.sequence = listed.sequence
  LIMIT 1
) AS delivery ON TRUE
WHERE total.xid >= $1::BIGINT
  AND total.recorded_at > now() - make_interval(secs => $2::BIGINT)
  AND delivery.there IS NULL
