# Everything a newcomer and the CI need. `make` alone says what there is.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
TESTS := $(PY) -m pytest -n 3  # they wait more than they compute: three side by side on two cores
DATA_DIR ?= .data
PORT ?= 8000
TENANT ?= local
export CASELOOM_DATA_DIR := $(DATA_DIR)
export PORT

.PHONY: help up down verify mail demo test browser check format catalog token migrate bench bench-full chaos rebuild drift doctor simulate screen \
	lock histories licences sbom rotate-keys screenshots

help:  ## What there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 14

$(VENV)/installed: requirements.lock
	@if command -v uv >/dev/null 2>&1; then \
		test -x $(PY) || uv venv -q $(VENV); \
		uv pip sync -q --compile-bytecode -p $(PY) --require-hashes requirements.lock; \
	else \
		test -x $(PY) || python3 -m venv $(VENV); \
		$(PY) -m pip install -q --require-hashes -r requirements.lock; \
	fi
	@touch $@

up: $(VENV)/installed  ## Start everything on this machine (PORT, DATA_DIR)
	@$(PY) -m deploy.up

down: $(VENV)/installed  ## End everything of a data folder, also what a killed `make up` left behind (DATA_DIR)
	@$(PY) -m deploy.down

demo: $(VENV)/installed  ## Play a case manager against the running system (BUNDLES=folder)
	@$(PY) -m deploy.demo $(if $(BUNDLES),"$(BUNDLES)")

test: $(VENV)/installed  ## All tests, on the real engine, both databases and, where there is one, a real browser
	@test -z "$$CI" || timeout 150 $(MAKE) -s browser || echo "no Chromium could be installed: the tests in a browser are skipped"
	@$(TESTS)

browser:  ## Install Chromium for the tests of the desk, where there is none (Debian, as root)
	@command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || test -n "$$CHROMIUM" || \
		(apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends chromium >/dev/null)

check: $(VENV)/installed  ## Lint, format, types, import rules and all tests
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy .
	@$(TESTS)

format: $(VENV)/installed  ## Put the code into its form
	@$(VENV)/bin/ruff check --fix -q .
	@$(VENV)/bin/ruff format -q .

simulate: $(VENV)/installed  ## What a programme file would do, before it is published (PROGRAM=file DAYS=30 SCENARIO=name JSON=1)
	@$(PY) -m deploy.simulate "$(PROGRAM)" $(if $(DAYS),--days $(DAYS)) $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(JSON),--json)

catalog: $(VENV)/installed  ## Validate programmes and calendars
	@$(PY) -m infra.catalog

mail: $(VENV)/installed  ## Show the mail that a system of `make up` has sent (TO=address)
	@$(PY) -m deploy.mail $(if $(TO),"$(TO)")

token: $(VENV)/installed  ## Print a token (ROLE=supervisor SUBJECT=sup-1 TEAM=north SCOPE=feed)
	@$(PY) -m deploy.token "$(ROLE)" "$(SUBJECT)" "$(TEAM)" "$(or $(TENANT),local)" "$(SCOPE)"

screen: $(VENV)/installed  ## Look in a population's files for people a programme could help (FILES= PROGRAM= TEAM= MAPPING= TIER= AS_OF= RESUME=)
	@$(PY) -m deploy.screen $(FILES) $(if $(PROGRAM),--program $(PROGRAM)) $(if $(TEAM),--team $(TEAM)) \
		$(if $(MAPPING),--mapping $(MAPPING)) $(if $(TIER),--tier $(TIER)) $(if $(AS_OF),--as-of $(AS_OF)) $(if $(RESUME),--resume $(RESUME))

migrate: $(VENV)/installed  ## Bring the database, and cases that an older release left, to this release
	@$(PY) -m deploy.upgrade

chaos: $(VENV)/installed  ## Faults against a whole system, then every promise checked (SEED= MINUTES= FAULT= POSTGRES=1 HERD=)
	@$(PY) -m tests.chaos.run $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(FAULT),--fault "$(FAULT)") $(if $(POSTGRES),--postgres) $(if $(HERD),--herd $(HERD))

doctor: $(VENV)/installed  ## Say what is not well with the running system, and what to do
	@$(PY) -m deploy.doctor

drift: $(VENV)/installed  ## Hold the engine's cases against the record (HEAL=1 GAP=1)
	@$(PY) -m deploy.drift $(if $(HEAL),--heal) $(if $(GAP),--over-gap)

rotate-keys: $(VENV)/installed  ## Encrypt the record anew under the first key, while the system runs
	@$(PY) -m deploy.rotate

verify: $(VENV)/installed  ## Follow the timelines and the audit row by row, and say what was changed by hand
	@$(PY) -m deploy.verify

rebuild: $(VENV)/installed  ## Fold the timeline into every derived table again
	@$(PY) -m deploy.rebuild

bench: $(VENV)/installed  ## What it costs, as ratios of the engine's own floor (about five minutes)
	@$(PY) -m benchmarks.run

bench-full: $(VENV)/installed  ## The same at the sizes that the limits speak of (about two hours)
	@$(PY) -m benchmarks.run --full

screenshots: $(VENV)/installed  ## Pictures of the demo for the README, by a real browser (`make up` must run)
	@$(PY) -m tests.desk.screenshots

histories: $(VENV)/installed  ## Record workflow histories and timelines that later releases must follow
	@$(PY) -m tests.record_histories

licences: $(VENV)/installed  ## What stands in the image, with its licence
	@$(PY) -m deploy.licences

sbom:  ## Write dist/sbom.json, what stands in the image as CycloneDX (needs uv)
	@mkdir -p dist && uv lock -q && uv export -q --no-default-groups --format cyclonedx1.5 -o dist/sbom.json && rm -f uv.lock

EXPORT := uv export -q --no-emit-project --format requirements-txt --no-annotate --no-header
lock:  ## Pin all dependencies with hashes, and those of the image (needs uv)
	@uv lock -q && $(EXPORT) --all-groups -o requirements.lock \
		&& $(EXPORT) --no-default-groups -o deploy/requirements.lock && rm -f uv.lock
