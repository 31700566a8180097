# Only python3 (3.11 or newer, with venv), pip and make are needed. Every target makes .venv first.
#
#   make demo                          personal recommendations on MovieLens-100K, then the service on port 8000
#   make demo ARGS=--no-serve          the same, without leaving the service running
#   make test                          the fast tests
#   make check                         everything CI runs
#
# Without a GPU, point TORCH_ARGS at PyTorch's CPU wheels: it saves about 3 GB (see docs/operations.md).

PYTHON        ?= python3
TORCH_VERSION ?= 2.13.0
TORCH_ARGS    ?=
UV_VERSION    ?= 0.13.9
ARGS          ?=

VENV  := .venv
BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check
READY := $(VENV)/.ready

# Pins that stand in a lock are kept while they fit; `make lock ARGS=--upgrade` moves them.
COMPILE := $(BIN)/uv pip compile --no-strip-extras --quiet --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --custom-compile-command 'make lock'
# Takes torch out of the resolution: pip installs it first, from whichever index suits the machine.
NO_TORCH := echo "torch==$(TORCH_VERSION) ; python_version < '0'"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test check lint format types deployment bench lock clean

help:
	@sed -n 's/^#   //p' $(firstword $(MAKEFILE_LIST))

venv: $(READY)

$(READY): pyproject.toml requirements.lock
	@test -x $(BIN)/python || { echo "==> Creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "==> Installing torch $(TORCH_VERSION) (the largest download)"
	@$(PIP) install 'torch==$(TORCH_VERSION)' $(TORCH_ARGS)
	@echo "==> Installing everything else at the versions and hashes of requirements.lock"
	@$(PIP) install --quiet --require-hashes -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)
	@$(BIN)/likewise demo $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest -q -n 2 -m 'not slow and not drill and not browser and not gpu' $(ARGS)

check: lint types deployment
	$(BIN)/python -m pytest -q -n 2 -m 'not gpu' $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy --strict

deployment: $(READY)
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python -m bench.temporal $(ARGS)

lock:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet 'uv==$(UV_VERSION)'
	@$(NO_TORCH) | $(COMPILE) pyproject.toml --extra train --extra test --extra dev --override - $(ARGS) -o requirements.lock
	@$(NO_TORCH) | $(COMPILE) pyproject.toml --extra train --override - --constraint requirements.lock \
		-o requirements-runtime.lock
	@echo hatchling | $(COMPILE) - --constraint requirements.lock -o requirements-build.lock
	@echo "==> the three lock files are up to date"

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage build dist
	find app model migrations tests -name __pycache__ -type d -prune -exec rm -rf {} +
