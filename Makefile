# make demo   the main job on a real checkpoint; needs no torch
# make test   everything that CI runs
# make fast   the tests that take under five seconds each
# make lint   style and types only
# make docs   the site, into build/site
# make clean  removes what these made

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: demo test fast lint docs clean

PYTHON ?= python3
BIN := .venv/bin
# Without --no-compile pip writes 95 MB of byte code for modules that nobody imports; Python compiles
# those that are imported by itself.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile
# A process per core; each takes over tests that another has not begun.
WORKERS := --numprocesses auto --maxprocesses 8 --dist worksteal
SAMPLE := samples/all-MiniLM-L6-v2

demo: .venv/core $(SAMPLE)
	$(BIN)/inferstack optimize $(SAMPLE) --on gemmini --seq-len 128 --data data/sentences.txt --report report.html

test: lint $(SAMPLE)
	$(BIN)/pytest $(WORKERS)

fast: .venv/dev
	$(BIN)/pytest $(WORKERS) -m 'not slow'

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo 'open build/site/index.html'

# torch goes first and by itself: a later requirement that it already meets then changes nothing.
.venv/dev: pyproject.toml | .venv/python
	$(PIP) torch==2.13.0
	$(PIP) -e '.[dev,docs,torch]'
	touch $@ .venv/core .venv/docs

.venv/docs: pyproject.toml | .venv/python
	$(PIP) -e '.[docs]'
	touch $@ .venv/core

.venv/core: pyproject.toml | .venv/python
	$(PIP) -e .
	touch $@

.venv/python:
	$(PYTHON) -c 'import sys; sys.exit("error: python 3.11 or newer is needed; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	touch $@

$(SAMPLE): | .venv/core
	$(BIN)/inferstack sample --into samples

clean:
	rm -rf .venv .peers build samples report.html optimized .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks docs examples -name __pycache__ -type d -prune -exec rm -rf {} +
