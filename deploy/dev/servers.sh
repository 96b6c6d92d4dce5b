#!/usr/bin/env bash
# Private PostgreSQL, Redis and RabbitMQ for development and tests: loopback only, off the standard ports, state under
# .run/. Durability is left on everywhere (fsync, full_page_writes, synchronous_commit): the auditor checks it, and a
# test that passes only without it proves nothing.
#
# As root each server runs as the user of its package. Such a user may be unable to reach the checkout, so that the
# data then lies beside other temporary files, and .run/servers is a link to it.
#
# Where programs are missing and a container engine answers, they are containers instead: compose.sh.

# shellcheck source=deploy/dev/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=deploy/dev/packages.sh
source "$root/deploy/dev/packages.sh"
# shellcheck source=deploy/dev/compose.sh
source "$root/deploy/dev/compose.sh"

readonly start_timeout_ms=60000 stop_timeout_ms=30000
readonly node=countersign-$offset@localhost
readonly guest=Z3Vlc3Q6Z3Vlc3Q= # guest:guest
servers=$run/servers

usage() {
  cat <<'TEXT'
usage: deploy/dev/servers.sh COMMAND
  start         start what is not running; where this machine lacks server programs, in containers if an engine answers,
                else get the programs first
  stop          stop what this checkout started
  status        what is running; exit 0 if everything is
  install       get the server programs only
  env           print the addresses as shell exports for tests
  ctl ARGS...   rabbitmqctl on the private node
  psql ARGS...  psql on the private PostgreSQL, as its superuser
  wipe          stop and delete all data
COUNTERSIGN_PORT_OFFSET=n moves every port by n, so that two copies can run on one machine.
TEXT
}

# --- users and places -----------------------------------------------------------------------------------------------

user_of() { # user_of SERVER: whom it runs as when we are root; PostgreSQL refuses to be root
  local user candidates=("$1")
  case $1 in
    redis) candidates+=(valkey) ;;
    epmd) candidates=(rabbitmq) ;;
  esac
  for user in "${candidates[@]}" nobody; do
    ! id -u "$user" >/dev/null 2>&1 || break
  done
  printf '%s' "$user"
}

home_of() { # home_of SERVER
  case $1 in
    epmd) printf '%s' "$servers/rabbitmq" ;;
    *) printf '%s' "$servers/$1" ;;
  esac
}

workdir_of() { # workdir_of SERVER: its current directory, by which we know a process as our own
  case $1 in
    postgres) printf '%s' "$servers/postgres/data" ;;
    *) home_of "$1" ;;
  esac
}

ports_of() {
  case $1 in
    postgres) printf '%s' "$postgres_port" ;;
    redis) printf '%s' "$redis_port" ;;
    rabbitmq) printf '%s' "$amqp_port $rabbitmq_api_port $rabbitmq_dist_port" ;;
    epmd) printf '%s' "$epmd_port" ;;
  esac
}

# Puts into `as` the words that run a command as the server's user, knowing nothing of the caller's environment (a
# stray PGOPTIONS or RABBITMQ_NODENAME would make it another server). setpriv becomes the command; runuser would stay.
as_user() { # as_user SERVER
  as=()
  if ((EUID == 0)); then
    local user
    user=$(user_of "$1")
    as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --init-groups)
  fi
  as+=(env -i "PATH=$PATH" "HOME=$(home_of "$1")" LANG=C.UTF-8 LC_ALL=C.UTF-8)
}

# Where the data lies. For root a link remembers it, so that a later TMPDIR cannot lose running servers; should the
# link itself be lost, the name is worked out again.
find_place() {
  if [[ -L $servers ]]; then
    servers=$(readlink -- "$servers")
  elif ((EUID == 0)) && [[ ! -e $servers ]]; then
    local base hash
    hash=$(printf '%s' "$run" | sha256sum)
    as_user postgres
    for base in "${TMPDIR:-/tmp}" /tmp /var/tmp; do
      ! "${as[@]}" test -x "$base" || break
    done
    servers=$base/countersign-${hash:0:12}-$EUID
  fi
}

make_place() {
  find_place
  if ((EUID != 0)); then
    (umask 077 && mkdir -p -- "$servers")
    return
  fi
  # The name can be guessed, so somebody else may have been there first.
  mkdir -m 711 -- "$servers" 2>/dev/null || [[ -d $servers && ! -L $servers && -O $servers ]] ||
    die 1 "$servers exists and is not a directory of root's: remove it"
  [[ $servers != "$run/servers" ]] ||
    die 1 "$servers was made by another user than root: remove it, or be that user"
  chmod 711 -- "$servers"
  ln -sfn -- "$servers" "$run/servers"
}

