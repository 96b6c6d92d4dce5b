-- The auditor's own tables. What it seals is append-only like the books; what it works with (findings, alerts, marks) is not
-- evidence and may change.

INSERT INTO countersign.schema_version (version, min_reader) VALUES (2, 1);

-- ---------------------------------------------------------------------------------------------------------------------
-- Tables
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE countersign.checkpoint (
  height           BIGINT PRIMARY KEY CHECK (height >= 1),
  xid_lo           BIGINT NOT NULL CHECK (xid_lo >= 0),
  xid_hi           BIGINT NOT NULL,
  encoding_version SMALLINT NOT NULL,
  contents         JSONB NOT NULL,
  totals           JSONB NOT NULL,
  rows_total       BIGINT NOT NULL CHECK (rows_total >= 0),
  digest           BYTEA NOT NULL CHECK (octet_length(digest) = 32),
  previous_digest  BYTEA NOT NULL CHECK (octet_length(previous_digest) = 32),
  adopted          TEXT CHECK (adopted <> ''),
  sealed_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
  xid              BIGINT NOT NULL DEFAULT countersign.current_xid(),
  CONSTRAINT checkpoint_range CHECK (xid_lo < xid_hi),
  -- Only the first one and one that a person adopts begin at the beginning.
  CONSTRAINT checkpoint_beginning CHECK ((xid_lo = 0) = (height = 1 OR adopted IS NOT NULL))
);
COMMENT ON TABLE countersign.checkpoint IS
  'What the rows of the transactions xid_lo <= xid < xid_hi were when they were sealed: count and digest by table (contents), '
  'sums by livemode, account and currency up to there (totals), and the digest over all that and the checkpoint before.';

CREATE TABLE countersign.finding (
  id                 BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key                TEXT NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 1024),
  check_name         TEXT NOT NULL,
  severity           TEXT NOT NULL CHECK (severity IN ('critical', 'error', 'warning', 'info')),
  summary            TEXT NOT NULL,
  detail             JSONB NOT NULL,
  opened_at          TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  last_seen_at       TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  runs               BIGINT NOT NULL DEFAULT 1,
  resolved_at        TIMESTAMPTZ,
  acknowledged_at    TIMESTAMPTZ,
  acknowledged_by    TEXT,
  acknowledge_reason TEXT,
  CONSTRAINT finding_acknowledged CHECK (num_nonnulls(acknowledged_at, acknowledged_by, acknowledge_reason) IN (0, 3))
);
COMMENT ON TABLE countersign.finding IS
  'What is wrong, or was: one row from when a run first sees it until a run sees that it has healed, however many runs.';
CREATE UNIQUE INDEX finding_open ON countersign.finding (key) WHERE resolved_at IS NULL;

CREATE TABLE countersign.audit_mark (
  name       TEXT PRIMARY KEY,
  reached_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE countersign.audit_mark IS
  'Up to when an incremental run need not look again. A full run looks at everything, whatever stands here.';

CREATE TABLE countersign.audit_request (
  key          TEXT PRIMARY KEY CHECK (octet_length(key) BETWEEN 1 AND 128),
  body_digest  BYTEA NOT NULL CHECK (octet_length(body_digest) = 32),
  requested_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  answer       TEXT
);
COMMENT ON TABLE countersign.audit_request IS
  'Audits that were asked for by POST /audit, by their Idempotency-Key: what was answered is answered again. NULL: under way.';

CREATE TABLE countersign.source_hour (
  source TEXT NOT NULL,
  hour   TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (source, hour)
);
COMMENT ON TABLE countersign.source_hour IS
  'The hours in which a source delivered, as runs have seen them pass: whether it has gone quiet.';

CREATE TABLE countersign.alert (
  id              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  finding_key     TEXT NOT NULL CHECK (octet_length(finding_key) BETWEEN 1 AND 1024),
  route           TEXT NOT NULL CHECK (octet_length(route) BETWEEN 1 AND 128),
  dedup_key       TEXT NOT NULL CHECK (octet_length(dedup_key) BETWEEN 1 AND 255),
  action          TEXT NOT NULL CHECK (action IN ('trigger', 'resolve')),
  state           TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'failed')),
  content         JSONB NOT NULL,
  attempts        INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  notifications   INTEGER NOT NULL DEFAULT 0 CHECK (notifications >= 0),
  next_attempt_at TIMESTAMPTZ,
  opened_at       TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  notified_at     TIMESTAMPTZ,
  resolved_at     TIMESTAMPTZ,
  claim           BIGINT,
  last_failure    TEXT CHECK (octet_length(last_failure) <= 200),
  delivered_at    TIMESTAMPTZ,
  undelivered_at  TIMESTAMPTZ,
  CONSTRAINT alert_once UNIQUE (finding_key, route),
  CONSTRAINT alert_resolved CHECK ((action = 'resolve') = (resolved_at IS NOT NULL)),
  CONSTRAINT alert_pending_is_due CHECK (state <> 'pending' OR next_attempt_at IS NOT NULL)
);
COMMENT ON TABLE countersign.alert IS
  'The auditor''s outbox and working table: what each route was told, or is to be told, about each finding. One row for
   both, reused when a finding comes back. next_attempt_at is when the row is due again (attempt, reminder), NULL never. When an
   attempt was last delivered and when one last was not are never reset: the later one says whether the route works.';

