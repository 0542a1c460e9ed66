# Every task, and `make` alone lists them. Settings (COMPOSE_PROJECT_NAME, WIRELAB_BIND,
# WIRELAB_<SERVICE>_PORT, PYTHON_IMAGE, ...) come from the command line, the environment or .env.
PYTHON := .venv/bin/python
LAB := $(PYTHON) -m lab
PROFILE ?=
SERVICE ?=
SECONDS ?= 30
MINUTES ?= 10
SEED ?=
N ?=
WATCH ?=
AT ?=
RUN ?=
YES ?=
ARGS ?=

.DEFAULT_GOAL := help
# Meant for other Pythons than ours.
unexport $(filter-out PYTHON_IMAGE,$(filter PYTHON%,$(.VARIABLES)))

.PHONY: help venv any-venv up up-local down ps logs demo wire network shell capture doctor engine test test-pythons soak reliability interop bench bench-test lint format lock audit pictures lessons lesson check hint solution reset catch-up clean distclean

help: ## list the tasks
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r task what; do printf '  make %-13s %s\n' "$$task" "$$what"; done

up: venv ## start the lab, setting up what is missing (PROFILE=variants: with all; cluster: kv on etcd)
	@$(LAB) up --profile=$(PROFILE)

up-local: venv ## the same without containers: the servers as processes of this machine
	@$(LAB) up-local --profile=$(PROFILE)

down: any-venv ## stop the lab; only the data of kv stays
	@$(LAB) down

ps: any-venv ## list the servers, their state and where they listen
	@$(LAB) ps

logs: any-venv ## show what the servers log (SERVICE=rest: of one)
	@$(LAB) logs --service=$(SERVICE)

demo: any-venv ## run the clients again (ARGS="udp-time -c 3": one of them)
	@$(LAB) demo -- $(ARGS)

wire: any-venv ## show what passed through the relay (SERVICE=rpc; ARGS="--follow": and goes on)
	@$(LAB) wire --service=$(SERVICE) -- $(ARGS)

network: any-venv ## show or set what the relay does (PROFILE=3g|satellite|lossy|cut|clean SEED=7)
	@$(LAB) network --profile=$(PROFILE) --seed=$(SEED) --service=$(SERVICE)

shell: any-venv ## open a shell in the clients container (SERVICE=rest: in a server's)
	@$(LAB) shell --service=$(SERVICE)

capture: any-venv ## write the packets of a server to captures/ (SERVICE=rest, SECONDS=30)
	@$(LAB) capture --service=$(SERVICE) --seconds=$(SECONDS)

doctor: ## say what is there and what is missing
	@bash scripts/doctor.sh

engine: ## set up Docker Engine, Compose and buildx where they are missing
	@bash scripts/engine.sh up

test: venv ## run the tests; those of the containers need an engine (TESTS=tests/unit: some)
	@$(LAB) prepare
	@$(PYTHON) -m pytest $(TESTS)

test-pythons: venv ## run the tests that depend on Python on other versions of this machine
	@bash scripts/test_pythons.sh

soak: venv ## fuzz the servers, then kill, pause and cut them off for MINUTES=10 (SEED=7: again so)
	@$(LAB) prepare
	@$(PYTHON) -m pytest tests/hostile -m soak --soak=$(MINUTES) $(if $(SEED),--seed=$(SEED)) --timeout=0 -s

reliability: venv ## run the hostile tests and write what they measure into docs/reliability.md
	@$(LAB) prepare
	@$(PYTHON) -m pytest tests/hostile --reliability=docs/reliability.md

interop: venv ## run clients in other languages and write what they do into docs/clients.md
	@$(LAB) prepare
	@$(PYTHON) -m pytest tests/interop --clients=docs/clients.md

bench: venv ## measure the servers beside their variants and peers (QUICK=1: in a minute)
	@bash scripts/bench_tools.sh
	@$(PYTHON) -m bench $(if $(QUICK),--quick) $(ARGS)

bench-test: venv ## test that what is measured is alike, and that the load sees faults
	@bash scripts/bench_tools.sh
	@$(PYTHON) -m pytest bench/tests

lint: venv ## check style and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

format: venv ## put the code in its style
	@.venv/bin/ruff format
	@.venv/bin/ruff check --fix

lock: venv ## pin the newest versions of all packages, with their hashes
	@bash scripts/lock.sh

audit: venv ## report known vulnerabilities of all locked packages, as PyPI or OSV know them
	@bash scripts/audit.sh

pictures: venv ## draw the pictures of the README from compose.yaml and the running lab
	@$(LAB) pictures

lessons: any-venv ## list the lessons of the workshop, and how far you are
	@$(LAB) lessons

lesson: any-venv ## begin a lesson (N=3), or go on: its file in workshop/mine, its text here
	@$(LAB) lesson $(N)

check: any-venv ## check your file of a lesson (WATCH=1: on every save; AT=host:port; RUN="node x.js")
	@$(LAB) check $(N) $(if $(WATCH),--watch) $(if $(AT),--at=$(AT)) $(if $(RUN),--run="$(RUN)")

hint: any-venv ## show the next hint for the check that fails
	@$(LAB) hint $(N)

solution: any-venv ## show the difference between your file and ours (YES=1: before it passes)
	@$(LAB) solution $(N) $(if $(YES),--yes)

reset: any-venv ## begin the file of a lesson anew (N=3); what you had is kept
	@$(LAB) reset $(N)

catch-up: any-venv ## go on with a lesson (N=5), with our solutions of those before
	@$(LAB) catch-up $(N)

clean: ## remove what the checks left behind
	@find . -path './.venv*' -prune -o -name __pycache__ -exec rm -rf {} +
	@rm -rf .mypy_cache .pytest_cache .ruff_cache build

distclean: any-venv ## remove everything: containers, volumes, images, the key, .venv
	@$(LAB) distclean
	@$(MAKE) --no-print-directory clean
	@ls .wirelab/*/running.json >/dev/null 2>&1 || rm -rf .venv .venv-* # another lab's servers run in it

venv:
	@bash scripts/venv.sh

any-venv:
	@bash scripts/venv.sh any
