-- What was refused of authentic senders in the last hour and in the week before: each event once; what has no id, by number.
WITH refused AS (
  SELECT source, event_id, reason, min(received_at) AS at, 1::BIGINT AS count
  FROM countersign.delivery
  WHERE outcome = 'refused'
    AND reason IN ('event-too-old', 'event-wrong-mode', 'event-id-reused')
    AND received_at > now() - INTERVAL '7 days 1 hour' AND source IS NOT NULL
  GROUP BY source, event_id, reason
  UNION ALL
  SELECT source, NULL, reason, minute, count
  FROM countersign.refusal_count
  WHERE minute > now() - INTERVAL '7 days 1 hour' AND reason IN ('signature-expired', 'signature-from-future')
)
SELECT
  source,
  coalesce(sum(count) FILTER (WHERE at > now() - INTERVAL '1 hour'), 0)::BIGINT AS last_hour,
  coalesce(sum(count) FILTER (WHERE at <= now() - INTERVAL '1 hour'), 0)::BIGINT AS week_before
FROM refused
GROUP BY source
ORDER BY source
