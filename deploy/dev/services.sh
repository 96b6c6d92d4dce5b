# shellcheck shell=bash
# The three services as background processes: what they are told, how they start, how they stop.
# Sourced, never run; brings common.sh along.
# shellcheck disable=SC2034

# shellcheck source=deploy/dev/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

readonly service_start_timeout_ms=30000 service_stop_timeout_ms=40000

binaries=${CARGO_TARGET_DIR:-target}/debug
[[ $binaries == /* ]] || binaries=$root/$binaries

# In the order of starting: whoever books and checks is there before deliveries come in. Stopped the other way round.
services=(auditor processor ingress)

admin_port_of() { # admin_port_of SERVICE
  case $1 in
    ingress) printf '%s' "$ingress_admin_port" ;;
    processor) printf '%s' "$processor_admin_port" ;;
    auditor) printf '%s' "$auditor_admin_port" ;;
  esac
}

# The development configuration is written for offset 0. For another one every address in it is overridden through the
# environment: COUNTERSIGN_CFG__SECTION__KEY stands for [section] key. Only ports of ours move; only strings on one
# line are looked at, which is all that the file has.
configure_services() {
  export COUNTERSIGN_CONFIG=$root/deploy/dev/countersign.toml
  ((offset != 0)) || return 0
  export COUNTERSIGN_CFG__AUDITOR__HEAD_FILE=$run/head
  local line section='' key value moved rest name
  while IFS= read -r line; do
    if [[ $line =~ ^\[([A-Za-z0-9_.]+)\] ]]; then
      section=${BASH_REMATCH[1]}
    elif [[ $line =~ ^([A-Za-z0-9_]+)[[:space:]]*=[[:space:]]*\"([^\"]*)\" ]]; then
      key=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]} moved='' rest=${BASH_REMATCH[2]}
      while [[ $rest =~ ^(.*)(127\.0\.0\.1:)(8080|9081|9082|9083|55432|56379|55672|55674)([^0-9].*)?$ ]]; do
        rest=${BASH_REMATCH[1]}
        moved=${BASH_REMATCH[2]}$((BASH_REMATCH[3] + offset))${BASH_REMATCH[4]}$moved
      done
      moved=$rest$moved
      [[ $moved != "$value" ]] || continue
      name=COUNTERSIGN_CFG__${section:+${section//./__}__}$key
      export "${name^^}=$moved"
    fi
  done <"$COUNTERSIGN_CONFIG"
}

# True when the process in the pid file is this service of this checkout at this offset.
service_alive() { # service_alive SERVICE
  local pid executable variable
  pid=$(pid_in "$run/$1.pid")
  [[ -n $pid ]] || return 1
  executable=$(readlink "/proc/$pid/exe" 2>/dev/null) || return 1
  # A binary that has been built again since shows as deleted.
  [[ ${executable% (deleted)} == "$(readlink -m -- "$binaries/countersign-$1")" ]] || return 1
  while IFS= read -r -d '' variable; do
    [[ $variable != "COUNTERSIGN_PORT_OFFSET=$offset" ]] || return 0
  done 2>/dev/null <"/proc/$pid/environ"
  return 1
}

# True when it runs the present binary with the present configuration.
service_current() { # service_current SERVICE
  service_alive "$1" &&
    [[ $(readlink "/proc/$(pid_in "$run/$1.pid")/exe") != *' (deleted)' ]] &&
    [[ ! $COUNTERSIGN_CONFIG -nt $run/$1.pid ]]
}

start_service() { # start_service SERVICE
  local service=$1 ports
  if service_current "$service"; then return; fi
  if service_alive "$service"; then stop_service "$service"; fi
  ports=("$(admin_port_of "$service")")
  [[ $service != ingress ]] || ports+=("$webhook_port")
  refuse_taken_ports "$service" "${ports[@]}" >&2
  launch "$run/$service.pid" "$run/$service.log" "$root" "$binaries/countersign-$service"
}

ready_or_gone() { # ready_or_gone SERVICE PID
  http_ok "$(admin_port_of "$1")" /readyz || [[ ! -d /proc/$2 ]]
}

await_service() { # await_service SERVICE
  local service=$1 port pid began
  began=$(now_ms)
  port=$(admin_port_of "$service")
  pid=$(pid_in "$run/$service.pid")
  if ! wait_until "$service_start_timeout_ms" ready_or_gone "$service" "$pid"; then
    report "$service" "not ready after $(seconds_since "$began"): /readyz on 127.0.0.1:$port says $(http_status "$port" /readyz)" >&2
  elif [[ ! -d /proc/$pid ]]; then
    report "$service" "ended during start-up" >&2
  else
    report "$service" "ready, admin on 127.0.0.1:$port (pid $pid)"
    return
  fi
  show_log "$run/$service.log" >&2
  return 1
}

service_gone() { # service_gone SERVICE
  ! service_alive "$1"
}

stop_service() { # stop_service SERVICE
  local service=$1 pid
  pid=$(pid_in "$run/$service.pid")
  if ! service_alive "$service"; then
    report "$service" "not running"
  else
    kill -s TERM "$pid"
    if wait_until "$service_stop_timeout_ms" service_gone "$service"; then
      report "$service" "stopped"
    else
      report "$service" "did not stop within $((service_stop_timeout_ms / 1000)) s: killed"
      show_log "$run/$service.log"
      kill -s KILL "$pid"
      wait_until 5000 service_gone "$service"
    fi
  fi
  rm -f -- "$run/$service.pid"
}
