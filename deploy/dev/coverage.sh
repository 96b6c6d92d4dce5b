#!/usr/bin/env bash
# Runs every test with coverage counted, prints the lines covered by crate, writes that table into tests/README.md, and
# fails below the floors: 90 % of all lines, 95 % where money and authenticity are decided.
# shellcheck source-path=SCRIPTDIR
source -- "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=packages.sh
source -- "$root/deploy/dev/packages.sh"
cd -- "$root"

# The programs that read the counts must be of the LLVM that the compiler is of.
[[ $(rustc --version --verbose) =~ LLVM\ version:\ ([0-9]+) ]] || die "$ex_unavailable" "rustc does not tell its LLVM"
llvm=${BASH_REMATCH[1]}
LLVM_COV=$(type -P "llvm-cov-$llvm") || {
  if ((EUID != 0)) || ! type -P apt-get >/dev/null; then
    die "$ex_unavailable" "llvm-cov-$llvm is missing: install llvm-$llvm"
  fi
  report packages "installing llvm-$llvm"
  apt_install "llvm-$llvm" 2>"$run/apt.log" || die "$ex_unavailable" "could not install llvm-$llvm: see $run/apt.log"
  LLVM_COV=$(type -P "llvm-cov-$llvm")
}
LLVM_PROFDATA=$(type -P "llvm-profdata-$llvm")
export LLVM_COV LLVM_PROFDATA

tools=$run/tools
export PATH=$tools/bin:$PATH
type -P cargo-llvm-cov >/dev/null || {
  report packages "building cargo-llvm-cov"
  cargo install --quiet --locked --root "$tools" cargo-llvm-cov
}

deploy/dev/servers.sh status >/dev/null || {
  trap 'deploy/dev/servers.sh stop' EXIT
  deploy/dev/servers.sh start
}
eval "$(deploy/dev/servers.sh env)"

# What tests are made of is not what they cover.
ignored='(/crates/testkit/|/tests/|/tests\.rs$|/target/)'
runner=(test)
if type -P cargo-nextest >/dev/null; then runner=(nextest --no-fail-fast); fi
cargo llvm-cov "${runner[@]}" --workspace --locked --no-report
cargo llvm-cov report --json --summary-only --ignore-filename-regex "$ignored" --output-path "$run/coverage.json"

python3 - "$run/coverage.json" tests/README.md <<'PYTHON'
import collections, json, re, sys

FLOORS = {"signature": 95, "provider": 95, "ledger": 95, "audit": 95, "all": 90}
covered, lines = collections.Counter(), collections.Counter()
for file in json.load(open(sys.argv[1]))["data"][0]["files"]:
    crate = re.search(r"/crates/([^/]+)/", file["filename"])
    for name in ([crate.group(1)] if crate else []) + ["all"]:
        covered[name] += file["summary"]["lines"]["covered"]
        lines[name] += file["summary"]["lines"]["count"]
rows = ["| crate | lines | covered | floor |", "|---|---|---|---|"]
low = []
for name in sorted(lines, key=lambda name: (name == "all", name)):
    percent = 100 * covered[name] / lines[name]
    floor = FLOORS.get(name)
    rows.append(f"| {name} | {lines[name]} | {percent:.1f} % | {f'{floor} %' if floor else ''} |")
    if floor and percent < floor:
        low.append(f"{name}: {percent:.1f} % of lines are covered, {floor} % are expected")
table = "\n".join(rows)
print(table)
text = open(sys.argv[2]).read()
begin, end = "<!-- coverage -->\n", "<!-- /coverage -->"
head, _, rest = text.partition(begin)
_, _, tail = rest.partition(end)
open(sys.argv[2], "w").write(f"{head}{begin}{table}\n{end}{tail}")
sys.exit("\n".join(low))
PYTHON
