#!/usr/bin/env bash
# What one ingress, one processor and one auditor take and need, in release, on this machine, beside the servers and the sender: the
# figures of deploy/README.md, "Size". EVENTS (10000) of Stripe's charges, CONCURRENCY (32) at a time. Work is given in CPU time for
# each event too, which does not depend on who else uses the machine. In a system of its own, as the demo's, which goes at the end.

export COUNTERSIGN_PORT_OFFSET=$((${COUNTERSIGN_PORT_OFFSET:-0} + 6705))
# shellcheck source=deploy/dev/services.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/services.sh"
cd -- "$root"

readonly events=${EVENTS:-10000} concurrency=${CONCURRENCY:-32} patience_ms=1800000
binaries=${CARGO_TARGET_DIR:-$root/target}/release

servers() { "$root/deploy/dev/servers.sh" "$@"; }
sql() { servers psql -qAt -d countersign "$@"; }
send() { "$binaries/countersign" send --source stripe --event charge.succeeded --summary "$@"; }

cpu_ms() { # cpu_ms PID: what a process has used so far
  local fields hertz
  hertz=$(getconf CLK_TCK)
  read -r -a fields < <(sed 's/^.*) //' "/proc/$1/stat")
  printf '%d' $(((fields[11] + fields[12]) * 1000 / hertz))
}
memory_mib() { # memory_mib SERVICE: now, and the most so far
  sed -n 's/^Vm\(RSS\|HWM\):[[:space:]]*\([0-9]*\) kB/\2/p' "/proc/$(pid_in "$run/$1.pid")/status" |
    sort -n | awk '{ printf "%s%.0f", (NR > 1 ? " MiB, at most " : ""), $1 / 1024 }'
}
used() { # used SERVICE CPU_MS_BEFORE EVENTS
  local now
  now=$(cpu_ms "$(pid_in "$run/$1.pid")")
  report "$1" "$(((now - $2) * 1000 / $3)) us of CPU for each event, $(memory_mib "$1") MiB resident"
}
per_second() { # per_second EVENTS SINCE_MS
  printf '%d' $(($1 * 1000 / ($(now_ms) - $2)))
}
recorded() { # recorded COUNT
  [[ $(sql -c 'SELECT count(*) FROM countersign.delivery') -ge $1 ]]
}
redis() { # redis WORD...
  "$(type -P redis-cli || type -P valkey-cli)" -p "$redis_port" "$@"
}
claim_bytes() { # claim_bytes: what a key with its value costs, on average over some
  local key keys=() total=0
  mapfile -t keys < <(redis --raw SCAN 0 COUNT 500 | grep :)
  for key in "${keys[@]}"; do
    total=$((total + $(redis --raw MEMORY USAGE "$key")))
  done
  printf '%d' $((total / ${#keys[@]}))
}
finish() {
  local code=$?
  for service in ingress processor auditor; do stop_service "$service" >/dev/null; done
  servers wipe >/dev/null
  exit "$code"
}

report build "release binaries"
cargo build --quiet --locked --release -p countersign-ingress -p countersign-processor -p countersign-auditor -p countersign-cli
configure_services
servers wipe >/dev/null
trap finish EXIT
servers start >/dev/null
sql_created=$(servers psql -tAc "SELECT 1 FROM pg_database WHERE datname = 'countersign'")
[[ $sql_created == 1 ]] || servers psql -qc 'CREATE DATABASE countersign'
"$binaries/countersign" migrate >/dev/null
for service in "${services[@]}"; do start_service "$service"; done
for service in "${services[@]}"; do await_service "$service" >/dev/null; done
for service in "${services[@]}"; do report "$service" "$(memory_mib "$service") MiB resident, idle"; done
send --count 200 --concurrency 8 >/dev/null # connections, caches
wait_until "$patience_ms" recorded 200
sleep 1
report '' ''

report ingress "alone: $events events, $concurrency at a time"
stop_service processor >/dev/null
before=$(cpu_ms "$(pid_in "$run/ingress.pid")")
send --count "$events" --concurrency "$concurrency"
used ingress "$before" "$events"
report claims "$(claim_bytes) bytes each in Redis, accepted"
report '' ''

report processor "alone: booking them"
size=$(sql -c 'SELECT pg_database_size(current_database())') since=$(now_ms)
start_service processor
wait_until "$patience_ms" recorded $((200 + events))
report processor "$(per_second "$events" "$since") events a second"
used processor 0 "$events"
report books "$((($(sql -c 'SELECT pg_database_size(current_database())') - size) / events)) bytes for each event, indexes included"
sleep 3
report claims "$(claim_bytes) bytes each in Redis, booked"
report '' ''

report together "$events events, $concurrency at a time, booked meanwhile"
ingress_before=$(cpu_ms "$(pid_in "$run/ingress.pid")") processor_before=$(cpu_ms "$(pid_in "$run/processor.pid")")
since=$(now_ms)
send --count "$events" --concurrency "$concurrency"
wait_until "$patience_ms" recorded $((200 + 2 * events))
report together "$(per_second "$events" "$since") events a second, from the first to the last in the books"
used ingress "$ingress_before" "$events"
used processor "$processor_before" "$events"

"$binaries/countersign" verify --full >"$run/verdict" || {
  cat -- "$run/verdict"
  exit 1
}
report auditor "$(memory_mib auditor) MiB resident"
