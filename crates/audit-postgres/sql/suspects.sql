, facts AS (
  SELECT
    transaction_id,
    count(*) AS legs,
    min(leg) AS first,
    max(leg) AS last,
    sum(leg) AS numbers,
    bool_and(livemode) AS all_live,
    bool_or(livemode) AS some_live,
    sum(amount_minor) <> 0 AS off,
    min(currency COLLATE "C") <> max(currency COLLATE "C") AS several_currencies
  FROM seen_entry
  GROUP BY transaction_id
),
suspect AS MATERIALIZED (
  SELECT coalesce(header.id, facts.transaction_id) AS id, count(*) OVER () AS total
  FROM seen_transaction AS header
  FULL JOIN facts ON facts.transaction_id = header.id
  WHERE header.id IS NULL
    OR facts.transaction_id IS NULL
    OR header.legs < 2
    OR facts.off
    OR facts.legs <> header.legs
    OR facts.first <> 1
    OR facts.last <> header.legs
    OR facts.numbers * 2 <> facts.legs * (facts.legs + 1)
    OR facts.all_live <> header.livemode
    OR facts.some_live <> header.livemode
    OR (facts.several_currencies AND EXISTS (
      SELECT FROM seen_entry
      WHERE seen_entry.transaction_id = facts.transaction_id
      GROUP BY currency
      HAVING sum(amount_minor) <> 0))
  ORDER BY id
  LIMIT $3::BIGINT
)
SELECT
  suspect.id,
  suspect.total,
  header.movement_key,
  header.legs,
  header.livemode,
  event.event_id,
  header.trace_id,
  leg.leg,
  account.name AS account,
  leg.amount_minor,
  leg.currency,
  leg.livemode AS leg_livemode,
  -- A transaction's legs are inserted together; a row that is younger than its oldest sibling was added or edited.
  age(leg.tuple_xmin) < max(age(leg.tuple_xmin)) OVER (PARTITION BY suspect.id) AS later
FROM suspect
LEFT JOIN seen_transaction AS header ON header.id = suspect.id
LEFT JOIN countersign.event ON event.id = header.event_row
LEFT JOIN seen_entry AS leg ON leg.transaction_id = suspect.id
LEFT JOIN countersign.account ON account.id = leg.account_id
ORDER BY suspect.id, leg.leg, leg.id
