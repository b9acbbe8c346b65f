# Every task for people and CI; plain `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
T ?= tests
ARGS ?=
# All tests share the cores, two processes to each, because half of a test's time is waiting for disks and for others to die;
# some of them start faster in one process.
SPREAD = $(if $(filter tests,$(T)),-n $(shell echo $$((2 * $$(nproc)))))

.PHONY: help setup demo serve test test-on check format bench prove torture sbom clean lock

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
	$(BIN)/python -m pytest $(SPREAD) $(T) $(ARGS)

# URL is a superuser's; where it leads to a PgBouncer, DIRECT=… is the server's own address.
test-on: setup ## Run the tests on another PostgreSQL; URL=postgresql://…
	@test -n '$(URL)' || { echo 'Name the server: make test-on URL=postgresql://postgres@127.0.0.1:5432/postgres'; exit 2; }
	STENTOR_TEST_DATABASE_URL='$(URL)' STENTOR_TEST_DIRECT_URL='$(DIRECT)' $(BIN)/python -m pytest $(SPREAD) $(T) $(ARGS)

check: setup ## Format, lint, types, layers, migrations, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyrefly check
	$(BIN)/lint-imports
	$(BIN)/deptry src
	$(BIN)/squawk src/stentor/db/migrations/*.sql

format: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## Measure; ARGS='smtp --json', without ARGS the list of benches
	$(BIN)/stentor bench $(or $(ARGS),--help)

prove: setup ## The longer proofs: PostgreSQL 15, PgBouncer, a million people
	$(BIN)/python -m pytest -m prove tests $(ARGS)

torture: setup ## Kill, freeze and cut while messages flow; SEED=7 MINUTES=30
	$(BIN)/python -m stentor.testing.torture --minutes $(or $(MINUTES),5) $(if $(SEED),--seed $(SEED)) $(ARGS)

sbom: setup ## Write what it is made of to dist/sbom.cdx.json (CycloneDX)
	mkdir -p dist
	$(BIN)/python tools/sbom.py > dist/sbom.cdx.json

lock: ## Make requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --group dev --generate-hashes --no-emit-index-url --python-version 3.11 -q -o requirements.lock

clean: ## Remove what the tasks made
	rm -rf .venv dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
