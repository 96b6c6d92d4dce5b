#!/usr/bin/env bash
# What `make bench` runs: what auditing costs, on books of ENTRIES entries (10 million, about 8 GB) on servers of their own
# (ports 6730 higher than those of `make up`) that go when it is done. Fails when a run that reads only what is new takes
# more than twice what it takes on ten thousand entries (in turn on both, so that whatever else the machine does hits both), when a full run takes more than three times streaming the same
# columns once, or when it needs more than 256 MiB.

export COUNTERSIGN_PORT_OFFSET=$((${COUNTERSIGN_PORT_OFFSET:-0} + 6730))
# shellcheck source=deploy/dev/common.sh
source -- "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
cd -- "$root"

readonly entries=${ENTRIES:-10000000} small=10000 new=1000 rss_max_mib=256
if [[ ! $entries =~ ^[0-9]+$ ]] || ((entries < small)); then
  die "$ex_usage" "ENTRIES is $small or more"
fi

report build "the tool, in release"
cargo build --quiet --locked --release -p countersign-cli
binary=${CARGO_TARGET_DIR:-target}/release/countersign
folder=$(mktemp -d)
mkdir -p -- "$run"
readonly folder log=$run/bench-servers.log
clean() {
  local code=$?
  rm -rf -- "$folder"
  deploy/dev/servers.sh wipe >>"$log" 2>&1 || code=1
  exit "$code"
}
take_lock bench
trap clean EXIT
deploy/dev/servers.sh wipe >"$log" 2>&1 9>&-
deploy/dev/servers.sh start >>"$log" 2>&1 9>&- || {
  show_log "$log"
  exit 1
}
declare -A charges=([small]=0)
use() { # use BOOKS: those that follow are about them; each is a database
  books=$1
  export COUNTERSIGN_CONFIG=$folder/$books.toml
  local at=127.0.0.1:$postgres_port/$books
  cat >"$COUNTERSIGN_CONFIG" <<CONF
[postgres]
url = "postgres://postgres@$at"
[auditor]
database_url = "postgres://countersign_auditor@$at"
head_file = "$books.head"
CONF
}
sql() { deploy/dev/servers.sh psql -qAt -v ON_ERROR_STOP=1 -d "$books" "$@"; }
deploy/dev/servers.sh psql -qc 'CREATE DATABASE small'
use small
"$binary" migrate >/dev/null

# A charge makes five entries: its capture, and its settlement with a fee. Each has its event and its delivery. A batch of
# the processor books 500 deliveries; the total that lists them is as old as one that completeness judges next, and the last
# word of its ingress, which nobody waits for.
sql <<'SQL'
INSERT INTO countersign.account (name) VALUES
  ('assets:stripe:clearing'), ('income:sales'), ('assets:stripe:balance'), ('expenses:psp-fees');
