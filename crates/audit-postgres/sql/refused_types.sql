-- Event types of which at least $1 were refused within a day, and how many of them came.
SELECT refused.source, refused.event_type, refused.count AS refused, delivered.count AS delivered
FROM (
  SELECT source, event_type, count(DISTINCT event_id) AS count
  FROM countersign.delivery
  WHERE outcome = 'refused'
    AND reason IN ('event-too-old', 'event-wrong-mode', 'event-id-reused')
    AND received_at > now() - INTERVAL '1 day' AND source IS NOT NULL AND event_type IS NOT NULL
  GROUP BY source, event_type
  HAVING count(DISTINCT event_id) >= $1::BIGINT
) AS refused
CROSS JOIN LATERAL (
  SELECT count(DISTINCT event_id) AS count
  FROM countersign.delivery
  WHERE delivery.source = refused.source
    AND delivery.event_type = refused.event_type
    AND delivery.recorded_at > now() - INTERVAL '25 hours'
    AND delivery.received_at > now() - INTERVAL '1 day'
) AS delivered
ORDER BY refused.source, refused.event_type
