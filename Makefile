# Two commands do all the set-up on a machine with Python, make and git: `make train` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
PYTEST = $(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder
INSTALL = $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable

.PHONY: train check test test-all lint docs clean

train: $(VENV)/installed  ## the contrast that matters: standard against Xavier initialisation (ARGS= adds settings)
	$(BIN)/python -m xinit.train -m +scheme=standard,xavier figure=true $(ARGS)

check: $(VENV)/installed-dev lint  ## the inner loop: what trains no network, starts no process and is quick
	$(PYTEST) -m "not heavy and not slow" $(ARGS)

test: $(VENV)/installed-dev lint  ## the suite, a worker on each core
	$(PYTEST) $(ARGS)

test-all: $(VENV)/installed-dev lint  ## also what takes minutes
	$(PYTEST) -m "slow or not slow" $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/installed-dev  ## the documentation site, in build/docs; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going docs build/docs

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
	  f"xinit needs Python 3.11 to 3.13; {sys.executable} is {v[0]}.{v[1]}. Name another with PYTHON=.")'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed  # trackers, launchers and what the tests need: Ray alone is as large as the rest
	$(INSTALL) '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist
