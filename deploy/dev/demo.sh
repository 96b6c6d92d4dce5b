#!/usr/bin/env bash
# From nothing to a balanced ledger, and back to nothing: a system of its own beside the one of `make up` (its ports are 6705
# higher), empty at the start, stopped at the end. Exits 0 only if everything was answered and booked as promised.

export COUNTERSIGN_PORT_OFFSET=$((${COUNTERSIGN_PORT_OFFSET:-0} + 6705))
# shellcheck source=deploy/dev/services.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/services.sh"

readonly booking_timeout_ms=30000
readonly log=$run/demo.log
failures=0

heading() { # heading TEXT
  printf '\033[1m%s\033[0m\n' "$1"
}

countersign() {
  "$binaries/countersign" "$@"
}

failed() { # failed TEXT
  printf '  ^ %s\n' "$1"
  failures=$((failures + 1))
}

# Sends as the provider would and compares the (last) answer with what is promised.
deliver() { # deliver WORD EXPLANATION SEND_ARGUMENTS...
  local expected=$1 explanation=$2 answer
  shift 2
  answer=$(countersign send "$@" 2>&1) || failed "countersign send exited with $?"
  answer=${answer##*$'\n'}
  printf '  %-54s %s\n' "$explanation" "$answer"
  [[ $answer == "$expected "* ]] || failed "expected: $expected"
}

expect() { # expect WHAT EXPECTED ACTUAL
  [[ $2 == "$3" ]] || failed "$(printf '%s: expected\n%s\nfound\n%s' "$1" "$2" "$3")"
}

query() { # query SQL
  "$root/deploy/dev/servers.sh" psql -d countersign -tAc "$1"
}

recorded() { # recorded COUNT
  [[ $(query 'SELECT count(*) FROM countersign.delivery') -ge $1 ]]
}

# The cache is told after COMMIT; a moment later a replay is answered with the stored result.
result_stored() { # result_stored SEND_ARGUMENTS...
  [[ $(countersign send "$@") == *'"outcome":"booked"'* ]]
}

finish() {
  local code=$?
  "$root/deploy/dev/down.sh" >>"$log" 2>&1 || code=1
  exit "$code"
}

cd -- "$root"
configure_services

"$root/deploy/dev/down.sh" >/dev/null
"$root/deploy/dev/servers.sh" wipe >/dev/null
mkdir -p -- "$run"
heading "Starting private servers and the three services; the first time builds them, which takes minutes (${log#"$root"/})"
trap finish EXIT
began=$(now_ms)
"$root/deploy/dev/up.sh" >"$log" 2>&1 || {
  show_log "$log"
  exit 1
}
printf '  ready after %s\n' "$(seconds_since "$began")"

heading 'What the providers send, and what they are answered'
stripe=(--source stripe --event)
telegram=(--source telegram --event)
charge=("${stripe[@]}" charge.succeeded --id evt_demo_1 --object ch_demo_1 --amount 4200)
stale=("${stripe[@]}" charge.succeeded --id evt_demo_6 --object ch_demo_6 --amount 500 --created-ago 600)
deliver accepted 'Stripe: a charge of 42.00 USD' "${charge[@]}"
deliver accepted 'the same money, told by its payment intent' "${stripe[@]}" payment_intent.succeeded --id evt_demo_2 --object pi_demo_1 --amount 4200
deliver answerPreCheckoutQuery 'Telegram asks whether a payment may go on' "${telegram[@]}" pre_checkout_query --id 1001 --amount 75
deliver accepted '75 Stars were paid' "${telegram[@]}" successful_payment --id 1002 --amount 75
deliver accepted '19.99 USD were paid, which Stripe settles' "${telegram[@]}" successful_payment --id 1003 --object tpc_demo_3 --amount 1999 --currency USD
deliver replayed 'Stripe tells of the same money, then a duplicate of it' "${stripe[@]}" charge.succeeded --id evt_demo_3 --object ch_demo_3 --amount 1999 --repeat
deliver signature-mismatch 'a forgery' "${stripe[@]}" charge.succeeded --id evt_demo_4 --amount 100000000 --forge
deliver signature-expired 'a request that was recorded 700 s ago, played back' "${stripe[@]}" charge.succeeded --id evt_demo_5 --age 700
deliver event-too-old 'a stale event: signed now, made 600 s ago' "${stale[@]}"
wait_until "$booking_timeout_ms" recorded 7 || failed "$(query 'SELECT count(*) FROM countersign.delivery') of 7 deliveries are in the books"
wait_until "$booking_timeout_ms" result_stored "${charge[@]}" || failed 'the cache has no stored result'
deliver replayed 'the charge again: its result comes from the cache' "${charge[@]}"

heading 'What became of each'
countersign events

heading 'An operator looks at the stale event, and releases it'
countersign release --refusal event-too-old --since 1h --reason 'the provider was late, says its status page' ||
  failed "countersign release exited with $?"
standings=$(query "SELECT event_id || ' ' || concat_ws(' ', standing.status, standing.reason)
  FROM countersign.event JOIN countersign.event_standing AS standing ON standing.event_row = event.id
  ORDER BY event_id COLLATE \"C\"")
expect 'what became of each' "7000000001:1001 ignored moves-no-money
7000000001:1002 booked
7000000001:1003 booked
evt_demo_1 booked
evt_demo_2 booked
evt_demo_3 booked
evt_demo_6 booked" "$standings"
wait_until "$booking_timeout_ms" result_stored "${stale[@]}" || failed 'the cache was not told of the release'
deliver replayed 'it comes again: it is booked already' "${stale[@]}"

heading "Trial balance, and the auditor's verdict"
verdict=$(countersign verify) || failed "countersign verify exited with $?"
countersign balances
printf '%s\n' "${verdict%%$'\n'*}"
[[ $verdict == 'Ledger balance verified'* ]] || failed 'expected: Ledger balance verified'

expect 'transactions' 4 "$(query 'SELECT count(*) FROM countersign.transaction')"
clearing=$(query "SELECT account || ' ' || sum(amount_minor) || ' ' || currency FROM countersign.journal
  WHERE account LIKE '%:clearing' GROUP BY account, currency ORDER BY account")
expect 'in clearing' "assets:stripe:clearing 6699 USD
assets:telegram:clearing 75 XTR" "$clearing"

if ((failures > 0)); then
  printf '%s thing(s) were not as promised\n' "$failures"
  exit 1
fi
heading 'All as promised: every payment booked once, the forgery and the old request refused, the books balanced.'
