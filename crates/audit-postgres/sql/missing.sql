-- Messages that control totals list and no delivery row has, unless their event came again since: of the totals that are due
-- ($2 seconds). One index look-up for each; LIMIT keeps it from becoming a join of everything.
SELECT
  total.instance,
  total.window_number,
  total.closed_at,
  extract(EPOCH FROM now() - total.recorded_at)::BIGINT AS age_s,
  listed.sequence,
  listed.source,
  listed.event_id,
  count(*) OVER () AS total
FROM total
CROSS JOIN LATERAL unnest(total.sequences, total.sources, total.event_ids) AS listed (sequence, source, event_id)
LEFT JOIN LATERAL (
  SELECT TRUE AS there
  FROM countersign.delivery
  WHERE delivery.instance = total.instance AND delivery.sequence = listed.sequence
  LIMIT 1
) AS delivery ON TRUE
LEFT JOIN LATERAL (
  SELECT TRUE AS there
  FROM (
    SELECT delivery.received_at
    FROM countersign.event
    JOIN countersign.delivery ON delivery.event_row = event.id
    WHERE event.event_id = listed.event_id AND event.source = listed.source
    UNION ALL
    SELECT received_at
    FROM countersign.delivery
    WHERE event_row IS NULL AND event_id = listed.event_id AND source = listed.source
  ) AS again
  -- What had come before says nothing: the one that is missing may be evidence of other content under a used id.
  WHERE delivery.there IS NULL AND again.received_at > total.closed_at
  LIMIT 1
) AS again ON TRUE
WHERE total.recorded_at <= now() - make_interval(secs => $2::BIGINT)
  AND delivery.there IS NULL
  AND again.there IS NULL
ORDER BY total.closed_at, total.instance, listed.sequence
LIMIT $3::BIGINT
