-- From when on an incremental run looks at control totals: where the last one ended, or where the oldest thing is missing
-- that nobody has acknowledged.
SELECT least(
  (SELECT reached_at FROM countersign.audit_mark WHERE name = 'completeness'),
  (
    SELECT min(total.recorded_at) - INTERVAL '1 microsecond'
    FROM countersign.finding
    JOIN countersign.control_total AS total
      ON total.instance = finding.detail #>> '{delivery,instance}'
      AND total.window_number IN (
        (finding.detail #>> '{delivery,window}')::BIGINT,
        (finding.detail #>> '{delivery,window}')::BIGINT + 1)
    WHERE finding.check_name = 'completeness'
      AND finding.resolved_at IS NULL
      AND finding.acknowledged_at IS NULL
      AND NOT finding.detail -> 'faults' ? 'instance-silent'
  ))
