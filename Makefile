# make demo    set up, make a synthetic study, take it in, have IVIM and tissue volumes computed, ask for them
# make test    set up, run the tests
# make lint    set up, check style and types
# make bench   set up, run the benchmarks beside the peers
# make bench-large  the embedded LinkAhead with up to a million records
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
# Each file of tests stays with one worker, which makes the studies that its tests share once.
PYTEST_ARGS ?= -n auto --maxprocesses 8 --dist loadfile
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-warn-script-location

export PIP_ROOT_USER_ACTION := ignore

.PHONY: help demo test lint format bench bench-large requirements clean

help:
	@sed -n 's/^# //p' Makefile

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 1; }
	@echo "Setting up Python packages in $(VENV)/ (once, a minute or two) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "The package python3-venv is needed: apt install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.runtime: $(VENV)/.made requirements/build.txt requirements/runtime.txt pyproject.toml hpc_bridge/pyproject.toml
	@$(PIP) --require-hashes -r requirements/build.txt
	@$(PIP) --require-hashes --no-build-isolation -r requirements/runtime.txt
	@$(PIP) --no-deps --no-build-isolation -e . -e hpc_bridge
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	@$(PIP) --require-hashes --no-build-isolation -r requirements/dev.txt
	@touch $@

$(VENV)/.bench: requirements/bench.txt
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/build.txt
	@.venv-bench/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-build-isolation -r requirements/bench.txt
	@touch $@

$(DEMO)/study/truth/truth.json: | $(VENV)/.runtime
	@echo "Making a synthetic study of 3 subjects with 2 sessions each in $(DEMO)/study ..."
	@$(BIN)/python -m sample_data $(DEMO)/study

demo: $(VENV)/.runtime $(DEMO)/study/truth/truth.json
	@$(BIN)/python -m sample_data.demo $(DEMO)

test: $(VENV)/.dev
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev $(VENV)/.bench
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.deidentify
	@$(BIN)/python -m benchmarks --input slices --only "copy + sha256,dcm2niix,heartbrain" --no-stages
	@$(BIN)/python -m benchmarks.intake
	@$(BIN)/python -m benchmarks.linkahead
	@$(BIN)/python -m benchmarks.bridge
	@$(BIN)/python -m benchmarks.ivim
	@$(BIN)/python -m benchmarks.portal

bench-large: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.intake --full
	@$(BIN)/python -m benchmarks.linkahead --large
	@$(BIN)/python -m benchmarks.bridge --full

# Pin anew what the .in files ask for; needs the program `uv`.
requirements:
	@for name in build runtime dev bench; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
	    requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	@uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --only-binary :all: --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links requirements/functions.in -o requirements/functions.txt
	@uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
	  hpc_bridge/requirements.in -o hpc_bridge/requirements.txt

clean:
	@rm -rf $(VENV) .venv-bench $(DEMO) .mypy_cache .ruff_cache .pytest_cache .hypothesis
