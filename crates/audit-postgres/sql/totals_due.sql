-- The control totals that a run looks at: those recorded after $1 (NULL: all), and those about which a finding stands open
-- that nobody has acknowledged. A window that is missing shows in the one after it.
WITH missed AS (
  SELECT DISTINCT
    detail #>> '{delivery,instance}' AS instance,
    (detail #>> '{delivery,window}')::BIGINT + (detail -> 'faults' ? 'window-missing')::INTEGER AS window_number
  FROM countersign.finding
  WHERE check_name = 'completeness'
    AND resolved_at IS NULL
    AND acknowledged_at IS NULL
    AND NOT detail -> 'faults' ? 'instance-silent'
),
total AS (
  SELECT *
  FROM countersign.control_total
  WHERE recorded_at > coalesce($1::TIMESTAMPTZ, '-infinity')
  UNION ALL
  SELECT earlier.*
  FROM missed
  JOIN countersign.control_total AS earlier USING (instance, window_number)
  WHERE earlier.recorded_at <= $1::TIMESTAMPTZ
)
