# Two commands are enough: `make serve` starts the server, `make test` checks everything.
# All that is needed beforehand is Python 3.11 or newer; the rest is installed into .venv, pinned by hash.
# The tests also run a redis-server, which is installed too where that can be done (`make engines`).

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# more than there are cores: most of what tests do is waiting for engines, leases and time limits
WORKERS ?= 4

.PHONY: help setup serve test engines clients languages lint format demo-tasks bench lock clean
.DEFAULT_GOAL := help

help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.run ## Create .venv with gbe in it
	@echo "gbe is in $(BIN)/gbe"

serve: $(VENV)/.run ## Start the server (options: make serve ARGS="--listen 127.0.0.1:9090")
	@exec $(BIN)/gbe serve $(ARGS)

test: $(VENV)/.dev lint engines clients languages ## Lint, types and all tests, of all three languages (options: make test ARGS="-k publish")
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

engines: ## Make sure that the engines of the tests are there
	@scripts/install-engines

clients: ## Make sure that the npm clients of the tests are there
	@scripts/install-clients

languages: ## The contract in Rust and Go, where their toolchains are installed
	@scripts/test-rust
	@scripts/test-go

lint: $(VENV)/.dev ## Lint, strict types, and the schemas against their releases
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/gbe schema check

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

demo-tasks: $(VENV)/.run ## Watch tasks of several steps run, on an engine of its own that is gone afterwards
	@scripts/demo-tasks $(BIN)/gbe

bench: $(VENV)/.dev ## Measure, as ratios within one run
	$(BIN)/python -m benchmarks $(ARGS)

lock: ## Pin the dependencies anew (needs uv)
	scripts/lock

clean: ## Remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.run: requirements/run.txt pyproject.toml
	@PYTHON="$(PYTHON)" scripts/install run

$(VENV)/.dev: requirements/dev.txt requirements/clients.txt pyproject.toml
	@PYTHON="$(PYTHON)" scripts/install dev
