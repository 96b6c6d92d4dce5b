#!/usr/bin/env bash
# What `make lint` runs. The cheapest checks come first; the first that fails ends it.

# shellcheck source=deploy/dev/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=deploy/dev/packages.sh
source "$root/deploy/dev/packages.sh"
cd -- "$root"

step() { # step WHAT
  printf '== %s\n' "$1"
}

# Outside a repository git would find nothing to complain of.
git rev-parse --is-inside-work-tree >/dev/null

step "no work left undone in tracked files"
# The brackets keep the pattern from matching itself.
undone='\b(TO[D]O|FIX[M]E|X[X]X)\b|\b(to[d]o|unimpl[e]mented)!'
if git grep -nIE "$undone" -- '*.rs' '*.sh' '*.toml' '*.yaml' '*.sql' '*.md' Makefile .ci; then
  die 1 "finish these or open an issue"
fi

step "shellcheck"
if ! type -P shellcheck >/dev/null; then
  if ((EUID != 0)) || ! type -P apt-get >/dev/null; then
    die "$ex_unavailable" "shellcheck is missing: install it (on Debian or Ubuntu, apt-get install shellcheck)"
  fi
  apt_install shellcheck
fi
mapfile -d '' scripts < <(git ls-files -z -- '*.sh' .ci/run)
((${#scripts[@]} == 0)) || shellcheck -x "${scripts[@]}"

step "cargo fmt"
cargo fmt --all --check

step "cargo clippy"
cargo clippy --workspace --all-targets --locked -- -D warnings

step "cargo doc"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

step "the rules of the house"
cargo test --locked -p countersign-tests --test house
