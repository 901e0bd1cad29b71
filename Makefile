PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test soak check lint bench bench-sweep bench-data chaos outages idle offline ui constraints clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# uv fetches and unpacks side by side, in a third of pip's time; where it cannot, as behind some mirrors, pip does.
# Some modules are not meant to be compiled, as templates of other programs, and some packages are large and rarely used.
INSTALL := install --quiet --constraint constraints.txt --editable '.[dev]'
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt uv
	$(BIN)/uv pip $(INSTALL) --python $(BIN)/python || $(BIN)/pip $(INSTALL) --no-compile
	-$(BIN)/python -m compileall -qq -j 0 -x '/(tests|ray|botocore|boto3|moto|torch)/' .venv/lib
	touch $@

run: .venv/.installed  ## run the digits experiment, from data to champion
	$(BIN)/darkroom run digits

test: .venv/.installed  ## run all tests but those of `make soak`
	$(BIN)/python -m pytest -m "alone and not soak"
	$(BIN)/python -m pytest -m "not alone and not soak" --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

soak: .venv/.installed  ## run the tests that take minutes: kills, outages, PostgreSQL, a schedule at work, Ray, no network
	$(BIN)/python -m pytest -m soak

check: lint  ## linters, type checker, import rules and unit tests
	$(BIN)/python -m pytest tests/unit

lint: .venv/.installed  ## linters, type checker and import rules alone
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.installed  ## benchmarks of training, feature cache, overhead, input, memory; ARGS=--quick: minutes
	$(BIN)/python -m benchmarks $(ARGS)

bench-sweep: .venv/.installed  ## what a sweep costs beside its trials; ARGS='heads --backbone FILE.keras'
	$(BIN)/python -m benchmarks.sweep $(ARGS)

bench-data: .venv/.installed  ## time the checks of a data set, on made-up data
	$(BIN)/python -m benchmarks.data

chaos: .venv/.installed  ## kill -9 at random moments, and the same command again; ARGS='--kills 5 --seed 3'
	$(BIN)/python -m benchmarks.chaos $(ARGS)

outages: .venv/.installed  ## let servers go away in mid-run, and see what came of it; ARGS='--seconds 6'
	$(BIN)/python -m benchmarks.outages $(ARGS)

idle: .venv/.installed  ## scheduled runs with nothing to do: their time, and the worker's memory; ARGS='--runs 10'
	$(BIN)/python -m benchmarks.idle $(ARGS)

offline: .venv/.installed  ## prove that nothing leaves this machine: all commands, watched, without a network
	$(BIN)/python -m benchmarks.offline $(ARGS)

ui: .venv/.installed  ## open what was logged in the MLflow UI
	$(BIN)/darkroom ui

constraints:  ## resolve the newest allowed versions and write constraints.txt anew
	rm -rf .venv-new && $(PYTHON) -m venv .venv-new
	.venv-new/bin/pip install --quiet --disable-pip-version-check '.[dev]'
	{ grep '^#' constraints.txt; .venv-new/bin/pip freeze --exclude darkroom; } > constraints.new
	mv constraints.new constraints.txt && rm -rf .venv-new

clean:  ## remove the environment and caches; what was logged stays
	rm -rf .venv .venv-new build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
