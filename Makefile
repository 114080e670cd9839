# One way to run, test and check pcrlog: "make help" lists it. A target sets up what it
# needs in .venv, from the hash-pinned locks in requirements/, and only when they change.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

# The locks are complete, so --no-deps: what they do not name is never fetched. Wheels
# only, since building a source package would fetch build tools that nobody pinned. On a
# machine for which there are no wheels: make PIP_BINARY= test
PIP_BINARY ?= --only-binary=:all:
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-deps
LOCKED := $(PIP_INSTALL) --require-hashes

# Folders with code; some come later than others.
CODE = $(wildcard pcrlog log_server monitor cli signing workbench demo bench fuzz tools tests docs/examples)

# --- set-up ---------------------------------------------------------------------------
# Each stamp stands for one lock. It lies inside .venv, so that it goes when .venv goes.
RUNTIME := $(VENV)/.runtime-installed
PROJECT := $(VENV)/.project-installed
DEV := $(VENV)/.dev-installed

$(RUNTIME): requirements/runtime.txt requirements/build.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'pcrlog needs Python 3.11 or newer. Name one: make PYTHON=python3.11 ...' >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo 'Python cannot make virtual environments here. On Debian, as root, type:' >&2; \
	  echo '    apt-get install python3-venv' >&2; \
	  exit 1; }
	@$(PY) -c '' 2>/dev/null || { \
	  echo 'Setting up $(VENV), once ...'; $(PYTHON) -m venv --clear $(VENV); }
	@$(PY) $(LOCKED) $(PIP_BINARY) -r requirements/runtime.txt -r requirements/build.txt
	@touch $@

# Editable, and with the build backend of the lock: nothing is fetched.
$(PROJECT): pyproject.toml $(RUNTIME)
	@$(PY) $(PIP_INSTALL) --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt requirements/oracle.txt $(PROJECT)
	@echo 'Installing the test tools into $(VENV) ...'
	@$(PY) $(LOCKED) $(PIP_BINARY) -r requirements/dev.txt
	@$(PY) $(LOCKED) --use-pep517 --no-build-isolation -r requirements/oracle.txt
	@touch $@

# --- use ------------------------------------------------------------------------------
DIR ?= log
ORIGIN ?= localhost/pcr
LISTEN ?= 127.0.0.1:8080

.PHONY: help demo serve bench bench-server fuzz storm cluster test cov floor ci fmt lint types imports docs
.PHONY: browser-if-possible cluster-if-possible fuzz-if-possible web web-if-possible wheel lock setup clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(PROJECT) ## Show the whole story on this machine: release, audit, verify, revoke
	@$(PY) -m demo $(ARGS)

NEW_LOG = $(VENV)/bin/pcrlog-server init --origin '$(ORIGIN)' '$(DIR)'
WITH_HISTORY = $(PY) -m demo.example '$(DIR)' '$(ORIGIN)'

serve: $(PROJECT) ## Run a log in DIR=log, on LISTEN=127.0.0.1:8080; EXAMPLE=1 gives a new one a history
	@test -e '$(DIR)' || $(if $(EXAMPLE),$(WITH_HISTORY),$(NEW_LOG))
	@$(VENV)/bin/pcrlog-server serve --listen '$(LISTEN)' '$(DIR)'

bench: $(DEV) ## Measure
	@$(PY) -m bench $(ARGS)

bench-server: $(DEV) ## Measure a server under load; ARGS='--entries 5000 --grown 9000' is short
	@$(PY) -m bench.server $(ARGS)

fuzz: $(VENV)/.fuzz-installed ## Attack the parsers; ARGS='document --seconds 600' chooses
	@$(PY) -m fuzz $(ARGS)

$(VENV)/.fuzz-installed: requirements/fuzz.txt $(DEV)
	@$(PY) $(LOCKED) $(PIP_BINARY) -r requirements/fuzz.txt
	@touch $@

# They come for few systems only; their tests are skipped without them, and say so.
fuzz-if-possible: $(DEV)
	@$(MAKE) --silent $(VENV)/.fuzz-installed || echo 'No atheris or schemathesis here.'

# The server that tests/cluster puts tiles on: in an environment of its own.
$(VENV)/cluster/.installed: requirements/cluster.txt $(DEV)
	@$(PYTHON) -m venv --clear $(VENV)/cluster
	@$(VENV)/cluster/bin/python $(LOCKED) $(PIP_BINARY) -r requirements/cluster.txt
	@touch $@

# Its tests are skipped without it, and say so; in CI they fail.
cluster-if-possible: $(DEV)
	@$(MAKE) --silent $(VENV)/cluster/.installed || echo 'No moto here.'

# What checks types and format of web/verifier. What runs needs none of it, and npm is not
# on every machine: CI goes on without.
WEB := web/verifier
$(WEB)/node_modules/.installed: $(WEB)/package.json $(WEB)/package-lock.json
	@cd $(WEB) && npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

web-if-possible:
	@$(MAKE) --silent $(WEB)/node_modules/.installed || echo 'No type checker for web/verifier here.'

web: $(WEB)/node_modules/.installed ## Check format and types of web/verifier and web/page, and run their own tests
	@cd $(WEB) && npm run --silent format-check && npm run --silent check && npm run --silent test
	@cd $(WEB) && node_modules/.bin/prettier --check --log-level warn '../page/**/*.js' && node_modules/.bin/tsc -p ../page && node --test ../page/test/

# What opens the pages in Chromium: in a folder of its own.
web/browser/node_modules: web/browser/package-lock.json
	@cd web/browser && npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

# Its tests are skipped without it, and say so; in CI they fail.
browser-if-possible:
	@$(MAKE) --silent web/browser/node_modules || echo 'No playwright-core here.'

# --- test -----------------------------------------------------------------------------
test: $(DEV) ## Run the tests; PYTEST_ARGS='-k note' chooses some, COVERAGE=1 measures
	@$(PY) $(if $(COVERAGE),-m coverage run) -m pytest $(PYTEST_ARGS)

cov: $(DEV) ## Run the tests and hold their coverage against tests/coverage-floor.json
	@rm -f .coverage .coverage.*
	@$(MAKE) test COVERAGE=1
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report
	@$(PY) tools/coverage_ratchet.py

floor: $(DEV) ## Raise the coverage floor to what the last "make cov" measured
	@$(PY) tools/coverage_ratchet.py --update

storm: $(DEV) ## Kill a log at work, and audit it; ARGS='--kills 50 --seed 1' repeats one
	@$(PY) -m tests.fault.storm $(ARGS)

cluster: $(DEV) ## Strike a cluster, and audit it; ARGS='--faults 100 --seed 1' repeats one
	@$(PY) -m tests.cluster.cluster $(ARGS)

docs: $(DEV) ## Check the documentation against the code
	@$(PY) -m pytest tests/test_docs.py

# --- check ----------------------------------------------------------------------------
# The demo waits at its end where there is a terminal.
ci: ARGS = --no-stay
ci: browser-if-possible cluster-if-possible fuzz-if-possible web-if-possible lint types imports cov wheel demo ## Everything that CI checks, quick checks first

fmt: $(DEV) ## Format the code and sort its imports
	@$(PY) -m ruff check --quiet --select I --fix $(CODE)
	@$(PY) -m ruff format $(CODE)

lint: $(DEV) ## Check format, style and spelling
	@$(PY) -m ruff format --check $(CODE)
	@$(PY) -m ruff check $(CODE)
	@$(VENV)/bin/codespell

types: $(DEV) ## Check types
	@$(PY) -m mypy $(CODE)

imports: $(DEV) ## Check that modules import only what lies below them
	@$(VENV)/bin/lint-imports --no-logo

# Built in .venv, then installed where nothing else is: what a stranger's pip would see.
wheel: $(DEV) ## Build dist/*.whl and try it in an empty environment
	@rm -rf dist
	@$(PY) -m hatchling build --target wheel
	@tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	$(PYTHON) -m venv "$$tmp/venv"; \
	"$$tmp/venv/bin/python" $(LOCKED) $(PIP_BINARY) -r requirements/runtime.txt; \
	"$$tmp/venv/bin/python" $(PIP_INSTALL) dist/*.whl; \
	cd "$$tmp"; \
	venv/bin/python -m pip check; \
	venv/bin/pcrlog --help >/dev/null; \
	venv/bin/pcrlog-server --help >/dev/null; \
	venv/bin/python -c 'from importlib.resources import files; \
	  files("log_server").joinpath("schema.sql").read_bytes()'; \
	echo 'The wheel works in an empty environment.'

# --- upkeep ---------------------------------------------------------------------------
# One lock for all machines (--universal), without a trace of the one that wrote it. What
# is younger than a week waits: most bad releases are found out within days.
COMPILE = "$$tmp/venv/bin/uv" pip compile --quiet --no-config --universal \
  --python-version 3.11 --generate-hashes --exclude-newer '7 days' --no-header \
  --no-emit-index-url --no-emit-find-links \
  $(if $(UPGRADE),--upgrade)

lock: ## Write requirements/*.txt after a change of pyproject.toml; UPGRADE=1 for newer ones
	@tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	$(PYTHON) -m venv "$$tmp/venv"; \
	"$$tmp/venv/bin/python" $(LOCKED) $(PIP_BINARY) -r requirements/lock.txt; \
	$(COMPILE) pyproject.toml -o requirements/runtime.txt; \
	$(COMPILE) pyproject.toml --extra postgresql -c requirements/runtime.txt -o requirements/postgresql.txt; \
	for extra in s3 awskms gcpkms hsm hv sigstore; do \
	  $(COMPILE) pyproject.toml --extra $$extra -c requirements/runtime.txt -o requirements/$$extra.txt; \
	done; \
	$(COMPILE) --group pyproject.toml:build -c requirements/runtime.txt -o requirements/build.txt; \
	$(COMPILE) --group pyproject.toml:dev -c requirements/postgresql.txt -c requirements/s3.txt -c requirements/hsm.txt -c requirements/hv.txt -c requirements/sigstore.txt -c requirements/build.txt -o requirements/dev.txt; \
	$(COMPILE) requirements/fuzz.in -c requirements/runtime.txt -c requirements/build.txt -c requirements/dev.txt -o requirements/fuzz.txt; \
	$(COMPILE) requirements/cluster.in -o requirements/cluster.txt; \
	$(COMPILE) --group pyproject.toml:lock -o requirements/lock.txt; \
	$(COMPILE) --no-deps requirements/oracle.in -o requirements/oracle.txt

setup: $(DEV) ## Set up .venv with everything, and nothing else

clean: ## Remove what can be made again: .venv, caches, dist
	rm -rf $(VENV) $(WEB)/node_modules web/browser/node_modules dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache
	rm -rf .ruff_cache .import_linter_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
