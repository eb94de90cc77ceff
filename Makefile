# One vocabulary for people and for CI. `make help` lists it.
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
STATE ?= state
UI_PORT ?= 3000
SERVING_PORT ?= 8080
MLFLOW_PORT ?= 5000
STUDIES_PORT ?= 8081
REPORTS_PORT ?= 8082
UV := 0.13.9

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CHECK_HOME := $(CURDIR)/build/check
PEERS := build/peers
PEERS_READY := $(PEERS)/.ready

# Bytecode is kept, so that a process does not compile the project anew.
unexport PYTHONDONTWRITEBYTECODE
# Threads that wait leave their core to the other processes.
export OMP_WAIT_POLICY := passive
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export DAGSTER_DISABLE_TELEMETRY := true

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.11 to 3.13 is needed, $(PYTHON) is another; use make PYTHON=python3.12"; exit 1; }
	@echo "preparing $(VENV) from requirements.lock"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --editable .
	@$(BIN)/python -m compileall -q mlops_assets
	@touch $@

.PHONY: help
help:  ## list what make can do
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(READY)  ## run the whole loop once on the real flights (a few minutes)
	@$(BIN)/mlops-assets demo

.PHONY: test
test: $(READY)  ## run all tests, two files at a time
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: dev
dev: $(READY)  ## Dagster UI and daemon, model server, MLflow, Optuna, drift reports, on 127.0.0.1
	@$(BIN)/mlops-assets dev --state $(STATE) --ui-port $(UI_PORT) --serving-port $(SERVING_PORT) --mlflow-port $(MLFLOW_PORT) --studies-port $(STUDIES_PORT) --reports-port $(REPORTS_PORT)

.PHONY: check
check: $(READY)  ## format, lint, strict types, import contracts, dg check
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports | tail -n 1
	@mkdir -p $(CHECK_HOME) && printf 'telemetry:\n  enabled: false\n' >$(CHECK_HOME)/dagster.yaml
	@DAGSTER_HOME=$(CHECK_HOME) $(BIN)/dg check yaml
	@DAGSTER_HOME=$(CHECK_HOME) $(BIN)/dg check defs

.PHONY: format
format: $(READY)  ## format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: bench
bench: $(READY)  ## what the project adds, as ratios; PARTS="loading stages trials workers backtest drift"
	@$(BIN)/mlops-assets bench $(PARTS)

$(PEERS_READY): requirements-peers.lock $(READY)
	@echo "preparing $(PEERS) from requirements-peers.lock"
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(BIN)/uv pip install --python $(PEERS)/bin/python --quiet --compile-bytecode --require-hashes -r requirements-peers.lock
	@touch $@

.PHONY: bench-serving
bench-serving: $(PEERS_READY)  ## the model server beside mlflow models serve and the KServe SDK's server
	@$(BIN)/mlops-assets bench-serving --peers $(PEERS)

.PHONY: conformance
conformance: $(PEERS_READY)  ## the protocol's checks on ours and on the KServe SDK's server, or on URL= MODEL=
	@$(BIN)/pytest mlops_assets_tests/conformance $(if $(URL),--endpoint $(URL)) $(if $(MODEL),--model $(MODEL)) $(ARGS)
	@$(if $(URL),,$(BIN)/mlops-assets conformance --peers $(PEERS))

.PHONY: faults
faults: $(READY)  ## kill, starve and mislead the processes for some minutes; what was expected, what was seen
	@MLOPS_ASSETS_FAULTS=long $(BIN)/pytest mlops_assets_tests/faults mlops_assets_tests/commands $(ARGS)

.PHONY: simulate
simulate: $(READY)  ## how often rollouts and drift are judged wrongly, beside others; PARTS="rollouts drift"
	@$(BIN)/mlops-assets simulate $(PARTS)

.PHONY: replay-year
replay-year: $(READY)  ## a year of flights as a stream, by three policies of retraining (some 25 minutes)
	@$(BIN)/mlops-assets replay-year

.PHONY: lock
lock: $(READY)  ## resolve the dependencies again
	@$(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --quiet pyproject.toml --group dev -o requirements.lock
	@$(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --quiet --group pyproject.toml:peers -o requirements-peers.lock

.PHONY: clean
clean:  ## remove what make made, but not your state
	@rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
