# shellcheck shell=bash
# Finding the server programs on this machine, and getting those that it lacks. Sourced after common.sh, never run.
# shellcheck disable=SC2034,SC2154

# Sets postgres_bin, redis_server, rabbitmq_bin and epmd; `missing` gets the Debian packages of those not found.
find_programs() { # find_programs POSTGRES_DATA
  local directory version
  missing=() data_version=

  # The newest server of at least version 15, or the one that made the existing data.
  postgres_bin=
  [[ ! -r $1/PG_VERSION ]] || read -r data_version <"$1/PG_VERSION"
  while read -r directory; do
    [[ -x $directory/initdb && -x $directory/pg_isready && -x $directory/psql ]] || continue
    version=$("$directory/postgres" --version) || continue
    [[ $version =~ \)\ ([0-9]+) ]] || continue
    version=${BASH_REMATCH[1]}
    if ((version >= 15)) && [[ -z $data_version || $data_version == "$version" ]]; then
      postgres_bin=$directory
      break
    fi
  done < <(
    printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV
    dirname -- "$(readlink -f -- "$(type -P postgres || printf '/none')")"
  )
  [[ -n $postgres_bin ]] || missing+=(postgresql)

  redis_server=$(type -P redis-server || type -P valkey-server) || missing+=(redis-server)

  # Not the wrappers in /usr/sbin: they go through su and lose the environment that makes the node private.
  rabbitmq_bin=
  for directory in /usr/lib/rabbitmq/bin "$(dirname -- "$(readlink -f -- "$(type -P rabbitmq-server || printf '/none')")")"; do
    [[ -x $directory/rabbitmq-server && -x $directory/rabbitmqctl ]] || continue
    rabbitmq_bin=$directory
    break
  done
  epmd=$(type -P epmd) || epmd=
  [[ -n $rabbitmq_bin && -n $epmd ]] || missing+=(rabbitmq-server)
}

need_programs() { # need_programs POSTGRES_DATA
  find_programs "$1"
  ((${#missing[@]} > 0)) || return 0
  [[ -n $postgres_bin || -z $data_version ]] || die "$ex_unavailable" \
    "The data in $1 is of PostgreSQL $data_version, which is not on this machine." \
    "Install that version, or delete the data of all servers: deploy/dev/servers.sh wipe"
  if ((EUID == 0)) && type -P apt-get >/dev/null; then
    report packages "installing ${missing[*]}"
    local output
    output=$(mktemp)
    apt_install "${missing[@]}" 2>"$output" || {
      tail -n 20 -- "$output" >&2
      die "$ex_unavailable" "could not install ${missing[*]}: the last lines of apt-get are above, all of them in $output"
    }
    rm -f -- "$output"
    find_programs "$1"
  fi
  ((${#missing[@]} == 0)) || die "$ex_unavailable" \
    "Server programs are missing, and no container engine with compose answers (docker, podman): start one, or install" \
    "PostgreSQL 15 or newer, Redis (or Valkey) and RabbitMQ with Erlang," \
    "on Debian or Ubuntu: apt-get install --no-install-recommends ${missing[*]}" \
    "(as root, 'deploy/dev/servers.sh install' does it without starting servers on the standard ports)"
}

# Install Debian packages and leave no other trace: two files stand in while apt runs, so that no package starts a
# server on a standard port (policy-rc.d) or makes a database cluster that nobody asked for; whatever was there returns.
#
# Callers ask whether it failed, which switches off "set -e" in here: each step that matters says so itself.
apt_install() ( # apt_install PACKAGE...
  exec </dev/null >&2
  export DEBIAN_FRONTEND=noninteractive
  apt=(apt-get -q -y -o DPkg::Lock::Timeout=120)
  policy=/usr/sbin/policy-rc.d
  cluster=/etc/postgresql-common/createcluster.conf
  kept=$(mktemp -d) || exit
  # shellcheck disable=SC2317 # the trap calls it
  give_back() {
    for file in "$policy" "$cluster"; do
      if [[ -e $kept/${file##*/} ]]; then
        mv -f -- "$kept/${file##*/}" "$file"
      elif [[ -e $kept/${file##*/}.absent ]]; then
        rm -f -- "$file"
      fi
    done
    rm -rf -- "$kept"
  }
  stand_in() { # stand_in FILE MODE LINE...
    if [[ -e $1 ]]; then cp -p -- "$1" "$kept/"; else : >"$kept/${1##*/}.absent"; fi &&
      printf '%s\n' "${@:3}" >"$1" && chmod "$2" "$1" || exit
  }
  trap give_back EXIT
  trap 'exit 130' INT TERM HUP

  "${apt[@]}" update || "${apt[@]}" update
  stand_in "$policy" 755 '#!/bin/sh' 'exit 101'
  if [[ " $* " == *' postgresql '* ]]; then
    # Brings the file of its own that stands aside for the server's installation.
    "${apt[@]}" install --no-install-recommends postgresql-common || exit
    stand_in "$cluster" 644 'create_main_cluster = false'
  fi
  "${apt[@]}" install --no-install-recommends "$@"
)
