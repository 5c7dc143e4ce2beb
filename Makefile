# make demo       generate MotionShapes, train on it, test, report
# make docs       the pages, into site/
# make test       the whole test suite, on up to four cores;  make test-fast  without the slow tests
# make lint       style, formatting, types
# make clean      remove caches and build products; keeps .venv, data and outputs
#
# The environment is VENV=path if given, else the active one, else .venv, which is made if missing,
# with PYTHON3=python3.12 or whatever is named there.

PYTHON3 ?= python3
VENV ?= $(or $(VIRTUAL_ENV),$(CONDA_PREFIX),.venv)
PYTHON = $(VENV)/bin/python
SHARED_OUT = --numprocesses logical --maxprocesses 4

# What is installed is remembered in the environment, for this checkout and this setup.py.
KEY := $(shell { pwd; cat setup.py; } | cksum | cut -d ' ' -f 1)
INSTALLED = $(VENV)/.timesformer-$(KEY)

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo docs test test-fast lint clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: $(INSTALLED)-run
	$(PYTHON) tools/make_motion_shapes.py
	$(PYTHON) tools/run_net.py --cfg configs/MotionShapes/TimeSformer_divST_tiny.yaml

docs: $(INSTALLED)-docs
	$(PYTHON) -m mkdocs build --strict

test: $(INSTALLED)-test
	$(PYTHON) -m pytest $(SHARED_OUT)

test-fast: $(INSTALLED)-test
	$(PYTHON) -m pytest $(SHARED_OUT) -m "not slow"

lint: $(INSTALLED)-dev
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find timesformer tools tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED)-run: REQUIREMENT = .[demo]
$(INSTALLED)-docs: REQUIREMENT = .[docs]
$(INSTALLED)-test: REQUIREMENT = .[test]
$(INSTALLED)-dev: REQUIREMENT = .[dev]

# Order-only: the interpreter's age says nothing about what is installed.
$(INSTALLED)-run $(INSTALLED)-docs $(INSTALLED)-test $(INSTALLED)-dev: | $(PYTHON)
	@rm -f $(filter-out $(INSTALLED)-%,$(wildcard $(VENV)/.timesformer-*))
	@echo "Installing timesformer and what it needs into $(VENV); the first time takes minutes"
	$(PYTHON) -m pip install --quiet --editable '$(REQUIREMENT)'
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo \
	  "timesformer needs Python 3.10 or newer, and $(PYTHON3) is not: make PYTHON3=python3.12" >&2; \
	  exit 1; }
	@$(PYTHON3) -c 'import ensurepip, venv' 2>/dev/null || { echo \
	  "$(PYTHON3) cannot make environments: install python3-venv, or name one: make VENV=path" >&2; \
	  exit 1; }
	$(PYTHON3) -m venv $(VENV)