CREATE INDEX alert_due ON countersign.alert (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

-- A working table: no append_only trigger, no xid column. Rows are never deleted.
GRANT SELECT, INSERT, UPDATE ON countersign.alert TO countersign_auditor;
GRANT SELECT ON countersign.alert TO countersign_operator;

-- What the checks look up by time.
CREATE INDEX delivery_refused ON countersign.delivery (received_at) WHERE outcome = 'refused';
CREATE INDEX delivery_recorded ON countersign.delivery USING brin (recorded_at) WITH (autosummarize = on);
CREATE INDEX control_total_recorded ON countersign.control_total USING brin (recorded_at) WITH (autosummarize = on);
CREATE INDEX refusal_count_minute ON countersign.refusal_count USING brin (minute) WITH (autosummarize = on);
CREATE INDEX checkpoint_xid ON countersign.checkpoint USING brin (xid) WITH (autosummarize = on);
CREATE INDEX checkpoint_adopted ON countersign.checkpoint (height) WHERE adopted IS NOT NULL;

-- ---------------------------------------------------------------------------------------------------------------------
-- Guards
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON countersign.checkpoint
  FOR EACH STATEMENT EXECUTE FUNCTION countersign.refuse_change();
ALTER TABLE countersign.checkpoint ENABLE ALWAYS TRIGGER append_only;

-- A database that was restored from a dump counts transactions from the start again, below what is sealed. The last number
-- that any row has is carried on; nothing happens where numbers already are beyond it. Answers whether it did.
CREATE FUNCTION countersign.carry_on_xids() RETURNS BOOLEAN
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  reached CONSTANT BIGINT := greatest(
    (SELECT max(xid_hi) FROM countersign.checkpoint),
    (SELECT max(xid) + 1 FROM countersign.entry),
    (SELECT max(xid) + 1 FROM countersign.event),
    (SELECT max(xid) + 1 FROM countersign.delivery),
    (SELECT max(xid) + 1 FROM countersign.audit_run));
BEGIN
  IF reached IS NULL OR countersign.current_xid() >= reached THEN
    RETURN FALSE;
  END IF;
  INSERT INTO countersign.xid_offset (total)
  VALUES (countersign.xid_offset() + reached - countersign.current_xid() + 1);
  RETURN TRUE;
END
$$;

-- ---------------------------------------------------------------------------------------------------------------------
-- Privileges
-- ---------------------------------------------------------------------------------------------------------------------

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA countersign FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA countersign FROM PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA countersign TO countersign_auditor, countersign_operator;
GRANT INSERT (
  height, xid_lo, xid_hi, encoding_version, contents, totals, rows_total, digest, previous_digest, adopted
) ON countersign.checkpoint TO countersign_auditor;
GRANT INSERT (key, check_name, severity, summary, detail) ON countersign.finding TO countersign_auditor;
GRANT UPDATE (severity, summary, detail, last_seen_at, runs, resolved_at) ON countersign.finding TO countersign_auditor;
GRANT UPDATE (acknowledged_at, acknowledged_by, acknowledge_reason) ON countersign.finding TO countersign_operator;
GRANT INSERT, UPDATE ON countersign.audit_mark TO countersign_auditor;
GRANT INSERT, DELETE ON countersign.source_hour TO countersign_auditor;
GRANT INSERT, UPDATE, DELETE ON countersign.audit_request TO countersign_auditor;
GRANT EXECUTE ON FUNCTION countersign.carry_on_xids() TO countersign_auditor;
