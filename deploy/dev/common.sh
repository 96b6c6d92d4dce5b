# shellcheck shell=bash
# What the scripts of this directory share: where state lives, which ports are used, how to wait and how to fail.
# Sourced, never run. The variables set here are read by the sourcing script.
# shellcheck disable=SC2034

set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)

# Exit codes of sysexits.h, as in the binaries.
readonly ex_usage=64 ex_unavailable=69

die() { # die EXIT_CODE MESSAGE...
  local code=$1
  shift
  printf '%s\n' "$@" >&2
  exit "$code"
}

# Two copies of the system on one machine differ by this number. Neighbouring ports are in use (8080; 9081 to 9083;
# 55672 to 55674), so take steps of ten. Linux gives connections ports from 32768 to 60999, by chance one of a server that is
# down for a moment; from 6700 on no port of ours is among them.
export COUNTERSIGN_PORT_OFFSET=${COUNTERSIGN_PORT_OFFSET:-0}
offset=$COUNTERSIGN_PORT_OFFSET
if [[ ! $offset =~ ^(0|[1-9][0-9]{0,3})$ ]] || ((offset > 9000)); then
  die "$ex_usage" "COUNTERSIGN_PORT_OFFSET must be a whole number from 0 to 9000, not '$offset'"
fi

postgres_port=$((55432 + offset))
redis_port=$((56379 + offset))
amqp_port=$((55672 + offset))
rabbitmq_dist_port=$((55673 + offset))
rabbitmq_api_port=$((55674 + offset))
epmd_port=$((54369 + offset))
webhook_port=$((8080 + offset))
ingress_admin_port=$((9081 + offset))
processor_admin_port=$((9082 + offset))
auditor_admin_port=$((9083 + offset))

# All state and all logs. Each offset has its own, so that one checkout can run two systems side by side.
run=$root/.run
((offset == 0)) || run=$run/offset-$offset

# Every line that the scripts print about a server or service looks alike.
report() { # report NAME WHAT...
  local name=$1
  shift
  printf '%-22s %s\n' "$name" "$*"
}

now_ms() {
  printf '%d' $((${EPOCHREALTIME/[.,]/} / 1000))
}

seconds_since() { # seconds_since MS: elapsed time, as in "0.8 s"
  local ms=$(($(now_ms) - $1))
  printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
}

# True when COMMAND succeeds within the time; asks again every 100 ms.
wait_until() { # wait_until TIMEOUT_MS COMMAND...
  local deadline_us=$((${EPOCHREALTIME/[.,]/} + $1 * 1000))
  shift
  until "$@"; do
    ((${EPOCHREALTIME/[.,]/} < deadline_us)) || return 1
    sleep 0.1
  done
}

port_accepts() { # port_accepts PORT
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The status code of a GET, or 000. In plain bash, so that a bare machine needs no curl.
http_status() { # http_status PORT PATH [USER:PASSWORD, in base64]
  local line
  line=$(
    exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$1" || exit
    printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n' "$2" "$1" >&3
    [[ -z ${3:-} ]] || printf 'Authorization: Basic %s\r\n' "$3" >&3
    printf '\r\n' >&3
    IFS= read -r -t 2 -u 3 line && printf '%s' "$line"
  ) || true
  if [[ $line =~ ^HTTP/1\.[01]\ ([0-9]{3}) ]]; then printf '%s' "${BASH_REMATCH[1]}"; else printf '000'; fi
}

http_ok() { # http_ok PORT PATH [USER:PASSWORD, in base64]
  [[ $(http_status "$@") == 200 ]]
}

# Run COMMAND detached from this terminal and from every descriptor of the caller, so that nobody who waits for the
# end of our output waits for a server. Its pid goes to PID_FILE: nothing between here and the command forks.
launch() { # launch PID_FILE LOG_FILE DIRECTORY COMMAND...
  local pid_file=$1 log_file=$2 directory=$3
  shift 3
  [[ ! -e $log_file ]] || mv -f -- "$log_file" "$log_file.1"
  (
    cd -- "$directory"
    for fd in /proc/self/fd/*; do
      fd=${fd##*/}
      ((fd <= 2 || fd == 255)) || exec {fd}>&-
    done
    exec setsid "$@"
  ) </dev/null >"$log_file" 2>&1 &
  printf '%s\n' "$!" >"$pid_file"
}

pid_in() { # pid_in PID_FILE: the number in it, or nothing
  local pid=
  [[ ! -r $1 ]] || read -r pid <"$1" || true
  [[ ! $pid =~ ^[0-9]+$ ]] || printf '%s' "$pid"
}

show_log() { # show_log LOG_FILE: its end, indented
  printf '  last lines of %s:\n' "$1"
  tail -n 20 -- "$1" 2>/dev/null | sed 's/^/    /'
}

# One start or stop at a time. The lock goes with the process that holds it.
take_lock() { # take_lock NAME
  mkdir -p -- "$run"
  exec 9>"$run/$1.lock"
  flock -w 180 9 || die 1 "another start or stop of the $1 in $run has been busy for three minutes"
}

refuse_taken_ports() { # refuse_taken_ports NAME PORT...
  local name=$1 port holder
  shift
  for port in "$@"; do
    port_accepts "$port" || continue
    holder="another process"
    if type -P ss >/dev/null && [[ $(ss -Hltnp "sport = :$port") =~ \(\(\"([^\"]+)\",pid=([0-9]+) ]]; then
      holder="${BASH_REMATCH[1]} (pid ${BASH_REMATCH[2]}), which this checkout did not start"
    fi
    report "$name" "cannot start: 127.0.0.1:$port is held by $holder"
    report '' "stop it, or choose other ports, as with COUNTERSIGN_PORT_OFFSET=10"
    return 1
  done
}
