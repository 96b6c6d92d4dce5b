-- Put before a statement instead of horizon.sql: the transactions that something new ($1, a transaction number) belongs to,
-- with all their legs, however old. LATERAL with OFFSET keeps the planner at the index: it cannot know how few they are.
WITH touched AS MATERIALIZED (
  SELECT transaction_id AS id FROM countersign.entry WHERE xid >= $1::BIGINT
  UNION
  SELECT id FROM countersign.transaction WHERE xid >= $1::BIGINT
),
seen_transaction AS MATERIALIZED (
  SELECT header.*
  FROM touched
  CROSS JOIN LATERAL (SELECT * FROM countersign.transaction WHERE transaction.id = touched.id OFFSET 0) AS header
),
seen_entry AS MATERIALIZED (
  SELECT leg.*
  FROM touched
  CROSS JOIN LATERAL (
    SELECT *, xmin AS tuple_xmin FROM countersign.entry WHERE entry.transaction_id = touched.id OFFSET 0
  ) AS leg
)
