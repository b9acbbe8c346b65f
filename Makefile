# Every task for people and CI; plain `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
T ?= tests
ARGS ?=

.PHONY: help setup demo serve test check format bench prove clean lock

help: ## List the tasks
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed ## Make .venv from requirements.lock

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Stentor needs Python 3.11 or newer; name one with PYTHON=…")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --disable-pip-version-check -e .
	touch $@

demo: setup ## One call reaches 127,450 people, in front of your eyes
	$(BIN)/stentor demo $(ARGS)

serve: setup ## Start everything on 127.0.0.1:8080
	$(BIN)/stentor serve $(ARGS)

test: setup ## Run the tests; T=path for some of them
	$(BIN)/python -m pytest $(T) $(ARGS)

check: setup ## Format, lint, types, layers, SQL, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyrefly check
	$(BIN)/lint-imports
	$(BIN)/deptry src

format: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## Measure; ARGS='smtp --people 100000 --json'
	$(BIN)/stentor bench $(ARGS)

prove: setup ## The longer proofs: Debian's PostgreSQL 15, PgBouncer, a million people
	$(BIN)/python -m pytest -m prove $(ARGS)

lock: ## Make requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --group dev --generate-hashes --no-emit-index-url --python-version 3.11 -q -o requirements.lock

clean: ## Remove what the tasks made
	rm -rf .venv dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
