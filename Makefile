# Two commands matter: `make demo` and `make test`. Each does all of its set-up.

# The lock was resolved with 3.11, so it comes first; `make PYTHON=/path/to/python` overrides.
SUPPORTED := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$python" -c '$(SUPPORTED)' 2>/dev/null && { echo "$$python"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
PACKAGES := api_schemas domain storage formats service workers models ops client/selvage_client

INTEROP := .venv-interop
LABEL_STUDIO := .venv-label-studio

.PHONY: docs help venv venv-interop venv-label-studio demo demo-rounds test test-slow lint format \
	lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/installed ## Install everything into .venv (done once, again when the lock changes)

$(VENV)/installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" && "$(PYTHON)" -c '$(SUPPORTED)' || { \
		echo "CPython 3.11 or newer is needed, and none was found on PATH."; \
		echo "Install it, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(BIN)/python -c '$(SUPPORTED)' 2>/dev/null || { \
		echo "Creating $(VENV) with $$("$(PYTHON)" --version)"; \
		"$(PYTHON)" -m venv --clear $(VENV); }
	@echo "Installing the packages of requirements.lock (the first time takes minutes)"
	@$(PIP) -r requirements.lock
	@PYTHONWARNINGS=ignore $(PIP) --no-build-isolation --no-deps -e .
	@touch $@

venv-interop: $(INTEROP)/installed ## Install the readers of other tools, for tests against them

$(INTEROP)/installed: requirements-interop.lock | $(VENV)/installed
	@echo "Installing the packages of requirements-interop.lock into $(INTEROP)"
	@$(BIN)/python -m venv --clear $(INTEROP)
	@$(INTEROP)/bin/python -m pip install -qq --disable-pip-version-check -r requirements-interop.lock
	@touch $@

venv-label-studio: $(LABEL_STUDIO)/installed ## Install Label Studio (1 GB), for the slow tests against it

$(LABEL_STUDIO)/installed: requirements-label-studio.lock | $(VENV)/installed
	@echo "Installing the packages of requirements-label-studio.lock into $(LABEL_STUDIO) (minutes)"
	@$(BIN)/python -m venv --clear $(LABEL_STUDIO)
	@$(LABEL_STUDIO)/bin/python -m pip install -qq --disable-pip-version-check \
		-r requirements-label-studio.lock
	@touch $@

demo: venv ## Label a batch of demo images over HTTP; leaves demo-output/report.html
	@$(BIN)/python -m examples.demo

demo-rounds: venv ## Two rounds of self-training on generated scenes; leaves demo-output/rounds.html
	@$(BIN)/python -m examples.demo_rounds

test: ## Install, lint and run all tests but the slow ones
	@"$(PYTHON)" -c '$(SUPPORTED)' 2>/dev/null || $(MAKE) --no-print-directory --always-make venv
	@"$(PYTHON)" tests/run_groups.py

test-slow: venv venv-label-studio ## Run the slow tests
	@$(BIN)/python -m pytest -m slow

lint: venv ## Check style, types and the direction of imports
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --num-workers 2 --no-error-summary $(PACKAGES) benchmarks examples tests docs_site
	@$(BIN)/lint-imports --no-logo

format: venv ## Format the code and mend what ruff can
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

COMPILE := $(BIN)/pip-compile --quiet $(UPGRADE) --allow-unsafe --strip-extras --no-header \
	--no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

# torch: CPU and CUDA wheels share a version but for the local part, so the lock leaves that out.
# The second lock is a part of the first: what runs without torch and without the tests. The third
# and the fourth stand by themselves: readers of other tools, and Label Studio, which nothing of ours
# imports.
lock: venv ## Resolve all locks anew (UPGRADE=--upgrade takes newer ones)
	@$(COMPILE) pyproject.toml --extra worker --extra graph --extra tracing --extra dev \
		--output-file requirements.lock
	@sed -e 's/+cpu$$//' -e '/^pip==/d' -e '/^#/d' requirements.lock > requirements.lock.new
	@mv requirements.lock.new requirements.lock
	@$(COMPILE) pyproject.toml --extra tracing --constraint requirements.lock \
		--output-file requirements-slim.lock
	@$(COMPILE) requirements-interop.in --output-file requirements-interop.lock
	@$(COMPILE) requirements-label-studio.in --output-file requirements-label-studio.lock

docs: venv ## Build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "Open site/index.html"

clean: ## Remove caches and the output of the demo (never data)
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build *.egg-info \
		demo-output
	@find $(PACKAGES) benchmarks examples tests -name __pycache__ -type d -prune -exec rm -rf {} +
