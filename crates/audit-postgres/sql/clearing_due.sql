-- The references that an incremental run looks at: what has come due since the last run, and what stands open. $1: the limit in
-- seconds, $2: how far the last run came, $3: how many are listed.
WITH RECURSIVE moved AS (
  SELECT transaction.*, due.reference
  FROM (
    SELECT provider, provider_account, livemode, object_id AS reference
    FROM countersign.transaction
    WHERE recorded_at > $2::TIMESTAMPTZ
      AND recorded_at <= now() - make_interval(secs => $1::BIGINT)
      AND kind <> 'settlement'
    UNION
    SELECT
      detail #>> '{money,provider}',
      detail #>> '{money,provider_account}',
      (detail ->> 'livemode')::BOOLEAN,
      detail #>> '{money,object_id}'
    FROM countersign.finding
    WHERE check_name = 'clearing' AND resolved_at IS NULL
  ) AS due
  JOIN countersign.transaction
    ON coalesce(transaction.settles, transaction.object_id) = due.reference
    AND transaction.provider = due.provider
    AND transaction.provider_account = due.provider_account
    AND transaction.livemode = due.livemode
),
