# make tune: install and run the quick start on a real model.  make test: all checks and tests.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: tune test check clean

tune: .venv/.installed
	$(BIN)/tune --space search_spaces/quickstart.yaml --constraint 'latency<200ms'

# Compiled once: the suite starts hundreds of processes, which would else compile it each time
# where Python is told to write no bytecode.
test: check
	$(BIN)/python -m compileall -q tuner evaluators search_spaces
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch first and by its exact version: a plain "torch" may bring gigabytes of CUDA libraries.
.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) torch==2.13.0
	$(PIP) -e '.[cpu,openvino]'
	touch $@

.venv/.installed-dev: .venv/.installed
	$(PIP) -e '.[cpu,openvino,autoround,benchmarks,dashboard,parquet,postgres,remote,dev]'
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
