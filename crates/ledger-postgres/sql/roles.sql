-- Run at the start of every migration, by whoever migrates (a superuser, or a role with CREATEROLE); idempotent.
-- Roles belong to the cluster; their settings belong to one database and travel neither with a dump nor with a template,
-- so whoever restores or copies a database migrates it again.

DO $roles$
DECLARE
  wanted RECORD;
BEGIN
  FOR wanted IN
    SELECT * FROM (VALUES
      ('countersign_owner',     'NOLOGIN'),
      -- LOGIN without a password: a deployment sets one, or maps a certificate or another login to the role.
      ('countersign_processor', 'LOGIN'),
      ('countersign_auditor',   'LOGIN'),
      ('countersign_operator',  'LOGIN')
    ) AS roles (name, login)
  LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted.name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.login);
      EXCEPTION
        -- A migration of another database in this cluster was faster: before our look, or after it.
        WHEN duplicate_object OR unique_violation THEN NULL;
      END;
    END IF;
  END LOOP;

  -- Whoever is no superuser has to be a member of the owner to act as the owner.
  IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
    BEGIN
      EXECUTE format('GRANT countersign_owner TO %I', current_user);
    EXCEPTION
      WHEN insufficient_privilege THEN NULL; -- a member already, or SET ROLE will say what is missing
    END;
  END IF;
END
$roles$;

DO $settings$
DECLARE
  wanted RECORD;
BEGIN
  FOR wanted IN
    SELECT * FROM (VALUES
      ('countersign_processor', 'statement_timeout',                   '30s'),
      ('countersign_processor', 'lock_timeout',                        '10s'),
      ('countersign_processor', 'idle_in_transaction_session_timeout', '60s'),
      ('countersign_auditor',   'statement_timeout',                   '15min'),
      ('countersign_auditor',   'lock_timeout',                        '10s'),
      ('countersign_auditor',   'idle_in_transaction_session_timeout', '5min'),
      -- Its statements read little: to compile them takes longer than to run them.
      ('countersign_auditor',   'jit',                                 'off'),
      ('countersign_operator',  'statement_timeout',                   '60s'),
      ('countersign_operator',  'lock_timeout',                        '5s'),
      ('countersign_operator',  'idle_in_transaction_session_timeout', '60s')
    ) AS settings (role, name, value)
    -- What a deployment has chosen stays.
    WHERE NOT EXISTS (
      SELECT
      FROM pg_catalog.pg_db_role_setting AS chosen
      JOIN pg_catalog.pg_roles ON pg_roles.oid = chosen.setrole
      JOIN pg_catalog.pg_database ON pg_database.oid = chosen.setdatabase
      CROSS JOIN LATERAL unnest(chosen.setconfig) AS pair
      WHERE pg_roles.rolname = settings.role
        AND pg_database.datname = current_database()
        AND pair LIKE settings.name || '=%'
    )
  LOOP
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET %I = %L', wanted.role, current_database(), wanted.name, wanted.value);
  END LOOP;

  EXECUTE format(
    'GRANT CONNECT ON DATABASE %I TO countersign_owner, countersign_processor, countersign_auditor, countersign_operator',
    current_database());
END
$settings$;

-- Asked first: IF NOT EXISTS wants the privilege to create even where nothing is created.
DO $schema$
BEGIN
  IF to_regnamespace('countersign') IS NULL THEN
    CREATE SCHEMA countersign AUTHORIZATION countersign_owner;
  END IF;
END
$schema$;