CREATE PROCEDURE public.load(first BIGINT, last BIGINT) LANGUAGE sql AS $$
  INSERT INTO countersign.event (id, source, provider, provider_account, livemode, event_id, event_type, object_id, object_amount,
    object_currency, own_account, occurred_at, fingerprint, fingerprint_version, payload, keep_list_version, outcome, trace_id)
  OVERRIDING SYSTEM VALUE
  SELECT 2 * n - k, 'stripe', 'stripe', 'acct_bench', FALSE, 'evt_' || md5((2 * n - k)::TEXT),
    CASE k WHEN 1 THEN 'charge.succeeded' ELSE 'balance_transaction' END, CASE k WHEN 1 THEN 'ch_' ELSE 'txn_' END || md5(n::TEXT),
    1000 + n % 5000, 'USD', 'acct_bench', now(), sha256(n::TEXT::BYTEA), 1,
    json_build_object('id', md5(n::TEXT), 'object', 'charge', 'amount', n, 'currency', 'usd', 'source', 'ch_' || md5(n::TEXT))::TEXT,
    1, 'booked', md5(n::TEXT)
  FROM generate_series(first, last) AS n, (VALUES (1), (0)) AS of (k);
  INSERT INTO countersign.delivery (instance, sequence, source, provider_account, livemode, event_id, event_type, event_row,
    outcome, replay_checked, trace_id, received_at)
  SELECT 'bench', id, source, provider_account, livemode, event_id, event_type, id, 'booked', TRUE, trace_id, now()
  FROM countersign.event WHERE id BETWEEN 2 * first - 1 AND 2 * last;
  INSERT INTO countersign.transaction (id, movement_key, provider, provider_account, livemode, object_id, kind, settles, digest,
    digest_version, posting_version, legs, source, event_row, trace_id, occurred_at)
  OVERRIDING SYSTEM VALUE
  SELECT id, 'stripe/acct_bench/test/' || object_id || '/' || kind, 'stripe', 'acct_bench', FALSE, object_id, kind,
    CASE kind WHEN 'settlement' THEN 'ch_' || substr(object_id, 5) END, fingerprint, 1, 1,
    CASE kind WHEN 'capture' THEN 2 ELSE 3 END, 'stripe', id, trace_id, now()
  FROM countersign.event, LATERAL (SELECT CASE id % 2 WHEN 1 THEN 'capture' ELSE 'settlement' END AS kind) AS of
  WHERE id BETWEEN 2 * first - 1 AND 2 * last;
  INSERT INTO countersign.event_transaction (event_row, transaction_id, role)
  SELECT id, id, 'first' FROM countersign.event WHERE id BETWEEN 2 * first - 1 AND 2 * last;
  INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
  SELECT 2 * n - k, leg, account.id, CASE name
      WHEN 'income:sales' THEN -gross
      WHEN 'assets:stripe:clearing' THEN CASE k WHEN 1 THEN gross ELSE -gross END
      WHEN 'expenses:psp-fees' THEN 59
      ELSE gross - 59
    END, 'USD', FALSE
  FROM generate_series(first, last) AS n
  CROSS JOIN LATERAL (SELECT 1000 + n % 5000 AS gross) AS amount
  CROSS JOIN (VALUES (1, 1, 'assets:stripe:clearing'), (1, 2, 'income:sales'), (0, 1, 'assets:stripe:balance'),
    (0, 2, 'expenses:psp-fees'), (0, 3, 'assets:stripe:clearing')) AS legs (k, leg, name)
  JOIN countersign.account USING (name)
  ORDER BY 1, 2;
  INSERT INTO countersign.control_total (instance, window_number, closed_at, confirmed, final, sequences, sources, event_ids,
    restated, recorded_at)
  SELECT 'bench', (SELECT coalesce(max(window_number), 0) + 1 FROM countersign.control_total), now(), 2 * last, TRUE, array_agg(id), array_agg(source),
    array_agg(event_id), FALSE, clock_timestamp() - INTERVAL '35 minutes'
  FROM countersign.event WHERE id BETWEEN 2 * first - 1 AND 2 * last;
$$;
CREATE PROCEDURE public.load_batches(first BIGINT, last BIGINT) LANGUAGE plpgsql AS $$
BEGIN
  FOR batch IN first .. last BY 250 LOOP
    CALL public.load(batch, least(batch + 249, last));
    COMMIT;
  END LOOP;
END
$$;
SQL

