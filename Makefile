# Every target sets up what it needs: a fresh machine wants only Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRAS := worker,local,models,sweep,dashboard,tensorboard,wandb,mlflow,dev,docs

.PHONY: help setup pong test test-deploy images peers lint docs mutants bench dashboard-speed qd learning maze takeovers chaos fuzz sbom check-games proto clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

setup: $(READY) ## make .venv with everything that germline needs

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "germline needs Python 3.11 or newer, this is " + sys.version'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

pong: setup ## evolve Pong from pixels on this machine, with a live display
	$(BIN)/germline run experiments/pong.toml

test: setup ## run the tests, on all cores
	$(BIN)/pytest --numprocesses auto

test-deploy: setup ## check deploy/ with the tools of others; wants a package index, and as root Debian's packages
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS),deploy]'
	$(BIN)/pytest tests/deploy

IMAGES ?= /var/tmp/germline-images
images: setup ## build both images without Docker, and run a small fleet of them (minutes; as root; see tools/images.sh)
	tools/images.sh build $(IMAGES)
	GERMLINE_IMAGES=$(IMAGES) $(BIN)/pytest tests/deploy/test_images.py

PYTHON312 ?= python3.12
peers: ## install the clients of other projects that tests hold the gateways against; wants Python 3.12 and a package index
	$(PYTHON312) -m venv .peers/evochi
	.peers/evochi/bin/pip install --quiet --disable-pip-version-check evochi==0.1.4 grpcio numpy

lint: setup ## style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup ## build the site of docs/ into site/; strict, and without a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

MODULE ?= *
SAMPLE ?= 10000
mutants: setup ## break the code, a token at a time; do the tests notice? MODULE=germline.genome SAMPLE=60 for less than all
	OMP_NUM_THREADS=1 nice -n 15 $(BIN)/mutmut run $$($(BIN)/python tools/mutants.py sample $(SAMPLE) '$(MODULE)')
	$(BIN)/python tools/mutants.py table

bench: setup ## measure against the references (minutes; wants a quiet machine)
	$(BIN)/germline bench all

EVALUATIONS ?= 1000000
dashboard-speed: setup ## show a run of EVALUATIONS=1000000 in a real browser; does each page come at once? (minutes; wants a quiet machine)
	GERMLINE_EVALUATIONS=$(EVALUATIONS) $(BIN)/pytest -s tests/germline/dashboard/test_dashboard_speed.py

qd: setup ## MAP-Elites against pyribs at equal evaluations (minutes); installs ribs beside the rest
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS),qd]'
	$(BIN)/python -m germline.bench.qd

maze: setup ## who finds the way out of a maze that misleads, six searches over ten seeds (half an hour; goes on where it stopped)
	$(BIN)/python -m germline.bench.maze

learning: setup ## our algorithms against the peers' at equal episodes (hours, in pieces); installs them beside the rest
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS),learning]'
	OMP_NUM_THREADS=1 $(BIN)/germline bench learning

TAKEOVERS ?= 150
takeovers: setup ## kill, stop and cut off one master after the other; is anything lost? (minutes)
	$(BIN)/python -m germline.bench.takeovers --takeovers $(TAKEOVERS)

MINUTES ?= 20
chaos: setup ## break everything again and again, for MINUTES=20, with SEED=1 or one of its own; is anything lost?
	$(BIN)/python -m germline.bench.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

sbom: setup ## write sbom.json, what the wheel is installed with, and sbom-worker.json; hold both to the pins
	$(BIN)/python tools/sbom.py sbom.json
	$(BIN)/python tools/sbom.py sbom-worker.json --extra worker --extra local

RUNS ?= 1000000
fuzz: setup ## throw bytes at every decoder, RUNS=1000000 at each (hours); NAME=genome for one of them
	for name in $(or $(NAME),$$($(BIN)/python tools/fuzz.py list)); do \
		OMP_NUM_THREADS=1 nice -n 15 $(BIN)/python tools/fuzz.py $$name --blind --runs $(RUNS) || exit 1; done

check-games: setup ## hold every Atari game to its promise: an episode is its seed and its actions (minutes)
	$(BIN)/python tools/check_games.py

proto: setup ## generate germline/v1 from proto/germline/v1
	$(BIN)/python tools/generate_stubs.py

clean: ## forget the environment and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist mutants site
