# Every task, and `make` alone lists them. Settings (COMPOSE_PROJECT_NAME, WIRELAB_BIND,
# WIRELAB_<SERVICE>_PORT, PYTHON_IMAGE, ...) come from the command line, the environment or .env.
PYTHON := .venv/bin/python
LAB := $(PYTHON) -m lab
PROFILE ?=
SERVICE ?=
MINUTES ?= 10
SEED ?=
N ?=
WATCH ?=
AT ?=
RUN ?=
YES ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help up up-local down ps logs demo shell doctor engine test soak reliability interop bench bench-test lint format lock audit pictures lessons lesson check hint solution reset catch-up clean distclean

help: ## list the tasks
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r task what; do printf '  make %-11s %s\n' "$$task" "$$what"; done

up: .venv/ready ## start the lab, setting up what is missing (PROFILE=variants: with all variants)
	@$(LAB) up --profile=$(PROFILE)

up-local: .venv/ready ## the same without containers: the servers as processes of this machine
	@$(LAB) up-local --profile=$(PROFILE)

down: .venv/ready ## stop the lab; only the data of kv stays
	@$(LAB) down

ps: .venv/ready ## list the servers, their state and where they listen
	@$(LAB) ps

logs: .venv/ready ## show what the servers log (SERVICE=rest: of one)
	@$(LAB) logs --service=$(SERVICE)

demo: .venv/ready ## run the clients again (ARGS="udp-time -c 3": one of them)
	@$(LAB) demo -- $(ARGS)

shell: .venv/ready ## open a shell in the clients container (SERVICE=rest: in a server's)
	@$(LAB) shell --service=$(SERVICE)

doctor: ## say what is there and what is missing
	@scripts/doctor.sh

engine: ## set up Docker Engine, Compose and buildx where they are missing
	@scripts/engine.sh up

test: .venv/ready ## run the tests; those of the containers need an engine (TESTS=tests/unit: some)
	@$(LAB) prepare
	@$(PYTHON) -m pytest $(TESTS)

soak: .venv/ready ## fuzz the servers, then kill, pause and cut them off for MINUTES=10 (SEED=7: again so)
	@$(LAB) prepare
	@$(PYTHON) -m pytest tests/hostile -m soak --soak=$(MINUTES) $(if $(SEED),--seed=$(SEED)) --timeout=0 -s

reliability: .venv/ready ## run the hostile tests and write what they measure into docs/reliability.md
	@$(LAB) prepare
	@$(PYTHON) -m pytest tests/hostile --reliability=docs/reliability.md

interop: .venv/ready ## run clients in other languages and write what they do into docs/clients.md
	@$(LAB) prepare
	@$(PYTHON) -m pytest tests/interop --clients=docs/clients.md

bench: .venv/ready ## measure the servers beside their variants and peers (QUICK=1: in a minute)
	@scripts/bench_tools.sh
	@$(PYTHON) -m bench $(if $(QUICK),--quick) $(ARGS)

bench-test: .venv/ready ## test that what is measured is alike, and that the load sees faults
	@scripts/bench_tools.sh
	@$(PYTHON) -m pytest bench/tests

lint: .venv/ready ## check style and types
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy

format: .venv/ready ## put the code in its style
	@.venv/bin/ruff format
	@.venv/bin/ruff check --fix

lock: .venv/ready ## pin the newest versions of all packages, with their hashes
	@scripts/lock.sh

audit: .venv/ready ## report known vulnerabilities of all locked packages, as PyPI or OSV know them
	@scripts/audit.sh

pictures: .venv/ready ## draw the pictures of the README from compose.yaml and the running lab
	@$(LAB) pictures

lessons: .venv/ready ## list the lessons of the workshop, and how far you are
	@$(LAB) lessons

lesson: .venv/ready ## begin a lesson (N=3), or go on: its file in workshop/mine, its text here
	@$(LAB) lesson $(N)

check: .venv/ready ## check your file of a lesson (WATCH=1: on every save; AT=host:port; RUN="node x.js")
	@$(LAB) check $(N) $(if $(WATCH),--watch) $(if $(AT),--at=$(AT)) $(if $(RUN),--run="$(RUN)")

hint: .venv/ready ## show the next hint for the check that fails
	@$(LAB) hint $(N)

solution: .venv/ready ## show the difference between your file and ours (YES=1: before it passes)
	@$(LAB) solution $(N) $(if $(YES),--yes)

reset: .venv/ready ## begin the file of a lesson anew (N=3); what you had is kept
	@$(LAB) reset $(N)

catch-up: .venv/ready ## go on with a lesson (N=5), with our solutions of those before
	@$(LAB) catch-up $(N)

clean: ## remove what the checks left behind
	@find . -path ./.venv -prune -o -name __pycache__ -exec rm -rf {} +
	@rm -rf .mypy_cache .pytest_cache .ruff_cache build

distclean: .venv/ready ## remove everything: containers, volumes, images, the key, .venv
	@$(LAB) distclean
	@$(MAKE) --no-print-directory clean
	@rm -rf .venv

.venv/ready: requirements/dev.txt
	@scripts/venv.sh
