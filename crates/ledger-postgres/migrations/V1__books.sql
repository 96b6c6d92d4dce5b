-- The books. Run as countersign_owner, who owns everything here and whom no service is.
--
-- Nothing in the books is ever updated or deleted. Amounts are minor units, positive = debit, negative = credit.

-- ---------------------------------------------------------------------------------------------------------------------
-- What schema this is
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE countersign.schema_version (
  version    INTEGER PRIMARY KEY,
  min_reader INTEGER NOT NULL CHECK (min_reader <= version),
  applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
COMMENT ON TABLE countersign.schema_version IS
  'One row per migration. A service refuses a schema whose greatest min_reader exceeds the version it was built for.';
INSERT INTO countersign.schema_version (version, min_reader) VALUES (1, 1);

-- ---------------------------------------------------------------------------------------------------------------------
-- The writing transaction's number, for whoever reads what is new
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE countersign.xid_offset (
  id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  total       BIGINT NOT NULL CHECK (total >= 0),
  recorded_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
COMMENT ON TABLE countersign.xid_offset IS
  'A cluster that is restored from a dump counts transactions from the start again; the last row carries on the old count.';
INSERT INTO countersign.xid_offset (total) VALUES (0);

-- The last total as a constant, which the planner writes into every plan: it is asked for once per row. The trigger below
-- replaces it, which invalidates the plans that running sessions keep; were it IMMUTABLE, they would keep the old value.
CREATE FUNCTION countersign.xid_offset() RETURNS BIGINT LANGUAGE sql STABLE RETURN 0;

CREATE FUNCTION countersign.current_xid() RETURNS BIGINT
  LANGUAGE sql STABLE
  RETURN pg_current_xact_id()::TEXT::BIGINT + countersign.xid_offset();
COMMENT ON FUNCTION countersign.current_xid() IS
  'The default of every xid column. Services may not write the column, so they cannot claim another transaction''s number.';

CREATE FUNCTION countersign.apply_xid_offset() RETURNS TRIGGER
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NEW.total < (SELECT max(total) FROM countersign.xid_offset) THEN
    RAISE EXCEPTION USING
      ERRCODE = '23514',
      MESSAGE = 'transaction numbers only grow',
      SCHEMA = TG_TABLE_SCHEMA,
      TABLE = TG_TABLE_NAME,
      CONSTRAINT = 'xid_offset_grows';
  END IF;
  EXECUTE format(
    'CREATE OR REPLACE FUNCTION countersign.xid_offset() RETURNS BIGINT LANGUAGE sql STABLE RETURN %s', NEW.total);
  RETURN NULL;
END
$$;
CREATE TRIGGER apply_xid_offset AFTER INSERT ON countersign.xid_offset
  FOR EACH ROW EXECUTE FUNCTION countersign.apply_xid_offset();
ALTER TABLE countersign.xid_offset ENABLE ALWAYS TRIGGER apply_xid_offset;

-- ---------------------------------------------------------------------------------------------------------------------
-- Tables
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE countersign.account (
  id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name        TEXT NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9-]+(:[a-z0-9-]+)*$' AND length(name) <= 128),
  recorded_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  xid         BIGINT NOT NULL DEFAULT countersign.current_xid()
);

CREATE TABLE countersign.source (
  name        TEXT PRIMARY KEY,
  provider    TEXT NOT NULL,
  own_account TEXT NOT NULL,
  recorded_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  xid         BIGINT NOT NULL DEFAULT countersign.current_xid()
);
COMMENT ON TABLE countersign.source IS
  'What the books know of each source since its first start. An event of another own account is parked as misconfigured.';

CREATE TABLE countersign.event (
  id                  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source              TEXT NOT NULL,
  provider            TEXT NOT NULL,
  provider_account    TEXT NOT NULL,
  livemode            BOOLEAN NOT NULL,
  event_id            TEXT NOT NULL,
  event_type          TEXT NOT NULL,
  object_id           TEXT,
  object_amount       BIGINT,
  object_currency     TEXT,
  own_account         TEXT NOT NULL,
  occurred_at         TIMESTAMPTZ NOT NULL,
  fingerprint         BYTEA NOT NULL CHECK (octet_length(fingerprint) = 32),
  fingerprint_version SMALLINT NOT NULL,
  payload             TEXT NOT NULL,
  keep_list_version   INTEGER NOT NULL,
  outcome             TEXT NOT NULL,
  reason              TEXT,
  trace_id            TEXT,
  recorded_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
  xid                 BIGINT NOT NULL DEFAULT countersign.current_xid(),
  -- The id first: people look events up by nothing else.
  CONSTRAINT event_once UNIQUE (event_id, source, provider_account, livemode),
  CONSTRAINT event_outcome CHECK (outcome IN ('booked', 'ignored', 'parked')),
  -- The reasons of each outcome: ledger::Reason, compared by a test.
  CONSTRAINT event_reason CHECK (
    CASE outcome
      WHEN 'booked' THEN reason IS NULL
      WHEN 'ignored' THEN reason IS NOT NULL AND reason IN (
        'moves-no-money', 'described-elsewhere', 'nothing-moved-yet', 'unknown-type', 'connected-account')
      WHEN 'parked' THEN reason IS NOT NULL AND reason IN (
        'unknown-money', 'event-too-old', 'event-wrong-mode', 'amount-unreadable', 'currency-unknown',
        'object-unreadable', 'list-truncated', 'multicapture', 'thin-event', 'misconfigured', 'movement-conflict',
        'event-id-reused', 'payload-invalid', 'undecodable', 'dead-lettered', 'refused-by-books', 'processing-panicked')
    END
  ),
  CONSTRAINT event_object_amount CHECK ((object_amount IS NULL) = (object_currency IS NULL)),
  CONSTRAINT event_object_currency CHECK (object_currency ~ '^[A-Z]{3}$')
);
COMMENT ON TABLE countersign.event IS
  'What the ids agree on: one row per event, with what its first processing found. Payload is the minimised JSON.';
COMMENT ON COLUMN countersign.event.object_amount IS
  'What the object shows, whether or not it was booked: what is at stake while the event is parked.';
CREATE INDEX event_parked ON countersign.event (id) WHERE outcome = 'parked';
CREATE INDEX event_object ON countersign.event (object_id) WHERE object_id IS NOT NULL;

CREATE TABLE countersign.delivery (
  id                  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  instance            TEXT NOT NULL,
  sequence            BIGINT NOT NULL,
  source              TEXT,
  provider_account    TEXT,
  livemode            BOOLEAN,
  event_id            TEXT,
  event_type          TEXT,
  event_row           BIGINT REFERENCES countersign.event (id),
  outcome             TEXT NOT NULL,
  reason              TEXT,
  evidence            BYTEA,
  -- Of the event that the evidence holds, if it holds one.
  fingerprint         BYTEA CHECK (octet_length(fingerprint) = 32),
  fingerprint_version SMALLINT,
  broker_history      TEXT,
  replay_checked      BOOLEAN NOT NULL,
  trace_id            TEXT,
  received_at         TIMESTAMPTZ NOT NULL,
  recorded_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
  xid                 BIGINT NOT NULL DEFAULT countersign.current_xid(),
  CONSTRAINT delivery_once UNIQUE (instance, sequence),
  CONSTRAINT delivery_outcome CHECK (outcome IN ('booked', 'hit', 'ignored', 'parked', 'refused')),
  -- As in event; a hit says why nothing: its event does.
  CONSTRAINT delivery_reason CHECK (
    CASE outcome
      WHEN 'booked' THEN reason IS NULL
      WHEN 'hit' THEN reason IS NULL
      WHEN 'ignored' THEN reason IS NOT NULL AND reason IN (
        'moves-no-money', 'described-elsewhere', 'nothing-moved-yet', 'unknown-type', 'connected-account')
      WHEN 'parked' THEN reason IS NOT NULL AND reason IN (
        'unknown-money', 'event-too-old', 'event-wrong-mode', 'amount-unreadable', 'currency-unknown',
        'object-unreadable', 'list-truncated', 'multicapture', 'thin-event', 'misconfigured', 'movement-conflict',
        'event-id-reused', 'payload-invalid', 'undecodable', 'dead-lettered', 'refused-by-books', 'processing-panicked')
      -- By the ingress, which keeps its evidence here.
      WHEN 'refused' THEN reason IS NOT NULL AND reason IN (
        'event-too-old', 'event-wrong-mode', 'event-id-reused', 'payload-invalid')
    END
  ),
  -- Only evidence may be without an event: a message that does not decode, an id that was used before, no event at all.
  CONSTRAINT delivery_event CHECK (
    event_row IS NOT NULL OR (outcome IN ('parked', 'refused') AND evidence IS NOT NULL)),
  CONSTRAINT delivery_fingerprint CHECK (
    (fingerprint IS NULL) = (fingerprint_version IS NULL) AND (fingerprint IS NULL OR evidence IS NOT NULL))
);
COMMENT ON TABLE countersign.delivery IS
  'One row per message of the bus: what became of it. The outcome is booked only for one that brought the event or took it over.';
CREATE INDEX delivery_event_row ON countersign.delivery (event_row);
CREATE INDEX delivery_without_event ON countersign.delivery (event_id) WHERE event_row IS NULL;

CREATE TABLE countersign.transaction (
  id               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  movement_key     TEXT NOT NULL,
  provider         TEXT NOT NULL,
  provider_account TEXT NOT NULL,
  livemode         BOOLEAN NOT NULL,
  object_id        TEXT NOT NULL,
  kind             TEXT NOT NULL,
  settles          TEXT,
  digest           BYTEA NOT NULL CHECK (octet_length(digest) = 32),
  digest_version   SMALLINT NOT NULL,
  posting_version  INTEGER NOT NULL,
  legs             SMALLINT NOT NULL CHECK (legs >= 2),
  source           TEXT NOT NULL,
  event_row        BIGINT NOT NULL REFERENCES countersign.event (id),
  trace_id         TEXT,
  occurred_at      TIMESTAMPTZ NOT NULL,
  recorded_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
  xid              BIGINT NOT NULL DEFAULT countersign.current_xid(),
  CONSTRAINT transaction_once UNIQUE (movement_key),
  CONSTRAINT transaction_key CHECK (
    movement_key = provider || '/' || provider_account || '/' || CASE WHEN livemode THEN 'live' ELSE 'test' END
      || '/' || object_id || '/' || kind)
);
COMMENT ON TABLE countersign.transaction IS
  'One row per movement of money, whoever describes it; source and event_row are those of the event that came first.';
COMMENT ON COLUMN countersign.transaction.settles IS
  'Of a settlement, the money object whose announcement it takes out of clearing; with object_id, the reference.';
CREATE INDEX transaction_reference ON countersign.transaction (coalesce(settles, object_id));
CREATE INDEX transaction_settled ON countersign.transaction (provider, provider_account, livemode, occurred_at)
  WHERE settles IS NOT NULL;
CREATE INDEX transaction_recorded ON countersign.transaction USING brin (recorded_at) WITH (autosummarize = on);

CREATE TABLE countersign.event_transaction (
  event_row      BIGINT NOT NULL REFERENCES countersign.event (id),
  transaction_id BIGINT NOT NULL REFERENCES countersign.transaction (id),
  role           TEXT NOT NULL,
  recorded_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
  xid            BIGINT NOT NULL DEFAULT countersign.current_xid(),
  -- The role too: what contradicted the books when it came may agree with them when it is released.
  PRIMARY KEY (event_row, transaction_id, role),
  CONSTRAINT event_transaction_role CHECK (role IN ('first', 'describer', 'conflict'))
);
COMMENT ON TABLE countersign.event_transaction IS
  'first: the event that made the transaction; describer: asserts the same money; conflict: the same key, other money.';
CREATE UNIQUE INDEX event_transaction_first ON countersign.event_transaction (transaction_id) WHERE role = 'first';
CREATE INDEX event_transaction_transaction ON countersign.event_transaction (transaction_id);

CREATE TABLE countersign.entry (
  id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  transaction_id BIGINT NOT NULL REFERENCES countersign.transaction (id),
  leg            SMALLINT NOT NULL CHECK (leg >= 1),
  account_id     BIGINT NOT NULL REFERENCES countersign.account (id),
  amount_minor   BIGINT NOT NULL CHECK (amount_minor <> 0),
  currency       TEXT NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  livemode       BOOLEAN NOT NULL,
  xid            BIGINT NOT NULL DEFAULT countersign.current_xid(),
  CONSTRAINT entry_leg UNIQUE (transaction_id, leg)
);

CREATE TABLE countersign.operator_action (
  id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind         TEXT NOT NULL,
  event_row    BIGINT REFERENCES countersign.event (id),
  delivery_row BIGINT REFERENCES countersign.delivery (id),
  reason       TEXT NOT NULL CHECK (reason <> ''),
  operator     TEXT NOT NULL DEFAULT session_user,
  recorded_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
  xid          BIGINT NOT NULL DEFAULT countersign.current_xid(),
  CONSTRAINT operator_action_kind CHECK (kind IN ('release', 'dismiss')),
  CONSTRAINT operator_action_target CHECK (num_nonnulls(event_row, delivery_row) = 1)
);
COMMENT ON TABLE countersign.operator_action IS
  'What a person has asked for. A message that asks the processor to act does nothing without its row.';
CREATE INDEX operator_action_event ON countersign.operator_action (event_row) WHERE event_row IS NOT NULL;
CREATE INDEX operator_action_delivery ON countersign.operator_action (delivery_row) WHERE delivery_row IS NOT NULL;

CREATE TABLE countersign.event_status (
  id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_row   BIGINT NOT NULL REFERENCES countersign.event (id),
  rank        INTEGER NOT NULL CHECK (rank >= 1),
  status      TEXT NOT NULL,
  reason      TEXT,
  cause       TEXT NOT NULL,
  action_id   BIGINT REFERENCES countersign.operator_action (id),
  trace_id    TEXT,
  recorded_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  xid         BIGINT NOT NULL DEFAULT countersign.current_xid(),
  CONSTRAINT event_status_once UNIQUE (event_row, rank),
  CONSTRAINT event_status_status CHECK (status IN ('booked', 'ignored', 'parked', 'dismissed')),
  CONSTRAINT event_status_reason CHECK (
    CASE status
      WHEN 'booked' THEN reason IS NULL
      WHEN 'dismissed' THEN reason IS NULL
      WHEN 'ignored' THEN reason IS NOT NULL AND reason IN (
        'moves-no-money', 'described-elsewhere', 'nothing-moved-yet', 'unknown-type', 'connected-account')
      WHEN 'parked' THEN reason IS NOT NULL AND reason IN (
        'unknown-money', 'event-too-old', 'event-wrong-mode', 'amount-unreadable', 'currency-unknown',
        'object-unreadable', 'list-truncated', 'multicapture', 'thin-event', 'misconfigured', 'movement-conflict',
        'event-id-reused', 'payload-invalid', 'undecodable', 'dead-lettered', 'refused-by-books', 'processing-panicked')
    END
  ),
  CONSTRAINT event_status_cause CHECK (
    CASE cause WHEN 'delivery' THEN action_id IS NULL WHEN 'action' THEN action_id IS NOT NULL ELSE false END)
);
COMMENT ON TABLE countersign.event_status IS
  'What became of an event after its first processing, step by step. Only what is parked may be followed.';

CREATE TABLE countersign.operator_effect (
  action_id   BIGINT PRIMARY KEY REFERENCES countersign.operator_action (id),
  status      TEXT NOT NULL,
  reason      TEXT,
  event_row   BIGINT REFERENCES countersign.event (id),
  recorded_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  xid         BIGINT NOT NULL DEFAULT countersign.current_xid(),
  CONSTRAINT operator_effect_status CHECK (status IN ('booked', 'ignored', 'parked', 'dismissed')),
  CONSTRAINT operator_effect_reason CHECK ((reason IS NULL) = (status IN ('booked', 'dismissed'))),
  -- Only evidence that stays evidence, or is put away as such, has no event.
  CONSTRAINT operator_effect_event CHECK (event_row IS NOT NULL OR status IN ('parked', 'dismissed'))
);
COMMENT ON TABLE countersign.operator_effect IS
  'That an action was carried out, and where its target stood then: an action acts once.';

CREATE TABLE countersign.control_total (
  id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  instance      TEXT NOT NULL,
  window_number BIGINT NOT NULL CHECK (window_number >= 1),
  closed_at     TIMESTAMPTZ NOT NULL,
  confirmed     BIGINT NOT NULL CHECK (confirmed >= 0),
  final         BOOLEAN NOT NULL,
  sequences     BIGINT[] NOT NULL,
  sources       TEXT[] NOT NULL,
  event_ids     TEXT[] NOT NULL,
  restated      BOOLEAN NOT NULL,
  recorded_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
  xid           BIGINT NOT NULL DEFAULT countersign.current_xid(),
  CONSTRAINT control_total_once UNIQUE (instance, window_number),
  CONSTRAINT control_total_listing CHECK (
    cardinality(sequences) = cardinality(sources) AND cardinality(sequences) = cardinality(event_ids))
);
COMMENT ON TABLE countersign.control_total IS
  'What an ingress says was confirmed, window by window. Restated: the total itself was lost, the next one told of it.';

CREATE TABLE countersign.refusal_count (
  id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  instance      TEXT NOT NULL,
  window_number BIGINT NOT NULL,
  source        TEXT NOT NULL,
  reason        TEXT NOT NULL,
  minute        TIMESTAMPTZ NOT NULL,
  count         BIGINT NOT NULL CHECK (count >= 0),
  recorded_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
  xid           BIGINT NOT NULL DEFAULT countersign.current_xid(),
  CONSTRAINT refusal_count_once UNIQUE (instance, window_number, source, reason, minute)
);
COMMENT ON TABLE countersign.refusal_count IS
  'How many deliveries an ingress refused, by source, problem and minute: what has no row of its own.';

CREATE TABLE countersign.provider_balance (
  id               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider         TEXT NOT NULL CHECK (provider <> ''),
  provider_account TEXT NOT NULL CHECK (provider_account <> ''),
  livemode         BOOLEAN NOT NULL,
  currency         TEXT NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  amount_minor     BIGINT NOT NULL,
  at               TIMESTAMPTZ NOT NULL,
  reason           TEXT NOT NULL CHECK (reason <> ''),
  operator         TEXT NOT NULL DEFAULT session_user,
  recorded_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
  xid              BIGINT NOT NULL DEFAULT countersign.current_xid(),
  -- What is to come nobody knows; a minute for clocks that differ.
  CONSTRAINT provider_balance_past CHECK (at <= recorded_at + INTERVAL '1 minute')
);
COMMENT ON TABLE countersign.provider_balance IS
  'What a provider said that it held at an instant, in all; a later row for the same instant corrects it.';

CREATE TABLE countersign.audit_run (
  id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind        TEXT NOT NULL CHECK (kind IN ('incremental', 'full')),
  snapshot    TEXT NOT NULL,
  started_at  TIMESTAMPTZ NOT NULL,
  finished_at TIMESTAMPTZ NOT NULL,
  verdict     TEXT NOT NULL CHECK (verdict IN ('balanced', 'imbalanced', 'failed')),
  report      JSONB NOT NULL,
  xid         BIGINT NOT NULL DEFAULT countersign.current_xid()
);
COMMENT ON TABLE countersign.audit_run IS
  'One row per finished run of the auditor: what it saw (pg_current_snapshot()) and what it found.';

-- Rows lie in the order of their transactions: a few kilobytes find what is new.
CREATE INDEX account_xid ON countersign.account USING brin (xid) WITH (autosummarize = on);
CREATE INDEX source_xid ON countersign.source USING brin (xid) WITH (autosummarize = on);
CREATE INDEX event_xid ON countersign.event USING brin (xid) WITH (autosummarize = on);
CREATE INDEX delivery_xid ON countersign.delivery USING brin (xid) WITH (autosummarize = on);
CREATE INDEX transaction_xid ON countersign.transaction USING brin (xid) WITH (autosummarize = on);
CREATE INDEX event_transaction_xid ON countersign.event_transaction USING brin (xid) WITH (autosummarize = on);
CREATE INDEX entry_xid ON countersign.entry USING brin (xid) WITH (autosummarize = on);
CREATE INDEX operator_action_xid ON countersign.operator_action USING brin (xid) WITH (autosummarize = on);
CREATE INDEX event_status_xid ON countersign.event_status USING brin (xid) WITH (autosummarize = on);
CREATE INDEX operator_effect_xid ON countersign.operator_effect USING brin (xid) WITH (autosummarize = on);
CREATE INDEX control_total_xid ON countersign.control_total USING brin (xid) WITH (autosummarize = on);
CREATE INDEX refusal_count_xid ON countersign.refusal_count USING brin (xid) WITH (autosummarize = on);
CREATE INDEX provider_balance_xid ON countersign.provider_balance USING brin (xid) WITH (autosummarize = on);
CREATE INDEX audit_run_xid ON countersign.audit_run USING brin (xid) WITH (autosummarize = on);

-- ---------------------------------------------------------------------------------------------------------------------
-- The stable read contract for other tools
-- ---------------------------------------------------------------------------------------------------------------------

CREATE VIEW countersign.journal AS
  SELECT
    entry.id AS entry_id,
    transaction.id AS transaction_id,
    transaction.movement_key,
    account.name AS account,
    entry.amount_minor,
    entry.currency,
    entry.livemode,
    transaction.source,
    transaction.provider_account,
    event.event_id,
    transaction.object_id,
    transaction.trace_id,
    transaction.occurred_at,
    transaction.recorded_at
  FROM countersign.entry
  JOIN countersign.transaction ON transaction.id = entry.transaction_id
  JOIN countersign.account ON account.id = entry.account_id
  JOIN countersign.event ON event.id = transaction.event_row;

-- ---------------------------------------------------------------------------------------------------------------------
-- Where things stand
-- ---------------------------------------------------------------------------------------------------------------------

CREATE VIEW countersign.event_standing AS
  SELECT
    event.id AS event_row,
    coalesce(last.status, event.outcome) AS status,
    CASE WHEN last.status IS NULL THEN event.reason ELSE last.reason END AS reason,
    coalesce(last.rank, 0) AS rank,
    coalesce(last.recorded_at, event.recorded_at) AS since
  FROM countersign.event
  LEFT JOIN LATERAL (
    SELECT status, reason, rank, recorded_at
    FROM countersign.event_status
    WHERE event_status.event_row = event.id
    ORDER BY rank DESC
    LIMIT 1
  ) AS last ON true;
COMMENT ON VIEW countersign.event_standing IS
  'Where each event stands: its last status, or what its first processing found. Rank 0 and since are those of the latter.';

-- Dead letters and the like are decided too when their event came another way: the same content under the same id.
-- Fingerprints of different versions cannot be compared, and count as the same, as everywhere; what holds no event at all
-- cannot be known to have come. An id that was reused is another event.
CREATE VIEW countersign.evidence_undecided AS
  SELECT delivery.id AS delivery_row, delivery.reason, delivery.source, delivery.event_id, delivery.recorded_at
  FROM countersign.delivery
  WHERE delivery.event_row IS NULL
    AND (delivery.outcome = 'parked' OR delivery.reason = 'event-id-reused')
    AND NOT EXISTS (
      SELECT
      FROM countersign.operator_action
      JOIN countersign.operator_effect ON operator_effect.action_id = operator_action.id
      WHERE operator_action.delivery_row = delivery.id
        AND (operator_effect.status <> 'parked' OR operator_effect.event_row IS NOT NULL))
    AND (delivery.reason = 'event-id-reused' OR NOT EXISTS (
      SELECT
      FROM countersign.event
      JOIN countersign.event_standing ON event_standing.event_row = event.id
      WHERE event.event_id = delivery.event_id AND event.source = delivery.source
        AND event.provider_account = delivery.provider_account AND event.livemode = delivery.livemode
        AND (event.fingerprint = delivery.fingerprint OR event.fingerprint_version <> delivery.fingerprint_version)
        AND event_standing.status <> 'parked'));
COMMENT ON VIEW countersign.evidence_undecided IS
  'Messages that made no event and wait for a person: released they may come to one, dismissed they are put away.';

-- ---------------------------------------------------------------------------------------------------------------------
-- Guards. ENABLE ALWAYS: session_replication_role = replica does not pass them by.
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION countersign.refuse_change() RETURNS TRIGGER
  LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION USING
    ERRCODE = '23001',
    MESSAGE = format('%s is refused: %I.%I is append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME),
    SCHEMA = TG_TABLE_SCHEMA,
    TABLE = TG_TABLE_NAME,
    CONSTRAINT = 'append_only';
END
$$;

DO $guards$
DECLARE
  name TEXT;
BEGIN
  FOREACH name IN ARRAY ARRAY[
    'schema_history', 'schema_version', 'xid_offset', 'account', 'source', 'event', 'delivery', 'transaction',
    'event_transaction', 'entry', 'operator_action', 'event_status', 'operator_effect', 'control_total', 'refusal_count',
    'provider_balance', 'audit_run'
  ] LOOP
    EXECUTE format(
      'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON countersign.%I
         FOR EACH STATEMENT EXECUTE FUNCTION countersign.refuse_change()', name);
    EXECUTE format('ALTER TABLE countersign.%I ENABLE ALWAYS TRIGGER append_only', name);
  END LOOP;
END
$guards$;

-- Every transaction that an INSERT touched is read again from the table, with all its legs: whether they came in one
-- statement or not, they must be complete at once, balance per currency and belong to the transaction's own writer.
-- LATERAL and enable_seqscan: a plan is kept for the session, and the first one is made when the tables are empty.
CREATE FUNCTION countersign.check_entries() RETURNS TRIGGER
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
  own_xid CONSTANT BIGINT := countersign.current_xid();
  broken RECORD;
BEGIN
  SELECT
    touched.transaction_id,
    CASE
      WHEN header.id IS NULL THEN 'entry_complete'
      WHEN header.xid <> own_xid OR NOT seen.own THEN 'entry_same_xid'
      WHEN seen.legs <> header.legs OR seen.first <> 1 OR seen.last <> header.legs THEN 'entry_complete'
      WHEN NOT seen.one_mode THEN 'entry_livemode'
      WHEN NOT seen.balanced THEN 'entry_balanced'
    END AS rule
  INTO broken
  FROM (SELECT DISTINCT inserted.transaction_id FROM inserted) AS touched
  LEFT JOIN LATERAL (
    SELECT id, legs, livemode, xid FROM countersign.transaction WHERE transaction.id = touched.transaction_id LIMIT 1
  ) AS header ON true
  CROSS JOIN LATERAL (
    SELECT
      coalesce(sum(sums.legs), 0) AS legs,
      min(sums.first) AS first,
      max(sums.last) AS last,
      bool_and(sums.own) AS own,
      bool_and(sums.one_mode) AS one_mode,
      bool_and(sums.total = 0) AS balanced
    FROM (
      SELECT
        count(*) AS legs,
        min(entry.leg) AS first,
        max(entry.leg) AS last,
        bool_and(entry.xid = own_xid) AS own,
        bool_and(entry.livemode = header.livemode) AS one_mode,
        sum(entry.amount_minor) AS total
      FROM countersign.entry
      WHERE entry.transaction_id = touched.transaction_id
      GROUP BY entry.currency
    ) AS sums
  ) AS seen
  WHERE header.id IS NULL
    OR header.xid <> own_xid
    OR NOT seen.own
    OR seen.legs <> header.legs
    OR seen.first <> 1
    OR seen.last <> header.legs
    OR NOT seen.one_mode
    OR NOT seen.balanced
  ORDER BY touched.transaction_id
  LIMIT 1;

  IF FOUND THEN
    RAISE EXCEPTION USING
      ERRCODE = '23514',
      MESSAGE = format('the entries of transaction %s break the rule %s', broken.transaction_id, broken.rule),
      SCHEMA = TG_TABLE_SCHEMA,
      TABLE = TG_TABLE_NAME,
      CONSTRAINT = broken.rule;
  END IF;
  RETURN NULL;
END
$$;

CREATE TRIGGER entry_rules AFTER INSERT ON countersign.entry
  REFERENCING NEW TABLE AS inserted
  FOR EACH STATEMENT EXECUTE FUNCTION countersign.check_entries();
ALTER TABLE countersign.entry ENABLE ALWAYS TRIGGER entry_rules;

-- A header whose legs never came; asked at COMMIT, once per transaction. Legs that did come have passed the rules above.
CREATE FUNCTION countersign.check_header() RETURNS TRIGGER
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM countersign.entry WHERE entry.transaction_id = NEW.id AND entry.leg = NEW.legs) THEN
    RAISE EXCEPTION USING
      ERRCODE = '23514',
      MESSAGE = format('transaction %s has no entries', NEW.id),
      SCHEMA = TG_TABLE_SCHEMA,
      TABLE = TG_TABLE_NAME,
      CONSTRAINT = 'entry_complete';
  END IF;
  RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER transaction_has_entries AFTER INSERT ON countersign.transaction
  DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION countersign.check_header();
ALTER TABLE countersign.transaction ENABLE ALWAYS TRIGGER transaction_has_entries;

-- What is booked, ignored or dismissed stays so; a rank follows the one before.
CREATE FUNCTION countersign.check_status() RETURNS TRIGGER
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
  before TEXT;
BEGIN
  IF NEW.rank = 1 THEN
    SELECT outcome INTO before FROM countersign.event WHERE event.id = NEW.event_row;
  ELSE
    SELECT status INTO before
    FROM countersign.event_status
    WHERE event_status.event_row = NEW.event_row AND event_status.rank = NEW.rank - 1;
  END IF;
  IF before IS DISTINCT FROM 'parked' THEN
    RAISE EXCEPTION USING
      ERRCODE = '23514',
      MESSAGE = format('a status of event %s follows what is not parked', NEW.event_row),
      SCHEMA = TG_TABLE_SCHEMA,
      TABLE = TG_TABLE_NAME,
      CONSTRAINT = 'event_status_follows';
  END IF;
  RETURN NULL;
END
$$;

CREATE TRIGGER event_status_rules AFTER INSERT ON countersign.event_status
  FOR EACH ROW EXECUTE FUNCTION countersign.check_status();
ALTER TABLE countersign.event_status ENABLE ALWAYS TRIGGER event_status_rules;

-- ---------------------------------------------------------------------------------------------------------------------
-- Privileges. INSERT by column: never an id, a recorded_at or an xid.
-- ---------------------------------------------------------------------------------------------------------------------

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA countersign FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA countersign FROM PUBLIC;
GRANT USAGE ON SCHEMA countersign TO countersign_processor, countersign_auditor, countersign_operator;
GRANT EXECUTE ON FUNCTION countersign.current_xid(), countersign.xid_offset()
  TO countersign_processor, countersign_auditor, countersign_operator;

GRANT SELECT ON countersign.schema_version, countersign.xid_offset, countersign.account TO countersign_processor;
GRANT INSERT (name) ON countersign.account TO countersign_processor;
GRANT INSERT (name, provider, own_account) ON countersign.source TO countersign_processor;
GRANT SELECT (name, provider, own_account) ON countersign.source TO countersign_processor;
GRANT INSERT (
  source, provider, provider_account, livemode, event_id, event_type, object_id, object_amount, object_currency,
  own_account, occurred_at, fingerprint, fingerprint_version, payload, keep_list_version, outcome, reason, trace_id
) ON countersign.event TO countersign_processor;
-- The content too: a release decides on it anew.
GRANT SELECT (
  id, source, provider, provider_account, livemode, event_id, event_type, object_id, own_account, occurred_at,
  fingerprint, fingerprint_version, payload, keep_list_version, outcome, reason, trace_id
) ON countersign.event TO countersign_processor;
GRANT INSERT (event_row, rank, status, reason, cause, action_id, trace_id)
  ON countersign.event_status TO countersign_processor;
GRANT SELECT (event_row, rank, status, reason) ON countersign.event_status TO countersign_processor;
GRANT INSERT (
  instance, sequence, source, provider_account, livemode, event_id, event_type, event_row, outcome, reason, evidence,
  fingerprint, fingerprint_version, broker_history, replay_checked, trace_id, received_at
) ON countersign.delivery TO countersign_processor;
GRANT SELECT (id, instance, sequence, event_row, outcome, reason, evidence, trace_id)
  ON countersign.delivery TO countersign_processor;
GRANT INSERT (
  movement_key, provider, provider_account, livemode, object_id, kind, digest, digest_version, posting_version, legs,
  source, event_row, trace_id, occurred_at, settles
) ON countersign.transaction TO countersign_processor;
GRANT SELECT (
  id, movement_key, provider, provider_account, livemode, object_id, kind, digest, digest_version
) ON countersign.transaction TO countersign_processor;
GRANT INSERT (event_row, transaction_id, role) ON countersign.event_transaction TO countersign_processor;
GRANT SELECT (event_row, transaction_id, role) ON countersign.event_transaction TO countersign_processor;
GRANT INSERT (transaction_id, leg, account_id, amount_minor, currency, livemode)
  ON countersign.entry TO countersign_processor;

GRANT SELECT (id, kind, event_row, delivery_row) ON countersign.operator_action TO countersign_processor;
GRANT INSERT (action_id, status, reason, event_row) ON countersign.operator_effect TO countersign_processor;
GRANT SELECT (action_id, status, reason, event_row) ON countersign.operator_effect TO countersign_processor;
GRANT INSERT (
  instance, window_number, closed_at, confirmed, final, sequences, sources, event_ids, restated
) ON countersign.control_total TO countersign_processor;
-- All that is told: what comes again has to be the same.
GRANT SELECT (
  instance, window_number, closed_at, confirmed, final, sequences, sources, event_ids, restated
) ON countersign.control_total TO countersign_processor;
GRANT INSERT (instance, window_number, source, reason, minute, count) ON countersign.refusal_count TO countersign_processor;
GRANT SELECT (instance, window_number, source, reason, minute, count)
  ON countersign.refusal_count TO countersign_processor;

GRANT SELECT ON ALL TABLES IN SCHEMA countersign TO countersign_auditor, countersign_operator;
GRANT INSERT (kind, event_row, delivery_row, reason) ON countersign.operator_action TO countersign_operator;
GRANT INSERT (provider, provider_account, livemode, currency, amount_minor, at, reason)
  ON countersign.provider_balance TO countersign_operator;
GRANT INSERT (kind, snapshot, started_at, finished_at, verdict, report) ON countersign.audit_run TO countersign_auditor;