own_directory() { # own_directory SERVER DIRECTORY...
  local user=
  ((EUID != 0)) || user=$(user_of "$1")
  shift
  (umask 077 && mkdir -p -- "$@")
  [[ -z $user ]] || chown "$user:$(id -g "$user")" -- "$@"
}

own_file() { # own_file SERVER FILE, contents from standard input
  local made=$2.new
  cat >"$made"
  chmod 400 -- "$made"
  ((EUID != 0)) || chown "$(user_of "$1")" -- "$made"
  mv -f -- "$made" "$2"
}

# --- PostgreSQL -----------------------------------------------------------------------------------------------------

prepare_postgres() {
  local home=$servers/postgres stale
  own_directory postgres "$home"
  as_user postgres
  if [[ ! -e $home/data ]]; then
    # Under another name until it is whole: an interrupted initdb must not pass for a database.
    rm -rf -- "$home/data.new"
    (cd -- "$home" && "${as[@]}" "$postgres_bin/initdb" -D data.new -U postgres --auth=trust --encoding=UTF8 \
      --locale=C.UTF-8 --data-checksums) >"$servers/initdb.log" 2>&1 </dev/null || {
      show_log "$servers/initdb.log" >&2
      return 1
    }
    mv -- "$home/data.new" "$home/data"
    # The published head of a history that is no more.
    rm -f -- "$run/head"
  fi
  own_file postgres "$home/data/postgresql.conf" <<CONF
# Written by deploy/dev/servers.sh at every start. What is not here has its default; see its head on durability.
listen_addresses = '127.0.0.1'
port = $postgres_port
unix_socket_directories = ''
max_connections = 300
shared_buffers = 256MB
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
log_lock_waits = on
CONF
  # After a crash and a reboot the old pid can be a stranger's, which PostgreSQL takes for a postmaster in its place.
  # The file of a pid that is nobody's stays: PostgreSQL then makes sure that no orphan still uses its memory.
  stale=$(pid_in "$home/data/postmaster.pid")
  if [[ -n $stale && -d /proc/$stale ]] && ! works_for postgres "$stale"; then
    rm -f -- "$home/data/postmaster.pid"
  fi
  command_line=("$postgres_bin/postgres" -D "$home/data")
}

ping_postgres() {
  "$postgres_bin/pg_isready" -q -t 2 -h 127.0.0.1 -p "$postgres_port"
}

# --- Redis ----------------------------------------------------------------------------------------------------------

prepare_redis() {
  local home=$servers/redis
  own_directory redis "$home"
  own_file redis "$home/redis.conf" <<CONF
bind 127.0.0.1
port $redis_port
protected-mode yes
daemonize no
dir $home
save ""
appendonly yes
appendfsync everysec
maxmemory 512mb
maxmemory-policy noeviction
CONF
  as_user redis
  command_line=("$redis_server" "$home/redis.conf")
}

ping_redis() {
  local reply
  reply=$(
    exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$redis_port" || exit
    printf 'PING\r\n' >&3
    IFS= read -r -t 2 -u 3 reply && printf '%s' "$reply"
  ) || return 1
  [[ $reply == '+PONG'* ]]
}

# --- RabbitMQ -------------------------------------------------------------------------------------------------------

# Everything that makes the node private. RUNNING_UNDER_SYSTEMD lets the start-up script become the Erlang machine
# instead of waiting for it, so that there is one process and one pid.
as_rabbitmq() {
  local home=$servers/rabbitmq loopback='-kernel inet_dist_use_interface {127,0,0,1}'
  as_user rabbitmq
  as+=(
    ERL_EPMD_PORT="$epmd_port" ERL_EPMD_ADDRESS=127.0.0.1
    RABBITMQ_NODENAME="$node"
    RABBITMQ_DIST_PORT="$rabbitmq_dist_port"
    RABBITMQ_CONF_ENV_FILE="$home/rabbitmq-env.conf"
    RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf"
    RABBITMQ_ADVANCED_CONFIG_FILE="$home/advanced.config"
    RABBITMQ_ENABLED_PLUGINS_FILE="$home/enabled_plugins"
    RABBITMQ_GENERATED_CONFIG_DIR="$home/generated"
    RABBITMQ_MNESIA_BASE="$home/data"
    RABBITMQ_LOG_BASE="$home/log"
    RABBITMQ_LOGS=-
    RABBITMQ_PID_FILE="$home/rabbitmq.pid"
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="$loopback -start_epmd false +S 2:2"
    RABBITMQ_CTL_ERL_ARGS="$loopback -start_epmd false"
    RUNNING_UNDER_SYSTEMD=true
  )
}

