# heirloom: `make demo` runs the default study, `make test` the tests. Both make what they need.

PYTHON ?= python3
VENV := .venv
DATA ?= data
CONFIG ?= config/config.yaml
CHECKS := .venv-checks
SITE := .venv-site
# One more than there are cores: some tests wait for servers, locks and Slurm.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PIP_OPTIONS := --quiet --disable-pip-version-check
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help env demo estimate test lint parity architectures bench gpu-check docs site pictures slurm kubernetes \
	lock

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

$(BIN)/snakemake: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "heirloom needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_OPTIONS) --no-compile -r requirements.lock
	@# What jobs import is compiled here, also where Python is told to write no bytecode; all that
	@# pip would compile is four times as much.
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -c 'import heirloom.report.page, heirloom.finetune.trainer, \
		lm_eval.evaluator, matplotlib.pyplot, openvino, profanity_check, snakemake.cli, snakemake.script, textstat, \
		transformers.models.gemma3.modeling_gemma3, transformers.models.llama.modeling_llama'
	@touch $@

$(VENV)/.dev: $(BIN)/snakemake requirements-dev.lock
	$(BIN)/python -m pip install $(PIP_OPTIONS) -r requirements-dev.lock
	@touch $@

# Tools that look at what we make, apart from it: they ask for other versions of the same packages.
$(CHECKS)/.done: requirements-checks.lock
	$(PYTHON) -m venv $(CHECKS)
	$(CHECKS)/bin/python -m pip install $(PIP_OPTIONS) -r requirements-checks.lock
	@touch $@

env: $(BIN)/snakemake ## Make the environment, .venv, from the lock

# What builds the documentation: its versions of packages are of no concern to a study.
$(SITE)/.done: requirements-site.lock
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install $(PIP_OPTIONS) -r requirements-site.lock
	@touch $@

demo: env ## Run the default study on all cores and print the path of its report
	@$(BIN)/python -m snakemake --cores all --logger heirloom
	@echo "The report is $(CURDIR)/results/pocket/report.html"

estimate: env ## Predict the cost of a study; CONFIG: its file, DEVICE: cpu or gpu, for another machine
	@$(BIN)/python -m heirloom.study.estimate $(CONFIG) $(if $(DEVICE),--device $(DEVICE))

test: $(VENV)/.dev $(CHECKS)/.done $(SITE)/.done lint ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev $(CHECKS)/.done ## Check style, types and the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/snakemake --lint
	$(CHECKS)/bin/hadolint envs/Dockerfile

parity: $(VENV)/.dev ## Compare with reference implementations; DATA: folder of benchmark data
	$(BIN)/python -m pytest tests/parity -m ""
	$(BIN)/python -m benchmarks.parity $(DATA)

architectures: $(VENV)/.dev ## Try every architecture of transformers; writes docs/architectures.md
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.architectures

bench: $(VENV)/.dev ## Measure speed against other implementations
	$(BIN)/python -m benchmarks.generation
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.likelihood
	$(BIN)/python -m benchmarks.finetuning
	$(BIN)/python -m benchmarks.text_metrics

gpu-check: ## Check and measure the GPU with PYTHON's torch, in 8 minutes; SIZE: tiny or 7b; DEVICE=cpu
	$(PYTHON) -m benchmarks.gpu_check --size $(or $(SIZE),tiny) --device $(or $(DEVICE),cuda) \
		$(if $(MODEL),--model $(MODEL))

docs: $(VENV)/.dev ## Regenerate config/schema.json, the manual's tables and the map in CONTRIBUTING.md
	$(BIN)/python -m heirloom.study.schema
	$(BIN)/python -m docs.draw_map

site: $(SITE)/.done ## Build the documentation in site/, from the Markdown of the repository
	@$(SITE)/bin/python -m docs.build_site

pictures: env ## Draw the README's pictures again, from results/pocket
	$(BIN)/python -m docs.draw_pictures results/pocket

slurm: env ## Add Snakemake's Slurm plugins to .venv; see profiles/README.md
kubernetes: env ## The same for Kubernetes
slurm kubernetes:
	$(BIN)/python -m pip install $(PIP_OPTIONS) -c requirements.lock \
		$$($(call needs,project.optional-dependencies.$@))

lock: ## Resolve pyproject.toml again: all locks and envs/heirloom.yaml
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet $$($(call needs,project.dependencies))
	$(VENV)-lock/bin/pip freeze | sed 's/+cpu$$//' > requirements.lock
	$(VENV)-lock/bin/pip install --quiet $$($(call needs,dependency-groups.dev))
	$(VENV)-lock/bin/pip freeze | sed 's/+cpu$$//' | grep -vxFf requirements.lock > requirements-dev.lock
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet $$($(call needs,dependency-groups.checks))
	$(VENV)-lock/bin/pip freeze > requirements-checks.lock
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet $$($(call needs,dependency-groups.site))
	$(VENV)-lock/bin/pip freeze > requirements-site.lock
	{ sed '/- pip:/,$$d' envs/heirloom.yaml; echo '  - pip:'; sed 's/^/      - /' requirements.lock; } \
		> envs/heirloom.new && mv envs/heirloom.new envs/heirloom.yaml
	rm -rf $(VENV)-lock

# The requirements under one key of pyproject.toml, one word each.
needs = $(PYTHON) -c 'import functools, tomllib; \
	print(*functools.reduce(dict.get, "$(1)".split("."), tomllib.load(open("pyproject.toml", "rb"))))'
