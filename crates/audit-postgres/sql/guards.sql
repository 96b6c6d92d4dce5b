-- What guards the books, as facts of five texts: kind, and what the kind needs. The catalogue is readable by everybody.
WITH tables AS (
  SELECT oid, relname, relowner, relacl, relkind
  FROM pg_catalog.pg_class
  WHERE relnamespace = 'countersign'::REGNAMESPACE AND relkind IN ('r', 'p')
),
grants AS (
  SELECT relname, relowner, acl.grantee, acl.privilege_type
  FROM tables
  CROSS JOIN LATERAL aclexplode(relacl) AS acl
  WHERE acl.privilege_type <> 'SELECT'
  UNION
  SELECT relname, relowner, acl.grantee, acl.privilege_type
    || CASE WHEN acl.privilege_type = 'INSERT' THEN ' ' || attname ELSE '' END
  FROM tables
  JOIN pg_catalog.pg_attribute ON attrelid = tables.oid AND NOT attisdropped
  CROSS JOIN LATERAL aclexplode(attacl) AS acl
  WHERE acl.privilege_type = 'UPDATE'
    OR (acl.privilege_type = 'INSERT' AND attname IN ('id', 'xid', 'recorded_at'))
)
SELECT 'trigger' AS kind, relname::TEXT AS a, tgname::TEXT AS b, proname::TEXT AS c, (tgenabled = 'A')::TEXT AS d
FROM pg_catalog.pg_trigger
JOIN tables ON tables.oid = tgrelid
JOIN pg_catalog.pg_proc ON pg_proc.oid = tgfoid
WHERE NOT tgisinternal
UNION ALL
SELECT 'trigger', relname, rulename, NULL, 'true'
FROM pg_catalog.pg_rewrite
JOIN tables ON tables.oid = ev_class
UNION ALL
SELECT
  'constraint',
  relname,
  conname,
  NULL,
  (convalidated
    AND coalesce((SELECT indisvalid AND indisready FROM pg_catalog.pg_index WHERE indexrelid = conindid AND contype IN ('p', 'u')), TRUE)
    -- A foreign key is as good as its triggers.
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgconstraint = pg_constraint.oid AND tgenabled = 'D'))::TEXT
FROM pg_catalog.pg_constraint
JOIN tables ON tables.oid = conrelid
UNION ALL
SELECT 'function', proname, encode(sha256(convert_to(prosrc, 'UTF8')), 'hex'), NULL, NULL
FROM pg_catalog.pg_proc
JOIN pg_catalog.pg_language ON pg_language.oid = prolang
WHERE pronamespace = 'countersign'::REGNAMESPACE AND lanname = 'plpgsql'
UNION ALL
SELECT 'owner', relname, pg_get_userbyid(relowner), NULL, NULL
FROM tables
UNION ALL
SELECT 'privilege', CASE grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(grantee) END, relname, privilege_type, NULL
FROM grants
WHERE grantee <> relowner
UNION ALL
SELECT 'role', rolname, power, NULL, NULL
FROM pg_catalog.pg_roles
LEFT JOIN LATERAL (
  SELECT power
  FROM (VALUES
    ('superuser', rolsuper),
    ('createrole', rolcreaterole),
    ('createdb', rolcreatedb),
    ('replication', rolreplication),
    ('bypassrls', rolbypassrls),
    ('member of countersign_owner',
      EXISTS (SELECT FROM pg_catalog.pg_roles AS owner
        WHERE owner.rolname = 'countersign_owner' AND pg_has_role(pg_roles.oid, owner.oid, 'MEMBER'))),
    ('member of pg_write_all_data', pg_has_role(pg_roles.oid, 'pg_write_all_data', 'MEMBER'))
  ) AS powers (power, has)
  WHERE has
) AS powers ON TRUE
WHERE rolname IN ('countersign_processor', 'countersign_auditor', 'countersign_operator')
UNION ALL
SELECT 'setting', name, setting, 'server and session', NULL
FROM pg_catalog.pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')
UNION ALL
SELECT
  'setting',
  split_part(pair, '=', 1),
  split_part(pair, '=', 2),
  concat_ws(' in ',
    CASE setrole WHEN 0 THEN 'every role' ELSE pg_get_userbyid(setrole) END,
    CASE setdatabase WHEN 0 THEN 'every database' ELSE 'this database' END),
  NULL
FROM pg_catalog.pg_db_role_setting
LEFT JOIN pg_catalog.pg_roles ON pg_roles.oid = setrole
CROSS JOIN LATERAL unnest(setconfig) AS pair
WHERE split_part(pair, '=', 1) IN ('synchronous_commit', 'session_replication_role')
  AND (setdatabase = 0 OR setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
  AND (setrole = 0 OR rolname IN ('countersign_processor', 'countersign_auditor', 'countersign_operator'))
