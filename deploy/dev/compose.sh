# shellcheck shell=bash
# The servers in containers, for machines that lack the programs and have an engine: those of deploy/compose.yaml, on the
# ports of the private ones. Sourced by servers.sh, never run.
# shellcheck disable=SC2154 # the sourcing script's variables

# Which engine they were started by; stands until `wipe`, because the data lie there.
readonly compose_marker=$run/servers-in-containers

# Sets `compose` to the words that begin a command. Fails where no engine answers.
find_engine() {
  local engine engines=(docker podman)
  [[ ! -r $compose_marker ]] || read -r -a engines <"$compose_marker"
  for engine in "${engines[@]}"; do
    type -P "$engine" >/dev/null || continue
    # A client may be there without its server, or without compose.
    timeout 20 "$engine" info >/dev/null 2>&1 || continue
    timeout 20 "$engine" compose version >/dev/null 2>&1 || continue
    compose=("$engine" compose --file "$root/deploy/compose.yaml" --project-name "countersign-servers-$offset")
    export COUNTERSIGN_POSTGRES_PORT=$postgres_port COUNTERSIGN_REDIS_PORT=$redis_port
    export COUNTERSIGN_AMQP_PORT=$amqp_port COUNTERSIGN_RABBITMQ_API_PORT=$rabbitmq_api_port
    return
  done
  return 1
}

# True when the servers of this checkout are containers, or are to be: programs are missing, and an engine answers.
in_containers() { # in_containers POSTGRES_DATA
  if [[ ! -e $compose_marker ]]; then
    find_programs "$1"
    # Data of a server that is gone are not left behind for empty ones.
    ((${#missing[@]} > 0)) && [[ -z $data_version ]] && find_engine
  else
    find_engine || die "$ex_unavailable" \
      "The servers of this checkout are containers of $(<"$compose_marker"), which does not answer." \
      "Start it, or begin anew without the data in its volumes: rm $compose_marker"
  fi
}

ping_container() { # ping_container SERVER: as its health check in compose.yaml
  local question
  case $1 in
    postgres) question=(pg_isready -q -h 127.0.0.1 -U postgres -d countersign) ;;
    redis) question=(redis-cli ping) ;;
    rabbitmq) question=(rabbitmq-diagnostics -q check_port_connectivity) ;;
  esac
  "${compose[@]}" exec -T "$1" "${question[@]}" </dev/null >/dev/null 2>&1
}

start_containers() {
  local server began
  take_lock servers
  began=$(now_ms)
  printf '%s\n' "${compose[0]}" >"$compose_marker"
  report servers "programs are missing: ${compose[0]} runs postgres, redis and rabbitmq of deploy/compose.yaml"
  "${compose[@]}" up --detach postgres redis rabbitmq
  for server in postgres redis rabbitmq; do
    # The first time images come from far away, before anything is started.
    wait_until 120000 ping_container "$server" || {
      "${compose[@]}" logs --tail 20 "$server" >&2
      die 1 "$server does not answer"
    }
    report "$server" "ready in a container ($(seconds_since "$began"))"
  done
}

status_of_containers() {
  local server all=0
  for server in postgres redis rabbitmq; do
    if ping_container "$server"; then
      report "$server" "ready in a container"
    else
      report "$server" "stopped"
      all=3
    fi
  done
  return "$all"
}

stop_containers() {
  take_lock servers
  "${compose[@]}" stop
}

wipe_containers() {
  take_lock servers
  "${compose[@]}" down --volumes
  # The published head of a history that is no more.
  rm -f -- "$compose_marker" "$run/head"
}

# A terminal where there is one, else what is piped in.
in_container() { # in_container SERVER COMMAND...
  local terminal=()
  [[ -t 0 && -t 1 ]] || terminal=(-T)
  exec "${compose[@]}" exec "${terminal[@]}" "$@"
}
