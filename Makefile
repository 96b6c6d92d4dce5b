# Every target says what it does in `make help`. The work is in deploy/dev/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help up down demo test check lint coverage chart sim chaos soak bench

pure := money signature handle ledger audit provider wire ports ingress processor testkit
run_tests := $(if $(shell type -P cargo-nextest),nextest run,test)

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

up: ## the whole system, left running in the background
	@deploy/dev/up.sh

down: ## stop what `make up` started
	@deploy/dev/down.sh

demo: ## from nothing to a balanced ledger: real signed events, a duplicate, a forgery, a stale one released, the verdict
	@deploy/dev/demo.sh

test: ## every test, on real servers, the chart's, a few minutes of chaos, and the demo
	@deploy/dev/servers.sh status >/dev/null || {
		trap 'deploy/dev/servers.sh stop' EXIT
		deploy/dev/servers.sh start
	}
	eval "$$(deploy/dev/servers.sh env)"
	cargo $(run_tests) --locked --workspace
	$(if $(findstring nextest,$(run_tests)),cargo test --doc --locked --workspace)
	deploy/dev/chart.sh
	SEED=1 deploy/dev/chaos.sh
	deploy/dev/demo.sh

check: ## what needs no servers, within a minute: format, clippy, pure tests
	@cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo $(run_tests) --locked $(pure:%=-p countersign-%)
	cargo $(run_tests) --locked -p countersign-tests --test house --test simulation

sim: ## simulated histories, in release: make sim SEED= RUNS=
	@SIM_SEED=$(SEED) SIM_RUNS=$(or $(RUNS),$(if $(SEED),1,20000)) \
		cargo test --release --locked -p countersign-tests --test simulation p1_ -- --nocapture

chaos: ## everything broken on purpose, each fault once, or all of them for MINUTES: make chaos SEED= MINUTES=
	@SEED=$(SEED) deploy/dev/chaos.sh $(if $(MINUTES),--minutes $(MINUTES))

soak: ## load without faults, watched for drift: make soak MINUTES=
	@SEED=$(SEED) deploy/dev/chaos.sh --soak --minutes $(or $(MINUTES),10)

chart: ## the Helm chart, the image's files, rules, dashboards and runbooks, tested without a cluster
	@deploy/dev/chart.sh

bench: ## what auditing costs, on books of 10 million entries (7 GB for a while): make bench ENTRIES=
	@ENTRIES=$(or $(ENTRIES),10000000) deploy/dev/bench.sh

coverage: ## every test with its coverage counted; the table goes to tests/README.md
	@deploy/dev/coverage.sh

lint: ## format, clippy, documentation, shell scripts, the rules of the house
	@deploy/dev/lint.sh
