# Every target makes the environment it needs in .venv, from the lock files, and is
# quick when nothing has changed. Needs Python 3.11 or later and a C library.
#
#   make demo            the whole job, on the embedded store
#   make serve           start the service on http://127.0.0.1:8000
#   make test            all tests, a real Redis server included
#   make examples        all examples: a simulator in each language that this machine has
#   make example-c       one of them, by the name of its folder
#
# PYTHON=... chooses the interpreter; ARGS="..." is passed on to the command.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo serve test examples example-tools bench accuracy reliability reference lint format lock audit image clean

VENV := .venv
BUILD := requirements-build.lock pyproject.toml scripts/setup.sh
ARGS ?=
export PYTHON

help:  ## list the targets
	@sed -nE 's/^([a-z%-]+):.*## (.*)/  make \1\t\2/p' Makefile \
	    | sed 's/example-%/example-c/' | expand -t 23

$(VENV)/.ready-demo: requirements-demo.lock $(BUILD)
	@scripts/setup.sh demo

$(VENV)/.ready-examples: requirements-examples.lock $(BUILD)
	@scripts/setup.sh examples

$(VENV)/.ready-dev: requirements-dev.lock $(BUILD)
	@scripts/setup.sh dev

demo: $(VENV)/.ready-demo  ## cycle a simulator through the service, draw the result
	@$(VENV)/bin/ccdm demo $(ARGS)

serve: $(VENV)/.ready-demo  ## start the service on the embedded store
	@$(VENV)/bin/ccdm serve $(ARGS)

test: $(VENV)/.ready-dev  ## run all tests, against a real Redis server too
	@scripts/test.sh $(ARGS)

examples: $(VENV)/.ready-examples  ## run all examples whose languages are at hand
	@examples/run_all.sh $(ARGS)

example-tools:  ## install their compilers and interpreters, as root on Debian
	@scripts/example_tools.sh

example-water example-reactor: example-%: $(VENV)/.ready-examples
	@examples/$*/run.sh $(ARGS)

example-%: $(VENV)/.ready-demo  ## run one, here examples/c
	@examples/$*/run.sh $(ARGS)

bench: $(VENV)/.ready-dev  ## measure speed, write docs/performance.md
	@$(VENV)/bin/python -m benchmarks $(ARGS)

accuracy: $(VENV)/.ready-dev  ## measure accuracy, write docs/accuracy.md (resumable)
	@$(VENV)/bin/python -m benchmarks.accuracy $(ARGS)

reliability: $(VENV)/.ready-dev  ## break it on purpose for hours, write docs/reliability.md
	@scripts/redis_server.sh > /dev/null
	@OPENBLAS_NUM_THREADS=1 $(VENV)/bin/python -m reliability $(ARGS)

reference: $(VENV)/.ready-dev  ## write the pages that are made from the code
	@$(VENV)/bin/python -m scripts.reference

lint: $(VENV)/.ready-dev  ## style and types
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

format: $(VENV)/.ready-dev  ## bring the code into the project's style
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

lock: $(VENV)/.ready-dev  ## pin the newest dependencies, with hashes
	@scripts/lock.sh

audit: $(VENV)/.ready-dev  ## known weaknesses of the packages, lint of Dockerfile and YAML
	@scripts/audit.sh

image:  ## build and try the container image, without a Docker engine
	@scripts/check_image.sh $(ARGS)

clean:  ## remove everything that make has made
	rm -rf $(VENV) build dist out .cache *.egg-info .coverage .coverage.*
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
