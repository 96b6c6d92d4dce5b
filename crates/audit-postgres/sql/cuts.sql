-- The consecutive parts of all rows that are `written`, of about $3 rows each.
SELECT max(xid) + 1 AS xid_hi, sum(rows)::BIGINT AS rows
FROM (
  SELECT xid, sum(rows) AS rows, (sum(sum(rows)) OVER (ORDER BY xid) - 1)::BIGINT / $3::BIGINT AS part
  FROM written
  GROUP BY xid
) AS parted
GROUP BY part
ORDER BY part
