# Two commands to start from: `make demo` shows the product at work, `make test` proves it. `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip install -q --disable-pip-version-check --no-input
# Tests share two cores with the real parts that they start. They run in the order of the files, because the end-to-end tests are few and
# long, and a long test that starts last keeps the others waiting.
PYTEST_ARGS ?= -q -n 3 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-up demo-down try test test-newer test-collector unit prove mutants integration new-action check check-types check-rest format lock schema catalogues bench \
	image publish clean

help: ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.dev ## Prepare everything that demo, test, check and bench need
	@sh tools/system-packages.sh demo tests

demo: $(VENV)/.base ## The product at work on simulated terminals, in about a minute; needs no root, Docker or Zabbix
	@sh tools/system-packages.sh --optional demo
	@$(BIN)/python -m demo.terminals.userland .cache/demo >/dev/null
	@$(BIN)/python -m demo

demo-up: $(VENV)/.base ## The demo's control plane, proxy and terminals, running in the background
	@sh tools/system-packages.sh --optional demo
	@$(BIN)/python -m demo.terminals.userland .cache/demo >/dev/null
	@$(BIN)/python -m demo up

demo-down: $(VENV)/.base ## Stop what demo-up started, and remove it
	@$(BIN)/python -m demo down

try: $(VENV)/.base ## Run an action on the demo's terminals: ACTION=diagnose_env [ARGS="--loja 1 --dry-run"]
	@test -n "$(ACTION)" || { echo 'name the action: make try ACTION=diagnose_env ARGS="--loja 1 --dry-run"' >&2; exit 2; }
	@$(BIN)/python -m demo try $(ACTION) $(ARGS)

new-action: $(VENV)/.dev ## Write the skeleton of an action: NAME=set_motd [EFFECT=read|change|disrupt] [TARGET=terminal]
	@test -n "$(NAME)" || { echo 'name the action: make new-action NAME=set_motd' >&2; exit 2; }
	@$(BIN)/python -m tools.new_action $(call quoted,$(NAME)) --effect=$(call quoted,$(EFFECT)) --target=$(call quoted,$(or $(TARGET),terminal))

test: $(VENV)/.dev ## Every test that this machine can run, on real parts; says what it could not run and why
	@sh tools/system-packages.sh tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

DOCKER_TESTS := $(wildcard tests/e2e/test_docker*.py tests/integration/test_deploy_engine*.py)
test-newer: $(VENV)/.dev ## The tests of Docker on Engine 29 with containerd's image store
	@sh tools/system-packages.sh tests
	FLAGEE_TEST_ENGINE=newer $(BIN)/python -m pytest $(PYTEST_ARGS) $(DOCKER_TESTS)

test-collector: $(VENV)/.dev ## What goes out by OTLP, at the real collector, which is compiled first (three minutes of processor time)
	@sh tools/system-packages.sh tests
	$(BIN)/python -m pytest $(PYTEST_ARGS) tests/collector

unit: $(VENV)/.dev ## The fast tests only
	$(BIN)/python -m pytest -q -n 3 --dist worksteal tests/unit tests/contract

PROVE_TIMES ?= 100
prove: $(VENV)/.dev ## Faults on the real programs, each PROVE_TIMES=100 times, with a table of what held; about an hour
	@sh tools/system-packages.sh tests
	PROVE_TIMES=$(call quoted,$(PROVE_TIMES)) $(BIN)/python -m pytest -q -n 2 --dist loadscope --timeout 7200 tests/prove

mutants: $(VENV)/.dev ## Which small faults in a module no test notices: MODULE="rollout listed"
	$(BIN)/python -m tools.mutants $(MODULE)

# Secrets are found by their form, not by how random a text looks, because tests contain many digests. The excluded lines hold made-up values.
SECRETS := --no-verify --disable-plugin KeywordDetector --disable-plugin HexHighEntropyString --disable-plugin Base64HighEntropyString \
	  --exclude-lines 'hunter2|user:(password|word|pw|p%40word)@|xxxxx:xxxxx@|:senha@|BEGIN CERTIFICATE.nBEGIN PRIVATE KEY'

