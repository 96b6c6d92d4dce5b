-- What belongs to nothing or is there twice, of all that came with transaction number $1 or later.
WITH booked AS (
  SELECT id FROM countersign.event WHERE xid >= $1::BIGINT AND outcome = 'booked'
  UNION
  SELECT event_row FROM countersign.event_status WHERE xid >= $1::BIGINT AND status = 'booked'
),
uncovered AS (
  SELECT
    'event' AS kind,
    event.id,
    NULL AS movement_key,
    event.livemode,
    event.source,
    event.event_id,
    event.trace_id,
    event.object_amount,
    event.object_currency
  FROM booked
  JOIN countersign.event ON event.id = booked.id
  WHERE NOT EXISTS (
    SELECT
    FROM countersign.event_transaction AS link
    JOIN countersign.transaction ON transaction.id = link.transaction_id
    WHERE link.event_row = event.id AND link.role IN ('first', 'describer'))
  UNION ALL
  SELECT
    'transaction',
    header.id,
    header.movement_key,
    header.livemode,
    header.source,
    event.event_id,
    header.trace_id,
    NULL,
    NULL
  FROM countersign.transaction AS header
  LEFT JOIN countersign.event ON event.id = header.event_row
  WHERE header.xid >= $1::BIGINT
    AND (
      event.id IS NULL
      OR NOT EXISTS (
        SELECT
        FROM countersign.event_transaction AS link
        WHERE link.transaction_id = header.id AND link.event_row = header.event_row AND link.role = 'first')
      OR (event.outcome <> 'booked' AND NOT EXISTS (
        SELECT FROM countersign.event_status WHERE event_status.event_row = event.id AND event_status.status = 'booked')))
  UNION ALL
  SELECT
    'twice',
    header.id,
    header.movement_key,
    header.livemode,
    header.source,
    event.event_id,
    header.trace_id,
    NULL,
    NULL
  FROM countersign.transaction AS header
  LEFT JOIN countersign.event ON event.id = header.event_row
  WHERE header.xid >= $1::BIGINT
    AND EXISTS (
      SELECT
      FROM countersign.transaction AS older
      WHERE older.movement_key = header.movement_key AND older.id < header.id)
)
SELECT
  uncovered.kind,
  uncovered.id,
  uncovered.movement_key,
  uncovered.livemode,
  uncovered.source,
  uncovered.event_id,
  uncovered.trace_id,
  coalesce(debits.amount, uncovered.object_amount)::TEXT AS amount_minor,
  coalesce(debits.currency, uncovered.object_currency) AS currency,
  uncovered.total
FROM (SELECT *, count(*) OVER () AS total FROM uncovered ORDER BY kind, id LIMIT $2::BIGINT) AS uncovered
LEFT JOIN LATERAL (
  SELECT min(currency) AS currency, sum(amount_minor) AS amount
  FROM countersign.entry
  WHERE entry.transaction_id = uncovered.id AND uncovered.kind <> 'event' AND amount_minor > 0
  HAVING count(DISTINCT currency) = 1
) AS debits ON TRUE
ORDER BY uncovered.kind, uncovered.id
