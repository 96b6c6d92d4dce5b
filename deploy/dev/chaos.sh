#!/usr/bin/env bash
# Breaks everything on purpose on servers of its own (ports 6720 higher than those of `make up`), and checks that
# nothing was lost and nothing doubled. Arguments are passed on, as `--minutes 5` or `--soak --minutes 30`. SEED chooses
# the faults; each run prints its own.

export COUNTERSIGN_PORT_OFFSET=$((${COUNTERSIGN_PORT_OFFSET:-0} + 6720))
# shellcheck source=deploy/dev/services.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/services.sh"
# shellcheck source=deploy/dev/packages.sh
source "$root/deploy/dev/packages.sh"

# Another clock for one process: https://github.com/wolfcw/libfaketime
find_faketime() {
  local candidate
  faketime=
  for candidate in /usr/lib/*/faketime/libfaketime.so.1 /usr/lib*/faketime/libfaketime.so.1; do
    if [[ -e $candidate ]]; then faketime=$candidate; fi
  done
}

need_faketime() {
  local output
  find_faketime
  if [[ -z $faketime ]] && ((EUID == 0)) && type -P apt-get >/dev/null; then
    report packages 'installing faketime'
    output=$(mktemp)
    apt_install faketime 2>"$output" || tail -n 20 -- "$output" >&2
    rm -f -- "$output"
    find_faketime
  fi
  [[ -n $faketime ]] || die "$ex_unavailable" 'libfaketime is missing: on Debian or Ubuntu, apt-get install faketime'
}

# shellcheck disable=SC2317 # the trap calls it
finish() {
  local code=$?
  "$root/deploy/dev/servers.sh" wipe >>"$log" 2>&1 || code=1
  exit "$code"
}

cd -- "$root"
seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
folder=$run/chaos
log=$folder/servers.log
take_lock services
rm -rf -- "$folder"
mkdir -p -- "$folder"
need_faketime

cargo build --quiet --locked --workspace --bins 9>&-
trap finish EXIT
"$root/deploy/dev/servers.sh" wipe >"$log" 2>&1
"$root/deploy/dev/servers.sh" start >>"$log" 2>&1 || {
  show_log "$log"
  exit 1
}
"$root/deploy/dev/servers.sh" psql -qc 'CREATE DATABASE countersign'
# In a shell of its own: what it exports would be told to every service too.
(configure_services && "$binaries/countersign" migrate) >>"$log"
revision=$(git describe --always --dirty 2>/dev/null || printf 'unknown')
printf 'seed %s, revision %s; logs in %s\n' "$seed" "$revision" "${folder#"$root"/}"
status=0
"$binaries/countersign-chaos" --seed "$seed" --offset "$offset" --folder "$folder" --faketime "$faketime" \
  --revision "$revision" "$@" 9>&- || status=$?
((status == 0)) || printf 'again: SEED=%s deploy/dev/chaos.sh %s\n' "$seed" "$*"
exit "$status"