prepare_rabbitmq() {
  local home=$servers/rabbitmq
  own_directory rabbitmq "$home" "$home/data" "$home/log" "$home/generated"
  [[ -e $home/.erlang.cookie ]] || od -An -N 24 -tx1 /dev/urandom | tr -d ' \n' |
    own_file rabbitmq "$home/.erlang.cookie"
  own_file rabbitmq "$home/rabbitmq-env.conf" </dev/null
  own_file rabbitmq "$home/enabled_plugins" <<<'[rabbitmq_management].'
  own_file rabbitmq "$home/rabbitmq.conf" <<CONF
listeners.tcp.default = 127.0.0.1:$amqp_port
management.tcp.ip = 127.0.0.1
management.tcp.port = $rabbitmq_api_port
loopback_users.guest = true
vm_memory_high_watermark.absolute = 2GB
disk_free_limit.absolute = 200MB
log.console.level = info
CONF
  as_rabbitmq
  command_line=("$rabbitmq_bin/rabbitmq-server")
}

# The node says over HTTP whether its AMQP listener is up. Asking on the AMQP port itself would leave two warnings in
# the broker's log each time.
ping_rabbitmq() {
  http_ok "$rabbitmq_api_port" "/api/health/checks/port-listener/$amqp_port" "$guest"
}

# Erlang's port mapper, in the foreground and ours: the one that Erlang starts by itself would outlive the broker.
prepare_epmd() {
  own_directory epmd "$servers/rabbitmq"
  as_user epmd
  command_line=("$epmd" -address 127.0.0.1 -port "$epmd_port")
}

ping_epmd() {
  port_accepts "$epmd_port"
}

# --- any server -----------------------------------------------------------------------------------------------------

# True when this process works in the server's directory, and so is the server that we started: a number in a file may
# long be another process's. Root in a container may be forbidden to look into processes of others; then we ask as the
# server's user.
works_for() { # works_for SERVER PID
  local cwd
  [[ -n $2 && -d /proc/$2 ]] || return 1
  if ! cwd=$(readlink "/proc/$2/cwd" 2>/dev/null); then
    as_user "$1"
    cwd=$("${as[@]}" readlink "/proc/$2/cwd" 2>/dev/null) || return 1
  fi
  [[ $cwd == "$(workdir_of "$1")" ]]
}

alive() { # alive SERVER
  works_for "$1" "$(pid_in "$servers/$1.pid")"
}

answers_or_gone() { # answers_or_gone SERVER PID
  "ping_$1" || [[ ! -d /proc/$2 ]]
}

start_server() { # start_server SERVER
  local server=$1 log=$servers/$1.log began deadline pid
  local -a command_line=() as=() ports=()
  began=$(now_ms)
  deadline=$((began + start_timeout_ms))
  if alive "$server" && "ping_$server"; then
    [[ $server == epmd ]] || report "$server" "already running on 127.0.0.1:$(first_port "$server")"
    return
  fi
  while :; do
    if ! alive "$server"; then
      read -r -a ports <<<"$(ports_of "$server")"
      refuse_taken_ports "$server" "${ports[@]}"
      "prepare_$server"
      launch "$servers/$server.pid" "$log" "$(workdir_of "$server")" "${as[@]}" "${command_line[@]}"
    fi
    pid=$(pid_in "$servers/$server.pid")
    wait_until $((deadline - $(now_ms))) answers_or_gone "$server" "$pid" || {
      report "$server" "not ready after $(seconds_since "$began")"
      show_log "$log"
      return 1
    }
    [[ ! -d /proc/$pid ]] || break
    # It ended. These two go away by themselves: an outgoing connection of some program lately had our port, or the
    # last processes of a killed PostgreSQL are still leaving. epmd does not say why it ended.
    if (($(now_ms) > deadline)) || { [[ $server != epmd ]] && ! grep -Eqi 'address already in use|eaddrinuse|pre-existing shared memory' "$log"; }; then
      report "$server" "ended during start-up"
      show_log "$log"
      return 1
    fi
    sleep 0.5
  done
  [[ $server == epmd ]] || report "$server" "ready on 127.0.0.1:$(first_port "$server") ($(seconds_since "$began"))"
}

first_port() { # first_port SERVER
  local ports
  ports=$(ports_of "$1")
  printf '%s' "${ports%% *}"
}

stop_server() { # stop_server SERVER
  local server=$1 signal=TERM pid
  local -a as=()
  if ! alive "$server"; then
    [[ $server == epmd ]] || report "$server" "not running"
    rm -f -- "$servers/$server.pid"
    return
  fi
  pid=$(pid_in "$servers/$server.pid")
  [[ $server != postgres ]] || signal=INT # "fast": does not wait for clients to leave
  kill -s "$signal" "$pid"
  if ! wait_until "$stop_timeout_ms" dead "$server"; then
    report "$server" "did not stop within $((stop_timeout_ms / 1000)) s: killed"
    kill -s KILL "$pid"
    wait_until 5000 dead "$server" || return 1
  fi
  rm -f -- "$servers/$server.pid"
  [[ $server == epmd ]] || report "$server" "stopped"
}

