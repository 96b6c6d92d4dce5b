-- Put before every statement: the rows that a run sees. A run under way sees its own snapshot ($1 is NULL); one that is
-- repeated sees what the recorded snapshot saw. Stored xids carry the offset that the cluster had then ($2); rows of an
-- earlier cluster come out below the first xid, 3, and are visible.
WITH seen_transaction AS NOT MATERIALIZED (
  SELECT *
  FROM countersign.transaction
  WHERE CASE
    WHEN $1::TEXT IS NULL THEN TRUE
    ELSE pg_visible_in_snapshot(greatest(xid - $2::BIGINT, 3)::TEXT::xid8, $1::TEXT::pg_snapshot)
  END
),
seen_entry AS NOT MATERIALIZED (
  SELECT *, xmin AS tuple_xmin
  FROM countersign.entry
  WHERE CASE
    WHEN $1::TEXT IS NULL THEN TRUE
    ELSE pg_visible_in_snapshot(greatest(xid - $2::BIGINT, 3)::TEXT::xid8, $1::TEXT::pg_snapshot)
  END
)
