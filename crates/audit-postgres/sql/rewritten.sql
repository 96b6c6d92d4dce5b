-- Entries of a range whose present version was written by another transaction than the one that they name: the first $3 of
-- them. After a restore from a dump that is all of them, and says nothing.
SELECT
  entry.transaction_id AS id,
  header.movement_key,
  header.legs,
  header.livemode,
  event.event_id,
  header.trace_id,
  entry.leg,
  account.name AS account,
  entry.amount_minor,
  entry.currency,
  entry.livemode AS leg_livemode,
  TRUE AS later
FROM countersign.entry
LEFT JOIN countersign.transaction AS header ON header.id = entry.transaction_id
LEFT JOIN countersign.event ON event.id = header.event_row
LEFT JOIN countersign.account ON account.id = entry.account_id
WHERE entry.xid >= $1::BIGINT
  AND entry.xid < $2::BIGINT
  AND entry.xmin::TEXT::BIGINT <> mod(entry.xid - countersign.xid_offset(), 4294967296)
ORDER BY entry.id
LIMIT $3::BIGINT