dead() { # dead SERVER
  ! alive "$1"
}

# --- commands -------------------------------------------------------------------------------------------------------

in_parallel() { # in_parallel COMMAND... : each in its own process, its words in one piece; fails if one fails
  local command pids=() pid status=0
  for command in "$@"; do
    aloud "$command" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do
    wait "$pid" || status=1
  done
  return "$status"
}

aloud() { # aloud COMMAND
  local words status
  # Not in a condition: that would switch off "set -e" in all that the command does.
  set +e
  words=$(
    set -e
    $1 2>&1
  )
  status=$?
  set -e
  if ((status == 0)); then printf '%s\n' "$words"; else printf '%s\n' "$words" >&2; fi
  return "$status"
}

start_broker() {
  start_server epmd
  start_server rabbitmq
}

stop_broker() {
  stop_server rabbitmq
  stop_server epmd
}

start() {
  local -a as=()
  find_place
  if in_containers "$servers/postgres/data"; then
    start_containers
    return
  fi
  need_programs "$servers/postgres/data"
  take_lock servers
  make_place
  in_parallel 'start_server postgres' 'start_server redis' start_broker
}

stop() {
  local -a as=()
  find_place
  if [[ -e $compose_marker ]] && in_containers "$servers/postgres/data"; then
    stop_containers
    return
  fi
  [[ -d $servers ]] || {
    report servers "nothing to stop"
    return
  }
  take_lock servers
  in_parallel 'stop_server postgres' 'stop_server redis' stop_broker
}

status() {
  local server all=0
  local -a as=()
  find_place
  if [[ -e $compose_marker ]] && in_containers "$servers/postgres/data"; then
    status_of_containers
    return
  fi
  find_programs "$servers/postgres/data"
  for server in postgres redis rabbitmq; do
    if ! alive "$server"; then
      report "$server" "stopped"
      all=3
    elif "ping_$server"; then
      report "$server" "ready on 127.0.0.1:$(first_port "$server") (pid $(pid_in "$servers/$server.pid"))"
    else
      report "$server" "running but not answering (pid $(pid_in "$servers/$server.pid"))"
      all=3
    fi
  done
  return "$all"
}

print_env() {
  cat <<ENV
export COUNTERSIGN_TEST_POSTGRES_URL=postgres://postgres@127.0.0.1:$postgres_port/postgres
export COUNTERSIGN_TEST_REDIS_URL=redis://127.0.0.1:$redis_port/0
export COUNTERSIGN_TEST_AMQP_URL=amqp://guest:guest@127.0.0.1:$amqp_port/%2f
export COUNTERSIGN_TEST_RABBITMQ_API=http://guest:guest@127.0.0.1:$rabbitmq_api_port
ENV
}

ctl() {
  local -a as=()
  find_place
  if [[ -e $compose_marker ]] && in_containers "$servers/postgres/data"; then in_container rabbitmq rabbitmqctl "$@"; fi
  find_programs "$servers/postgres/data"
  [[ -n $rabbitmq_bin && -d $servers/rabbitmq ]] || die 1 "no private RabbitMQ here yet: run deploy/dev/servers.sh start"
  as_rabbitmq
  cd -- "$servers/rabbitmq"
  "${as[@]}" "$rabbitmq_bin/rabbitmqctl" --node "$node" "$@"
}

# Called psql_here so that nothing shadows the program.
psql_here() {
  local -a as=()
  find_place
  if [[ -e $compose_marker ]] && in_containers "$servers/postgres/data"; then
    in_container postgres psql -X -h 127.0.0.1 -U postgres "$@"
  fi
  find_programs "$servers/postgres/data"
  [[ -n $postgres_bin ]] || die "$ex_unavailable" "no PostgreSQL on this machine: run deploy/dev/servers.sh install"
  # Of the caller's environment nothing that would lead psql elsewhere.
  local name
  for name in "${!PG@}"; do unset "$name"; done
  exec "$postgres_bin/psql" -X -h 127.0.0.1 -p "$postgres_port" -U postgres "$@"
}

wipe() {
  if [[ -e $compose_marker ]] && in_containers "$servers/postgres/data"; then wipe_containers; fi
  stop
  # The link's target, then the link.
  rm -rf -- "$servers" "$run/servers"
  report servers "data deleted"
}

command=${1:-help}
(($# == 0)) || shift
case $command in
  start) start ;;
  stop) stop ;;
  status) status ;;
  install)
    find_place
    need_programs "$servers/postgres/data"
    ;;
  env) print_env ;;
  ctl) ctl "$@" ;;
  psql) psql_here "$@" ;;
  wipe) wipe ;;
  help | -h | --help) usage ;;
  *)
    usage >&2
    exit "$ex_usage"
    ;;
esac
