# The one task runner: people, hooks and CI call the same recipes. `make` lists them.
# Needs Python 3.11 (or 3.12, 3.13), git and make; everything else is installed into .venv.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,13))' && echo $$p && break; done)
BIN := .venv/bin
UV_VERSION := 0.13.9
EXTRAS := --extra harvest --extra raw --extra pipeline --extra train-cpu --extra backbones --extra starter --extra tune --extra app --extra similar --extra faces --extra registry --extra airflow --extra demo
INSTALLED := .venv/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install demo up repro test test-quick lint format test-long bench-quality bench-training bench-promotion bench-sources bench-rating clean

help: ## List the recipes
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-15s %s\n", $$1, $$2}'

install: $(INSTALLED) ## Install everything into .venv, as locked

$(INSTALLED): pyproject.toml uv.lock
	@test -n "$(PYTHON)" || { echo "photoqual needs Python 3.11, 3.12 or 3.13; none was found."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv sync --quiet --locked --python $(BIN)/python $(EXTRAS)
	@touch $@

demo: install ## The whole platform on demo photographs: refresh, validate, train, judge, promote (about 6 minutes)
	$(BIN)/python -m photoqual.embedded demo

up: install ## Start the Airflow and MLflow UIs over the demo's workspace, until Ctrl-C
	$(BIN)/python -m photoqual.embedded up

repro: install ## Run the pipeline in this folder: dvc repro
	$(BIN)/dvc repro

test: install ## All tests, two files at a time
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=40 tests/system tests/model tests/people tests/data tests/code

test-long: install ## The tests with all their repetitions: kills, hostile images, large listings
	PHOTOQUAL_TEST_LONG=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/data tests/code

test-quick: install ## The tests that start no server and train no model
	$(BIN)/python -m pytest tests/code tests/data

lint: install ## Format check, linters, type checker, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-quality: install ## Train and judge on real labelled photos, with the peers (needs PHOTOQUAL_BENCH_DATA; 2 hours)
	$(BIN)/python -m benchmarks.quality

bench-promotion: install ## Prove the gate: false promotions, power, worn frozen sets, speed, races (docs/promotion.md)
	$(BIN)/python -m benchmarks.promotion

bench-training: install ## How fast training is fed, and in how much memory (needs PHOTOQUAL_BENCH_DATA)
	$(BIN)/python -m benchmarks.training_speed

bench-rating: install ## How fast photos are rated and searched, against decoding alone, Keras, ONNX Runtime and CleanVision
	@$(BIN)/python -m benchmarks.rating; rated=$$?; $(BIN)/python -m benchmarks.similar_search && exit $$rated

bench-sources: install ## Harvests, refreshes and DVC at the size of the real sources, against peers
	$(BIN)/python -m benchmarks.sources

clean: ## Remove the demo's workspace, caches and the environment
	rm -rf .demo .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
