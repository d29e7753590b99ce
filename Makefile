# Every target does its own set-up: a virtual environment in .venv, the package from
# pyproject.toml, versions pinned by constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SETUP_FILES := pyproject.toml constraints.txt

.PHONY: demo test lint docs bench bench-quick clean

demo: $(VENV)/.installed-plot
	MPLBACKEND=Agg $(BIN)/python examples/demo.py

test: $(VENV)/.installed-test
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/check_docstrings.py

docs: $(VENV)/.installed-docs
	rm -rf docs/api/generated
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

bench: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/run_all.py $(BENCH_ARGS)

bench-quick: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/quick.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-%: $(SETUP_FILES) | $(VENV)/bin/python
	$(INSTALL) -e ".[$*]"
	@touch $@

clean:
	rm -rf $(VENV) build dist docs/_build docs/auto_examples docs/api/generated demo
