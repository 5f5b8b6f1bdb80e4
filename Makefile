# Everything from a fresh clone: only Python >= 3.11, make and a C library are taken for granted.
#
#   make demo     environment with the base only (no torch), one simulated study, its lesions
#   make test     environment with all extras, the whole test suite
#   make test-fast OF=phantom   the unit and property tests whose file or name holds that word
#   make check    format, lint, strict types, architecture
#   make docs     write docs/reference from the code, and the measured figures from results/
#   make nnunet   nnU-Net in an environment of its own, .venv-nnunet, to compare with
#
# PYTHON=python3.12 make ... chooses the interpreter that makes .venv.
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test installs PyTorch without CUDA, which is much smaller.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
WORKERS ?= 2

OF ?=

.PHONY: help demo test test-fast check format docs nnunet clean

help:
	@sed -n '3,11s/^# *//p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bonescan needs Python 3.11 or newer, and $(PYTHON) is %d.%d: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The build back end is installed first, from the same pins, so that nothing unpinned is fetched to build.
$(VENV)/base.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) setuptools
	$(PIP) --no-build-isolation -e .
	@touch $@

$(VENV)/full.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) setuptools
	$(PIP) --no-build-isolation -e '.[train,experiments,node,parquet,dev]'
	@touch $@ $(VENV)/base.stamp

demo: $(VENV)/base.stamp
	@rm -rf demo
	@$(BIN)/bonescan simulate -o demo/cohort --count 1 --seed 2 --header ge
	@$(BIN)/bonescan segment demo/cohort -o demo/result
	@echo "The picture: $$(ls demo/result/*/overlay.png)"

# One thread a worker: the workers already fill the machine.
test: $(VENV)/full.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q

test-fast: $(VENV)/full.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q tests/unit tests/property -k "$(OF)"

check: $(VENV)/full.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/full.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The pages that the code itself knows, and the figures that benchmarks left; tests compare them.
docs: $(VENV)/full.stamp
	$(BIN)/python docs/build_reference.py
	$(BIN)/python docs/build_figures.py

# nnU-Net asks for torch and torchvision, which are several gigabytes with CUDA. NNUNET_PIP chooses another build:
# make nnunet NNUNET_PIP="--extra-index-url https://download.pytorch.org/whl/cpu"
NNUNET := .venv-nnunet
NNUNET_INSTALL := $(NNUNET)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints-nnunet.txt

nnunet: $(NNUNET)/ready.stamp

$(NNUNET)/ready.stamp: constraints-nnunet.txt
	$(PYTHON) -m venv --clear $(NNUNET)
	$(NNUNET_INSTALL) setuptools
	$(NNUNET_INSTALL) $(NNUNET_PIP) --no-build-isolation torch torchvision nnunetv2
	$(NNUNET)/bin/python -I src/bonescan/lin2022/experiments/nnunet_program.py check
	@touch $@

clean:
	rm -rf $(VENV) $(NNUNET) demo build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
