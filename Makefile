# Everything runs in .venv, made from pyproject.toml at the versions of constraints.txt.
PYTHON ?= $(shell command -v python3.12 >/dev/null 2>&1 && python3.12 -c 1 2>/dev/null && echo python3.12 || echo python3)
BIN := .venv/bin

.PHONY: setup quickstart test slow lint types check

setup: .venv/.done

.venv/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo "make: Python 3.11 or 3.12 is needed, $(PYTHON) is $$($(PYTHON) --version): make PYTHON=python3.11"; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv || \
	  { echo "make: $(PYTHON) cannot make virtual environments: ask for the package python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e ".[all]" --group dev
	@touch $@

quickstart: setup
	$(BIN)/mpr quickstart

test: setup
	$(BIN)/python -m pytest -n 2

slow: setup
	$(BIN)/python -m pytest -n 2 --slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/pyright

check: test lint types
