# Everything a developer does here, on a machine that has only Python >= 3.11, git and make.
# `make help` lists it. Another interpreter: `make setup PYTHON=/path/to/python`.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
HAS_UV := $(VENV)/.has-uv
READY := $(VENV)/.ready

# The first interpreter that is new enough and can make environments.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3 python3.14 python; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && command -v "$$python" && break; done)

# Test processes; `make test WORKERS=0` runs everything in one.
WORKERS ?= auto
# Arguments for pytest: `make test ARGS="-k hydrate"`.
ARGS ?=

# ---------------------------------------------------------------- work

.PHONY: help
help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(READY) ## make .venv with everything that development needs

.PHONY: demo
demo: $(READY) ## run the example: a small regional model, twice
	$(BIN)/python -m examples.bay_area

.PHONY: test
test: $(READY) ## run the tests
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

.PHONY: test-slow
test-slow: $(READY) ## run the campaigns: kill -9, full disks, many processes
	$(BIN)/python -m pytest -m slow $(ARGS)

.PHONY: check
check: format-check lint types imports doc-check ## format, lint, types, layers, links: everything but the tests

.PHONY: bench
bench: $(READY) ## measure against the goals and the references
	$(BIN)/python -m benchmarks

.PHONY: docs
docs: $(READY) ## run every example of the documents and check their links
	$(BIN)/python -m pytest tests/docs $(ARGS)

# ---------------------------------------------------------------- the parts of check

.PHONY: format-check lint types imports doc-check
format-check: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/pyright

imports: $(READY)
	$(BIN)/lint-imports --no-logo
	$(BIN)/lint-imports --no-logo --no-cache --config .ci/loading.toml

doc-check: $(READY)
	$(BIN)/python -m pytest -q tests/docs/test_references.py

.PHONY: format
format: $(READY) ## put the code into its one form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# ---------------------------------------------------------------- environment

$(HAS_UV): requirements/uv.txt
	@test -n "$(PYTHON)" || { \
		echo "Consist needs Python 3.11 or newer with the modules venv and ensurepip; none was found." >&2; \
		echo "Install one (on Debian also python3-venv), or name it: make setup PYTHON=/path/to/python" >&2; \
		exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Consist needs Python 3.11 or newer; $(PYTHON) is not." >&2; exit 1; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(READY): $(HAS_UV) requirements/dev.txt pyproject.toml
	$(UV) pip install --python $(BIN)/python --compile-bytecode --require-hashes -r requirements/dev.txt
	$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Pins stay as they are where they still fit; `make lock UPGRADE=--upgrade` renews them all.
UPGRADE ?=
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links $(UPGRADE)

.PHONY: lock
lock: $(HAS_UV) ## pin the requirements again, after a change of pyproject.toml
	$(COMPILE) pyproject.toml --output-file requirements/base.txt
	$(COMPILE) pyproject.toml --all-extras --group dev --group test --group docs --group examples \
		--group build --constraints requirements/base.txt --output-file requirements/dev.txt
	$(COMPILE) requirements/uv.in --output-file requirements/uv.txt
	@! grep -nE 'https?:|index-url|find-links' requirements/*.txt

.PHONY: clean
clean: ## remove everything that make and the tests left, .venv too
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
