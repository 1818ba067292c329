# The main job from a bare checkout: `make` sets up .venv and runs the demo. `make help` lists all.

PYTHON  ?= python3
VENV    ?= .venv
# Data folder of the demo and of `make serve`.
DATA    ?= firsthand-demo
# Your own recordings for the demo: FOOTAGE="a.mp4 b.mp4", or a folder.
FOOTAGE ?=

# Three at a time on two cores: many tests wait, for a server, a disk or a deadline. They compute in
# one thread each, and who is done first takes tests over from the others.
TEST      = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal

BIN      := $(VENV)/bin
PIP      := $(BIN)/python -m pip --disable-pip-version-check
TORCH    := 2.13.0
# PyTorch's own index of CPU builds: on Linux the build on the common index brings 2 GB of CUDA.
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu
SETUP    := $(VENV)/.setup
SETUP_DEV := $(VENV)/.setup-dev

.DEFAULT_GOAL := demo
.PHONY: demo setup test check bench serve docs faults servers clean help

demo: $(SETUP) ## set up and run the demo (FOOTAGE="a.mp4 b.mp4" for your own recordings)
	$(BIN)/firsthand --data $(DATA) demo $(foreach clip,$(FOOTAGE),--footage "$(clip)")

setup: $(SETUP) ## make .venv with the pinned packages

test: $(SETUP_DEV) ## run the tests
	$(TEST)

check: $(SETUP_DEV) ## lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(SETUP_DEV) ## run the benchmarks
	@set -e; for file in bench/*.py; do echo "$$file"; $(BIN)/python "$$file"; done

serve: $(SETUP) ## serve the pages of the demo's data (DATA=folder for another)
	$(BIN)/firsthand --data $(DATA) serve

docs: $(SETUP) ## write docs/commands.md from the commands' own help
	$(BIN)/python docs/build.py

faults: $(SETUP_DEV) ## cut, break, fill, damage and interrupt, in full; prints a table by row
	FIRSTHAND_FAULTS=full $(TEST) -m fault -o timeout=7200 -o faulthandler_timeout=0

servers: ## start PostgreSQL and Ceph for the tests that need them (Debian's packages)
	tests/servers/postgres start >/dev/null
	tests/servers/ceph-rgw start >/dev/null

clean: ## remove .venv, caches and build output; never data
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

$(SETUP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'firsthand: error: $(PYTHON) is missing or older than Python 3.11' >&2; \
	  echo 'firsthand: hint: name a newer one: make PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo 'firsthand: error: $(PYTHON) cannot make a virtual environment' >&2; \
	  echo 'firsthand: hint: on Debian: apt-get install python3-venv' >&2; exit 1; }
	@echo 'installing pinned packages into $(VENV): about 1.3 GB, once'
	$(PIP) install -q -c constraints.txt setuptools
	@if [ "$$(uname -s)" = Linux ]; then \
	  $(PIP) install -q --no-deps torch==$(TORCH)+cpu 2>/dev/null || \
	  $(PIP) install -q --no-deps --index-url $(TORCH_CPU_INDEX) torch==$(TORCH)+cpu; \
	else \
	  $(PIP) install -q --no-deps torch==$(TORCH); \
	fi
	$(PIP) install -q -c constraints.txt --no-build-isolation \
	  --config-settings editable_mode=compat -e ".[all]"
	@$(BIN)/python -c 'import torch; raise SystemExit(torch.version.cuda is not None)' || { \
	  echo 'firsthand: error: this torch was built for CUDA' >&2; \
	  echo 'firsthand: hint: make clean, then make again' >&2; exit 1; }
	@touch $@

$(SETUP_DEV): $(SETUP)
	$(PIP) install -q -c constraints.txt --no-build-isolation \
	  --config-settings editable_mode=compat -e ".[all,dev]"
	@touch $@
