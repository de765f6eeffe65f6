# `make install` builds an environment in .venv, and whatever needs it does so too; nothing but Python 3.11 or newer and make is needed.
# constraints.txt pins every library, torch to the release that the figures in benchmarks/RESULTS.md were measured with.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do command -v $$p && break; done)
BIN := .venv/bin
# Where tests put their files unless TMPDIR says so: into memory, where a sync costs nothing, if 4 GiB of it are to spare.
MEMORY = $(shell [ "$$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 {print $$4}')" -gt 4194304 ] 2>/dev/null \
  && ! grep -q '^[^ ]* /dev/shm .*noexec' /proc/mounts && echo /dev/shm || echo /tmp)
# Bytecode is kept even where the environment says otherwise, or each of a hundred processes compiles all that it imports.
PYTEST = PYTHONDONTWRITEBYTECODE= TMPDIR="$${TMPDIR:-$(MEMORY)}" $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
.DEFAULT_GOAL := help
.PHONY: help install demo test test-all check docs clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

install: .venv/installed  ## weldcache in .venv, with the pinned versions
	@echo "Activate it: . .venv/bin/activate"

demo: .venv/installed  ## synthetic welds -> features -> training -> report, on the CPU, in a few minutes
	@sh examples/demo.sh $(BIN) demo

test: .venv/installed-test  ## the test suite but for what is slow
	$(PYTEST) -m "not slow"

test-all: .venv/installed-test  ## the whole test suite: real kills, full disks, the wheel, a browser, too
	$(PYTEST)

check: .venv/installed-test  ## linter, types, layers, then the whole test suite
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py
	PYTHONPATH=.import $(BIN)/lint-imports
	$(MAKE) test-all

docs: .venv/installed-docs  ## the documentation as a site, in build/docs; warnings are errors
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -c docs -d build/doctrees . build/docs
	@echo "Open build/docs/index.html"

clean:  ## remove the environment and what the demo made
	rm -rf .venv demo demo-random build

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "weldcache needs Python 3.11 or newer, and no python3 is on the PATH."; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "weldcache needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" --version 2>&1)."; \
	  echo "Install a newer one, or name it: make demo PYTHON=/path/to/python3.11"; exit 2; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module (on Debian and Ubuntu: apt install python3-venv)."; exit 2; }
	"$(PYTHON)" -m venv .venv

# torch goes first and alone: a later package that asks for plain "torch" then finds it satisfied.
.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	@touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	@touch $@
