# Every task, and `make` alone lists them. Settings (COMPOSE_PROJECT_NAME, WIRELAB_BIND,
# WIRELAB_<SERVICE>_PORT, PYTHON_IMAGE, ...) come from the command line, the environment or .env.
PYTHON := .venv/bin/python
# A Ctrl-C while Python itself starts is to wait for the lab, which ends without a traceback.
LAB = $(shell env --block-signal=INT echo env --block-signal=INT 2>/dev/null) $(PYTHON) -m lab
PROFILE ?=
SCALE ?=
PUBLISH ?=
NODES ?=
SERVICE ?=
SECONDS ?= 30
MINUTES ?= 10
SEED ?=
N ?=
WORKERS ?=
WATCH ?=
AT ?=
RUN ?=
COMMIT ?=
DRY ?=
YES ?=
MINE ?=
ARGS ?=
TESTS ?=
QUICK ?=
# A machine of CI has sudo without a password; elsewhere tests that take root are skipped without it.
AS_ROOT = $(if $(filter true,$(CI)),$(shell [ "$$(id -u)" = 0 ] || echo sudo -n -E))
OF_MINE = $(if $(MINE),--mine=$(MINE) $(if $(N),--lesson=$(N)))

# A variable that is mistyped would be ignored, and the task done without it.
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
ifneq ($(GIVEN),)
KNOWN := $(shell sed -n 's/^\([A-Z]*\) [?:]=.*/\1/p' Makefile; grep -ohsE '[A-Z_]+_[A-Z0-9_]+' compose.yaml docs/settings.md docs/by-hand.md)
UNKNOWN := $(filter-out $(KNOWN) CI LANG LC_% %_COLOR PIP_% DOCKER_% %_PROXY %_proxy,$(GIVEN))
$(if $(UNKNOWN),$(error no task has a variable $(UNKNOWN): `make` lists those of the tasks, docs/settings.md the others))
endif

.DEFAULT_GOAL := help
# Meant for other Pythons than ours.
unexport $(filter-out PYTHON_IMAGE,$(filter PYTHON%,$(.VARIABLES)))

.PHONY: help venv any-venv up up-local down swarm swarm-down swarm-test cluster-test kit-test ps logs demo wire network shell capture doctor engine test test-pythons soak reliability interop browser screenshots bench bench-test lint format lock audit pictures wheel kit release lessons lesson check hint solution reset catch-up class class-server workshop-ready clean distclean

help: ## list the tasks
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r task what; do printf '  make %-14s %s\n' "$$task" "$$what"; done

up: venv ## start the lab (PROFILE=variants|cluster; MINE=tcp-echo)
	@$(LAB) up --profile=$(PROFILE) $(OF_MINE)

up-local: venv ## the same as processes of this machine, without containers
	@$(LAB) up-local --profile=$(PROFILE) $(OF_MINE)

down: any-venv ## stop the lab; only the data of kv stays
	@$(LAB) down

swarm: venv ## the lab on Docker Swarm (SCALE="rest=4"; NODES="ssh://a")
	@$(LAB) swarm --scale="$(SCALE)" --publish="$(PUBLISH)" --nodes="$(NODES)"

swarm-down: any-venv ## remove it again, and the swarm if the lab has made it
	@$(LAB) swarm-down

swarm-test: venv ## test the lab on two engines as two nodes (as root)
	@$(LAB) prepare
	@$(AS_ROOT) $(PYTHON) -m pytest tests/swarm --timeout=300

cluster-test: venv ## test kv on etcd while nodes are killed and cut off
	@$(LAB) prepare
	@$(PYTHON) -m pytest tests/cluster

kit-test: venv ## make a release, and install its kit offline (as root)
	@$(LAB) prepare
	@$(AS_ROOT) $(PYTHON) -m pytest tests/kit

ps: any-venv ## list the servers, their state and where they listen
	@$(LAB) ps

logs: any-venv ## follow what the servers log, until Ctrl-C (SERVICE=rest)
	@$(LAB) logs --service=$(SERVICE)

demo: any-venv ## run the clients again (ARGS="udp-time -c 3": one of them)
	@$(LAB) demo -- $(ARGS)

wire: any-venv ## show what passed the relay (SERVICE=rpc; ARGS="--follow")
	@$(LAB) wire --service=$(SERVICE) -- $(ARGS)

network: any-venv ## show or set what the relay does (PROFILE=lossy SEED=7)
	@$(LAB) network --profile=$(PROFILE) --seed=$(SEED) --service=$(SERVICE)

shell: any-venv ## open a shell among the clients (SERVICE=rest: in a server)
	@$(LAB) shell --service=$(SERVICE)

