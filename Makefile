# Everything a contributor needs. The only requirements are make, Python 3.11 or newer, and a package registry.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
INSTALLED := .venv/.installed
PYTEST := $(BIN)/python -m pytest -n 2

.PHONY: help demo compose compose-smoke test test-embedded check chaos bench bench-quick bench-diagnosis clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Run the coordinator, the demo's participants and the dashboard in one process
	$(BIN)/amends demo

compose: ## Run everything apart, in containers: the shop, PostgreSQL, RabbitMQ, Jaeger; the dashboard is at localhost:8274
	python3 deploy/compose/passwords.py
	docker compose up --build

compose-smoke: ## Bring that up beside, place orders, look at it from all sides, restart its coordinator, bring it down
	python3 deploy/compose/smoke.py --profile observe --profile second

test: check ## Everything: check, then all tests on SQLite, PostgreSQL, the in-process broker and RabbitMQ
	$(BIN)/python -m tests.servers
	$(PYTEST)

test-embedded: $(INSTALLED) ## The smaller run, with no servers: SQLite and the in-process broker; says what it left out
	AMENDS_TEST_EMBEDDED=1 $(PYTEST)

check: $(INSTALLED) ## Lint, formatting, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=.:participants/sdk $(BIN)/lint-imports

chaos: $(INSTALLED) ## Kill servers, coordinators and participants under load, and count what was lost
	$(BIN)/python -m tests.servers
	$(BIN)/python -m tests.chaos

bench: $(INSTALLED) ## Sagas a second beside the limits, DBOS and Restate; writes docs/performance.md: half an hour
	$(BIN)/python -m tests.servers
	PYTHONPATH=.:participants/sdk $(BIN)/python -m bench.race --write

bench-quick: $(INSTALLED) ## The same beside the floor and DBOS alone, on the success path: two minutes
	$(BIN)/python -m tests.servers
	PYTHONPATH=.:participants/sdk $(BIN)/python -m bench.race --quick

bench-diagnosis: $(INSTALLED) ## Inject faults, judge every report on them, and write docs/diagnosis-benchmark.md: 45 minutes
	PYTHONPATH=.:participants/sdk $(BIN)/python -m bench.diagnosis --write

clean: ## Remove the environment and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment: made once, made again when a dependency changes. Both distributions go into one pip command, because
# the coordinator could not find the SDK in any registry by itself.
$(INSTALLED): pyproject.toml participants/sdk/pyproject.toml constraints.txt
	@python=""; \
	for candidate in python3.13 python3.12 python3.11 python3; do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Amends needs Python 3.11 or newer, and none of python3.13, python3.12, python3.11, python3 is one." >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	  version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "$$python can't make virtual environments: on Debian and Ubuntu install the package python$$version-venv." >&2; exit 1; \
	fi; \
	echo "making .venv with $$python …"; \
	"$$python" -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e 'participants/sdk' -e '.[dev]'
	@touch $@
