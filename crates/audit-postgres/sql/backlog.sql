-- What has waited for a person for $1 seconds, with the money that it shows.
SELECT
  'events' AS waiting,
  event.source,
  event.livemode,
  standing.reason,
  event.object_currency AS currency,
  sum(event.object_amount)::TEXT AS amount_minor,
  count(*) AS count,
  (array_agg(event.event_id ORDER BY standing.since, event.id))[1] AS event_id,
  min(standing.since) AS since,
  extract(EPOCH FROM now() - min(standing.since))::BIGINT AS age_s
FROM countersign.event
JOIN countersign.event_standing AS standing ON standing.event_row = event.id
WHERE event.outcome = 'parked'
  AND standing.status = 'parked'
  AND standing.since <= now() - make_interval(secs => $1::BIGINT)
GROUP BY event.source, event.livemode, standing.reason, event.object_currency
UNION ALL
SELECT
  'evidence',
  source,
  NULL,
  reason,
  NULL,
  NULL,
  count(*),
  (array_agg(event_id ORDER BY recorded_at, delivery_row))[1],
  min(recorded_at),
  extract(EPOCH FROM now() - min(recorded_at))::BIGINT
FROM countersign.evidence_undecided
WHERE recorded_at <= now() - make_interval(secs => $1::BIGINT)
GROUP BY source, reason
ORDER BY since