check: $(VENV)/.dev ## Lint, types, import rules, shell (that of actions too), PowerShell's grammar, stale documents, translations, secrets
	@sh tools/system-packages.sh check
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target check-types check-rest

check-types: $(VENV)/.dev
	$(BIN)/mypy

check-rest: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	git ls-files '*.sh' .ci/run ':!wrappers' | xargs shellcheck
	$(BIN)/python -m tools.action_scripts
	git ls-files '*.ps1' ':!wrappers' ':!bootstrap' | xargs $(BIN)/python -m tools.powershell
	$(BIN)/python -m tools.host_commands
	$(BIN)/python -m tools.documents --check
	$(BIN)/python -m tools.catalogues --check
	@git ls-files -z ':!requirements/*.txt' | xargs -0 $(BIN)/detect-secrets-hook $(SECRETS)

format: $(VENV)/.dev ## Format, and correct what ruff can correct
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: $(VENV)/.dev ## Write the generated documents: JSON Schema, settings, actions, reason codes
	$(BIN)/python -m tools.documents

catalogues: $(VENV)/.dev ## Bring the catalogues of translated sentences up to the code; docs/translating.md
	$(BIN)/python -m tools.catalogues

lock: $(VENV)/.dev ## Resolve requirements/*.in again, with hashes
	$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header --python-version 3.11 requirements/dev.in -o requirements/dev.txt
	for part in server runtime build protect; do \
	  $(BIN)/uv pip compile -q --generate-hashes --no-header --python-version 3.11 -c requirements/dev.txt requirements/$$part.in -o requirements/$$part.txt; \
	done
	$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header --python-version 3.11 requirements/bench.in -o requirements/bench.txt

bench: $(VENV)/.dev ## Figures beside a peer, in one run
	@sh tools/system-packages.sh demo bench
	$(BIN)/python -m bench

VERSION ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LICENCE ?= trial
CHANNEL ?= stable
FROM    ?= flageemonitor-client:build
# One word for the shell, whatever is in it.
quoted  = '$(subst ','\'',$(1))'
BUILD   = DOCKER_BUILDKIT=1 docker build -q --build-arg VERSION=$(call quoted,$(VERSION)) --build-arg REVISION=$(REVISION) \
	  --build-arg BUILT_AT=$(shell date -u +%Y-%m-%dT%H:%M:%S+00:00) --build-arg LICENCE=$(call quoted,$(LICENCE)) \
	  $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(call quoted,$(BASE_IMAGE))) $(if $(PIP_CONF),--secret id=pip_conf$(comma)src=$(PIP_CONF)) \
	  $(if $(PYARMOR_LICENCE),--secret id=pyarmor_licence$(comma)src=$(PYARMOR_LICENCE))
comma   := ,

image: ## Build both images: VERSION=, LICENCE=full PYARMOR_LICENCE=file (else PyArmor's trial), BASE_IMAGE=, PIP_CONF=
	$(BUILD) --target client -t flageemonitor-client:build .
	$(BUILD) --target server -t flageemonitor-server:build .

publish: $(VENV)/.dev ## Push the built proxy image if it passes the gate: IMAGE=registry/name [CHANNEL=stable] [ALLOW_TRIAL=1]
	@test -n "$(IMAGE)" || { echo "name the repository: make publish IMAGE=registry.example.com/flageemonitor-client" >&2; exit 2; }
	$(BIN)/python -m tools.publish $(IMAGE) --from $(FROM) --channel $(CHANNEL) $(if $(ALLOW_TRIAL),--allow-trial)

clean: ## Remove everything that was built or cached here
	@test ! -e .demo/up/processes.json || { echo 'the demo is running: make demo-down first' >&2; exit 1; }
	rm -rf $(VENV) .cache .demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name one with: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@sh tools/system-packages.sh python
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(VENV)/bin/python requirements/server.txt requirements/runtime.txt requirements/build.txt pyproject.toml
	@echo "Preparing Python packages (once) ..."
	@$(PIP) --require-hashes -r requirements/server.txt -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.base requirements/dev.txt
	@echo "Preparing Python packages for development (once) ..."
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@
