#!/usr/bin/env bash
# From nothing to a balanced ledger, and back to nothing: a system of its own beside the one of `make up` (its ports are
# five higher), empty at the start, stopped at the end. Exits 0 only if everything was answered and booked as promised.

export COUNTERSIGN_PORT_OFFSET=$((${COUNTERSIGN_PORT_OFFSET:-0} + 5))
# shellcheck source=deploy/dev/services.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/services.sh"

readonly booking_timeout_ms=30000
failures=0

heading() { # heading TEXT
  printf '\n\033[1m%s\033[0m\n' "$1"
}

countersign() {
  "$binaries/countersign" "$@"
}

# Sends as the provider would and compares the answer with what is promised.
deliver() { # deliver WORD EXPLANATION SEND_ARGUMENTS...
  local expected=$1 explanation=$2 answer
  shift 2
  answer=$(countersign send --source stripe "$@" 2>&1) || true
  answer=${answer##*$'\n'}
  printf '  %-47s %s\n' "$explanation" "$answer"
  if [[ $answer != "$expected "* ]]; then
    printf '  ^ expected: %s\n' "$expected"
    failures=$((failures + 1))
  fi
}

expect() { # expect WHAT EXPECTED ACTUAL
  if [[ $2 != "$3" ]]; then
    printf '  %s: expected %s, found %s\n' "$1" "$2" "$3"
    failures=$((failures + 1))
  fi
}

query() { # query SQL
  "$root/deploy/dev/servers.sh" psql -d countersign -tAc "$1"
}

recorded() { # recorded COUNT
  [[ $(query 'SELECT count(*) FROM countersign.delivery') -ge $1 ]]
}

# The cache is told after COMMIT; a moment later a replay is answered with the stored result.
result_stored() {
  [[ $(countersign send --source stripe --event charge.succeeded --id evt_demo_1 --object ch_demo_1 --amount 4200) == *'"outcome":"booked"'* ]]
}

finish() {
  local code=$?
  heading 'Stopping'
  "$root/deploy/dev/down.sh" || code=1
  exit "$code"
}

cd -- "$root"
configure_services

heading 'Starting private servers and the three services'
"$root/deploy/dev/down.sh" >/dev/null
"$root/deploy/dev/servers.sh" wipe >/dev/null
trap finish EXIT
"$root/deploy/dev/up.sh"

heading 'What the provider sends, and what it is answered'
charge=(--event charge.succeeded --id evt_demo_1 --object ch_demo_1 --amount 4200)
deliver accepted 'a charge of 42.00 USD' "${charge[@]}"
deliver accepted 'the same money, told by its payment intent' --event payment_intent.succeeded --id evt_demo_2 --object pi_demo_1 --amount 4200
deliver accepted 'a charge of 1250 JPY' --event charge.succeeded --id evt_demo_3 --object ch_demo_3 --amount 1250 --currency JPY
deliver accepted 'a charge of 9.99 EUR' --event charge.succeeded --id evt_demo_4 --object ch_demo_4 --amount 999 --currency EUR
deliver accepted 'an event that moves no money' --event customer.created --id evt_demo_5
deliver signature-mismatch 'a forgery' --event charge.succeeded --id evt_demo_6 --amount 100000000 --forge
deliver signature-expired 'an old request, played back' --event charge.succeeded --id evt_demo_7 --age 700
wait_until "$booking_timeout_ms" recorded 5 || expect 'deliveries in the books' 5 "$(query 'SELECT count(*) FROM countersign.delivery')"
wait_until "$booking_timeout_ms" result_stored || expect 'stored result' yes no
deliver replayed 'the first charge again: answered from the cache' "${charge[@]}"

heading 'What became of each'
countersign events

heading 'Trial balance'
countersign balances

heading "The auditor's verdict"
countersign verify || failures=$((failures + 1))

expect 'transactions' 3 "$(query 'SELECT count(*) FROM countersign.transaction')"
expect 'events' 5 "$(query 'SELECT count(*) FROM countersign.event')"
expect 'booked events' 4 "$(query "SELECT count(*) FROM countersign.event WHERE outcome = 'booked'")"
expect 'US cents in clearing' 4200 "$(query "SELECT sum(amount_minor) FROM countersign.journal WHERE account = 'assets:stripe:clearing' AND currency = 'USD'")"

if ((failures > 0)); then
  printf '\n%s thing(s) were not as promised\n' "$failures"
  exit 1
fi
printf '\nAll as promised: %s\n' 'every event booked once, the forgery and the old request refused, the books balanced.'