add() { # add ENTRIES
  local before=${charges[$books]}
  charges[$books]=$((before + $1 / 5))
  sql -c "CALL public.load_batches($((before + 1)), ${charges[$books]})"
}
verify() { # verify [--full]: fails unless nothing is found
  "$binary" verify "$@" >"$folder/verdict" 2>"$folder/progress" || {
    cat -- "$folder/verdict" "$folder/progress" >&2
    die 1 "the auditor objects to the books"
  }
}
seal() { # what others of this server have under way holds it up for moments
  local unsealed='SELECT coalesce(max(xid), 0) >= (SELECT coalesce(max(xid_hi), 0) FROM countersign.checkpoint) FROM countersign.entry'
  for ((run_number = 0; run_number < 300; run_number++)); do
    verify
    [[ $(sql -c "$unsealed") == t ]] || return 0
  done
  die 1 "the books are never sealed"
}
incremental() { # incremental BOOKS: sets `took`, of a run over what is new since the one before
  local since
  use "$1"
  add "$new"
  since=$(now_ms)
  verify
  took=$(($(now_ms) - since))
}
median() { # of seven
  printf '%s\n' "$@" | sort -n | sed -n 4p
}

add "$small"
seal
deploy/dev/servers.sh psql -qc 'CREATE DATABASE large TEMPLATE small'
charges[large]=${charges[small]}
use large

report load "$entries entries, with nobody to check them but the auditor"
since=$(now_ms)
sql -c 'ALTER TABLE countersign.entry DISABLE TRIGGER entry_rules;
  ALTER TABLE countersign.transaction DISABLE TRIGGER transaction_has_entries'
while ((charges[large] * 5 < entries)); do
  chunk=$((entries - charges[large] * 5 < 50000 ? entries - charges[large] * 5 : 50000))
  add "$((chunk < 5 ? 5 : chunk))"
done
sql -c 'ALTER TABLE countersign.entry ENABLE ALWAYS TRIGGER entry_rules;
  ALTER TABLE countersign.transaction ENABLE ALWAYS TRIGGER transaction_has_entries'
sql -c 'VACUUM (ANALYZE)'
report load "took $(seconds_since "$since"), $(sql -c "SELECT pg_size_pretty(pg_database_size('large'))")"
since=$(now_ms)
seal
report seal "took $(seconds_since "$since"), $(sql -c 'SELECT count(*) FROM countersign.checkpoint') checkpoints"
small_times=() large_times=()
for _ in 1 2 3 4 5 6 7; do
  incremental small
  small_times+=("$took")
  incremental large
  large_times+=("$took")
done
small_ms=$(median "${small_times[@]}") large_ms=$(median "${large_times[@]}")
readonly small_ms large_ms
report small "a run over the last $new on $((charges[small] * 5)) entries: $small_ms ms"
report large "a run over the last $new on $((charges[large] * 5)) entries: $large_ms ms (at most $((2 * small_ms)))"

stream() { # sets `took`: every column that a checkpoint seals, once, to nowhere
  local since file
  since=$(now_ms)
  for file in crates/audit-postgres/sql/sealed/*.sql; do
    sql -c "COPY ($(sed '/^WHERE/,$d' "$file")) TO STDOUT (FORMAT binary)" >/dev/null
  done
  took=$(($(now_ms) - since))
}
stream # what follows finds the caches as warm
stream
readonly stream_ms=$took
since=$(now_ms)
verify --full &
full=$! rss_kib=0
# The process below the function, and the most that it has held so far.
while kill -0 "$full" 2>/dev/null; do
  read -ra children <"/proc/$full/task/$full/children" 2>/dev/null || true
  for pid in "${children[@]}"; do
    held=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$pid/status" 2>/dev/null) || true
    ((${held:-0} <= rss_kib)) || rss_kib=$held
  done
  sleep 0.05
done
wait "$full"
readonly full_ms=$(($(now_ms) - since)) rss_mib=$((rss_kib / 1024))
report streaming "the same columns once: $stream_ms ms"
report full "a full run: $full_ms ms (at most $((3 * stream_ms))), $rss_mib MiB (at most $rss_max_mib)"

((large_ms <= 2 * small_ms)) || die 1 "an incremental run costs more the more there is"
((full_ms <= 3 * stream_ms)) || die 1 "a full run costs more than three times streaming"
((rss_kib > 0 && rss_mib <= rss_max_mib)) || die 1 "a full run needs $rss_mib MiB"
