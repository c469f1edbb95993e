# The whole way around the project. Everything runs in .venv, installed with the tested versions.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPED := $(VENV)/.developed
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help demo test test-long lint package bench bench-all bench-gpu figures families article clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(INSTALLED)  ## train a small GPT on Shakespeare and let it write (about five minutes)
	$(BIN)/groundup train

test: $(DEVELOPED) lint package  ## lint, build, and every quick test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-long: $(DEVELOPED)  ## the tests that take minutes; builds llama.cpp, and fetches its server and trl, to compare with
	$(PIP) install --quiet --constraint constraints.txt llama-cpp-python trl xllamacpp
	$(BIN)/python -m pytest -m slow

lint: $(DEVELOPED)  ## style, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

package: $(DEVELOPED)  ## build the wheel and the sdist, and install each
	$(BIN)/python tests/check_package.py

bench: $(DEVELOPED)  ## measure speed and memory side by side with the peers, in 25 minutes
	$(BIN)/python -m benchmarks $(BENCH)

bench-all: $(DEVELOPED)  ## every figure of docs/performance.md, in a day; repeated, it goes on
	$(BIN)/python -m benchmarks.everything --work bench-work $(BENCH)

bench-gpu: $(DEVELOPED)  ## the same on a CUDA GPU, in about five minutes
	$(BIN)/python -m benchmarks.gpu $(BENCH)

figures: $(DEVELOPED)  ## record the pictures of README and docs anew, in some minutes
	$(BIN)/python docs/figures/record.py
	$(BIN)/python docs/figures/curves.py

families: $(DEVELOPED)  ## compare every family and file with the tool that it is from; write the table of docs/weights.md
	PYTHONPATH=. $(BIN)/python docs/figures/families.py

article: $(DEVELOPED)  ## run docs/article.md; write its outputs, figures, notebook and page
	$(BIN)/python docs/figures/article.py

clean:  ## remove the environment and what was built
	rm -rf $(VENV) build dist

# torch comes first and alone: the pinned version, so that no newer build is pulled in.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "groundup needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable .
	touch $@

$(DEVELOPED): $(INSTALLED) pyproject.toml constraints.txt
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	$(PIP) install --quiet --constraint constraints.txt --no-deps llms-from-scratch
	touch $@
