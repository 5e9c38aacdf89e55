# `make demo`, `make demo-seg`, `make demo-cls` and `make test` each turn a bare clone
# into a result.
#
# Variables: VENV       folder of the environment (.venv)
#            PYTHON     interpreter to make it with, >= 3.11
#            DEMO_ARGS  options for tools/misc/demo.py
#            TEST_ARGS  options for pytest

VENV ?= .venv
CANDIDATES = python3.11 python3.12 python3.13 python3 python
IS_RECENT = -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for python in $(CANDIDATES); do \
	$$python $(IS_RECENT) >/dev/null 2>&1 && { echo $$python; break; }; done)

.PHONY: help env demo demo-seg demo-cls test lint clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo      train a spiking detector on generated scenes (work_dirs/demo)'
	@echo 'make demo-seg  train a spiking segmentor on them (work_dirs/demo_seg)'
	@echo 'make demo-cls  train a spiking classifier on single digits (work_dirs/demo_cls)'
	@echo 'make test      run the tests'
	@echo 'make lint      check style and format'
	@echo 'make env       set up .venv only; the targets above do it themselves'
	@echo 'make clean     remove build products and caches; keeps .venv and work_dirs'
	@echo 'Options: DEMO_ARGS=--quick  TEST_ARGS="-k neurons"  PYTHON=python3.12  VENV=path'

env:
	@'$(PYTHON)' $(IS_RECENT) 2>/dev/null || { echo 'make env: Python >= 3.11 is needed' \
	"(found: '$(PYTHON)'); install one, such as: apt-get install python3.11-dev" \
	'python3.11-venv, or name it: make env PYTHON=/path/to/python3.11' >&2; exit 1; }
	@'$(PYTHON)' tools/make_env --venv '$(VENV)'

demo: env
	'$(VENV)/bin/python' tools/misc/demo.py det $(DEMO_ARGS)

demo-seg demo-cls: demo-%: env
	'$(VENV)/bin/python' tools/misc/demo.py $* $(DEMO_ARGS)

# the tests' tensors are tiny: more threads would only wait for each other
test: export OMP_NUM_THREADS ?= 1
test: env
	'$(VENV)/bin/python' -m pytest $(TEST_ARGS)

lint: env
	'$(VENV)/bin/python' -m ruff check .
	'$(VENV)/bin/python' -m ruff format --check .

clean:
	rm -rf build dist snndense.egg-info .pytest_cache .ruff_cache
	find snndense tools tests configs -name __pycache__ -type d -prune -exec rm -rf {} +
