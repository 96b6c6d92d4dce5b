-- The references that a full run looks at: all. The parameters are those of the other prelude.
WITH RECURSIVE moved AS (
  SELECT transaction.*, coalesce(settles, object_id) AS reference
  FROM countersign.transaction
  WHERE $2::TIMESTAMPTZ IS NULL
),