capture: any-venv ## write a server's packets to captures/ (SERVICE=rest)
	@$(LAB) capture --service=$(SERVICE) --seconds=$(SECONDS)

doctor: ## say what is there and what is missing
	@bash scripts/doctor.sh

engine: ## set up Docker Engine, Compose and buildx if missing
	@bash scripts/engine.sh up

test: venv ## run the tests (TESTS=tests/unit WORKERS=4)
	@$(LAB) prepare
	@$(PYTHON) -m pytest $(if $(WORKERS),--numprocesses=$(WORKERS) --dist=worksteal) $(TESTS)

test-pythons: venv ## run those that depend on Python on other versions of it
	@bash scripts/test_pythons.sh

soak: venv ## fuzz and break the servers for MINUTES=10 (SEED=7: again)
	@$(LAB) prepare
	@$(PYTHON) -m pytest tests/hostile -m soak --soak=$(MINUTES) $(if $(SEED),--seed=$(SEED)) --timeout=0 -s

reliability: venv ## run the hostile tests and write docs/reliability.md
	@$(LAB) prepare
	@$(PYTHON) -m pytest tests/hostile --reliability=docs/reliability.md

interop: venv ## run clients in other languages and write docs/clients.md
	@$(LAB) prepare
	@$(PYTHON) -m pytest tests/interop --clients=docs/clients.md

browser: venv ## test the console in a browser, as people use it
	@$(LAB) prepare
	@bash scripts/browser_packages.sh
	@$(PYTHON) -m pytest tests/browser

screenshots: venv ## take the pictures of the console in docs/
	@$(LAB) prepare
	@bash scripts/browser_packages.sh
	@$(PYTHON) -m pytest tests/browser/test_pictures.py --pictures=docs

bench: venv ## measure servers, variants and peers (QUICK=1: in a minute)
	@bash scripts/bench_tools.sh
	@$(PYTHON) -m bench $(if $(QUICK),--quick) $(ARGS)

bench-test: venv ## test that what is measured is alike
	@bash scripts/bench_tools.sh
	@$(PYTHON) -m pytest bench/tests

lint: venv ## check style and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

format: venv ## put the code in its style
	@.venv/bin/ruff format
	@.venv/bin/ruff check --fix

lock: venv ## pin the newest versions of all packages, with hashes
	@bash scripts/lock.sh

audit: venv ## report known vulnerabilities of all locked packages
	@bash scripts/audit.sh

pictures: venv ## draw the pictures of the README
	@$(LAB) pictures

wheel: venv ## build the pytest plugin as a wheel, for other projects
	@$(LAB) wheel

kit: venv ## pack all that a machine without a network needs
	@$(LAB) kit

release: venv ## build and tag a version (COMMIT=...; DRY=1: no tag)
	@$(LAB) release $(if $(COMMIT),--commit=$(COMMIT)) $(if $(DRY),--dry)

lessons: any-venv ## list the lessons of the workshop, and how far you are
	@$(LAB) lessons

lesson: any-venv ## begin a lesson (N=3), or go on with it
	@$(LAB) lesson $(N)

check: any-venv ## check your file (N=3, WATCH=1, AT=host:port, RUN="node x")
	@$(LAB) check $(N) $(if $(WATCH),--watch) $(if $(AT),--at=$(AT)) $(if $(RUN),--run="$(RUN)")

hint: any-venv ## show the next hint for the check that fails
	@$(LAB) hint $(N)

solution: any-venv ## show how ours differs from yours (YES=1: before it passes)
	@$(LAB) solution $(N) $(if $(YES),--yes)

reset: any-venv ## begin a lesson's file anew (N=3); what you had is kept
	@$(LAB) reset $(N)

catch-up: any-venv ## go on with a lesson (N=5), with our solutions before it
	@$(LAB) catch-up $(N)

class: any-venv ## show who of a class is where (WATCH=1: as it changes)
	@$(LAB) class $(if $(WATCH),--watch) $(ARGS)

class-server: any-venv ## open a place for the results of a class to the network
	@$(LAB) class-server

workshop-ready: venv ## get all that the lessons need, and prove it offline
	@$(LAB) workshop-ready

clean: ## remove what the checks left behind
	@find . -path './.venv*' -prune -o -name __pycache__ -exec rm -rf {} +
	@rm -rf .mypy_cache .pytest_cache .ruff_cache build

distclean: any-venv ## remove data, images, key, .venv; .env, workshop/mine stay
	@$(LAB) distclean
	@$(MAKE) --no-print-directory clean
	@ls .wirelab/*/running.json >/dev/null 2>&1 || rm -rf .venv .venv-* # another lab's servers run in it

venv:
	@bash scripts/venv.sh

any-venv:
	@bash scripts/venv.sh any
