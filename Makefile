# Two commands for newcomers: `make demo` and `make test`. The rest is for those who change the code.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SCALE  ?= .venv-scale
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: demo test test-full test-lowest test-matrix coverage deploy-test image picture image-test soak check docs words format lock clean prove mutants test-citus scale-test browser-test clients bench bench-growth bench-peers bench-search bench-waits bench-holds bench-deletion bench-evidence bench-review bench-receiving

demo: $(VENV)/runtime.installed            ## archive a stand-in chat app into SQLite and query it
	$(BIN)/python -m archiver demo

test: $(VENV)/dev.installed                ## both databases, under three minutes
	$(PYTEST) -m "not full and not deploy"

test-full: $(VENV)/dev.installed           ## what CI runs; a skipped test fails it
	$(PYTEST) --no-skips -m "not deploy"

deploy-test: $(VENV)/deploy.installed      ## deploy/ by systemd, Prometheus, hadolint ...; lists what it skips, and why
	$(BIN)/python -m pytest -m deploy -rs tests/deploy tests/browser

LOWEST := $(VENV)-lowest
# click words its usage lines, so the manual page is that of the version in the lock.
BY_LOCK := --deselect tests/unit/test_docs.py::test_the_manual_page_is_that_of_the_help
IN_PROCESS := unit store http sources claim export search statement evidence looks lifecycle callbacks page
COVERED := -q -m "not full and not deploy" --cov --cov-report=term $(IN_PROCESS:%=tests/%)
test-lowest: $(LOWEST)/installed           ## the lowest versions that pyproject.toml allows, in an environment of their own; with coverage
	$(LOWEST)/bin/python -m pytest -n 2 $(BY_LOCK) $(COVERED)

coverage: $(VENV)/dev.installed            ## how much of the program those tests cover that need no process of its own; a floor in pyproject.toml
	$(PYTEST) $(COVERED)

PYTHONS ?= 3.12 3.13
OLDEST_POSTGRES ?= /usr/lib/postgresql/15/bin
test-matrix:                               ## make test on newer Pythons, and on the oldest PostgreSQL that is supported
	for version in $(PYTHONS); do $(MAKE) test PYTHON=python$$version VENV=.venv-$$version || exit 1; done
	ARCHIVER_TEST_POSTGRES_BIN=$(OLDEST_POSTGRES) $(MAKE) test

check: $(VENV)/dev.installed               ## style, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

docs: $(VENV)/dev.installed                ## docs/settings.md and the manual page, from the settings and the help
	$(BIN)/python -m tests.settings_page
	$(BIN)/python -m tests.man_page

picture: $(VENV)/dev.installed             ## docs/demo.svg and the pictures of the review page, from runs of the demo
	$(BIN)/python -m tests.demo_picture
	$(BIN)/python -m tests.review_pictures

ENGINE ?= docker
image:                                     ## the image: ENGINE=podman, BASE_IMAGE=..., PIP_INDEX_URL=... for mirrors
	$(ENGINE) build -f deploy/container/Dockerfile -t archiver $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) \
	    $(if $(PIP_INDEX_URL),--build-arg PIP_INDEX_URL=$(PIP_INDEX_URL)) .

words: $(VENV)/dev.installed               ## the Chinese catalogue, from the texts in the code; names what lacks a translation
	$(BIN)/python -m tests.words

format: $(VENV)/dev.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/dev.installed                ## renew the lock files, without index addresses
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet --upgrade \
	    --python-version 3.11 pyproject.toml --extra callbacks --extra evidence --extra metrics --extra review -o requirements.lock
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet \
	    --python-version 3.11 pyproject.toml --extra callbacks --extra evidence --extra metrics --extra review --group dev -c requirements.lock -o requirements-dev.lock
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet \
	    --python-version 3.11 --group pyproject.toml:deploy -c requirements-dev.lock -o requirements-deploy.lock
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet \
	    --python-version 3.11 --group pyproject.toml:scale -o requirements-scale.lock
	$(BIN)/uv pip compile --universal --no-emit-index-url --no-header --no-annotate --quiet --resolution lowest-direct \
	    --python-version 3.11 pyproject.toml --extra callbacks --extra evidence --extra metrics --extra parquet --extra review --extra xlsx -o $(VENV)/lowest.txt
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet \
	    --python-version 3.11 pyproject.toml --extra callbacks --extra evidence --extra metrics --extra parquet --extra review --extra xlsx --group dev -c $(VENV)/lowest.txt \
	    -o requirements-lowest.lock

WORLDS ?= 20000
FIRST  ?= 0
EXAMPLES ?= 1000000
KILLS ?= 500
PART ?= 1/1
SEEDS := --worlds $(WORLDS) --first $(FIRST) --part $(PART) $(if $(RECORD),--record)
prove: $(VENV)/dev.installed               ## the pull protocol in simulated worlds; PART=3/20: a part; one again: WORLD=12345 or WIDE=12345 make prove
	$(if $(WIDE),,$(BIN)/python -m tests.proof.prove $(SEEDS) $(if $(WORLD),--world $(WORLD)))
	$(if $(WORLD),,$(BIN)/python -m tests.proof.prove --wide $(SEEDS) $(if $(WIDE),--world $(WIDE)))
	$(if $(WORLD)$(WIDE),,$(BIN)/python -m tests.proof.prove --kills $(KILLS) --points 1 --examples $(EXAMPLES) --part $(PART) $(if $(RECORD),--record))

image-test: $(VENV)/dev.installed          ## build the image and run it, by buildah; says why where it cannot
	PYTHON=$(abspath $(BIN))/python tests/deploy/image.sh

MINUTES ?= 30
soak: $(VENV)/dev.installed                ## the daemon in bad weather for half an hour; MINUTES=2 make soak
	ARCHIVER_SOAK_SECONDS=$$(( $(MINUTES) * 60 )) $(BIN)/python -m pytest -q -s --timeout 0 tests/service/test_soak.py

mutants: $(VENV)/dev.installed             ## what notices each way in which the protocol could be wrong
	$(BIN)/python -m pytest -q -s --timeout 0 -o log_level=CRITICAL tests/proof/table.py

scale-test: $(VENV)/dev.installed $(SCALE)/installed  ## the same questions to the archive, and to its Parquet export by Spark SQL
	$(BIN)/python -m tests.scale.compare --spark $(SCALE)/bin/python

browser-test: $(VENV)/dev.installed        ## HTML exports and the review page in Chromium, where it is installed
	$(BIN)/python -m pytest -q tests/export/chromium.py
	$(BIN)/python -m pytest -q -m deploy -rs tests/browser

CITUS_TESTS ?= tests
test-citus: $(VENV)/dev.installed          ## the whole suite on a cluster: ARCHIVER_TEST_CITUS_URL=postgresql://... make test-citus; skips what cannot hold there, with the reason
	test -n "$$ARCHIVER_TEST_CITUS_URL"
	$(PYTEST) -rs -m "not deploy" -k "not sqlite" $(CITUS_TESTS)

clients: $(VENV)/dev.installed             ## psql, the sqlite3 shell, pandas, DuckDB and Datasette read the archive
	$(PYTHON) -m venv $(VENV)-clients
	$(VENV)-clients/bin/python -m pip install --quiet -r tests/search/clients.txt
	$(BIN)/python -m tests.search.clients --python $(VENV)-clients/bin/python

ROUNDS ?= 5
bench: $(VENV)/dev.installed               ## the archiver beside its bounds and what one would write by hand; minutes
	$(BIN)/python -m bench --rounds $(ROUNDS) --save bench/results.json
	$(BIN)/python -m bench.plot bench/results.json docs/performance.svg

bench-growth: $(VENV)/dev.installed        ## three million messages, once; needs 4 GB of memory and as much disk
	$(BIN)/python -m bench --only growth

bench-peers: $(VENV)/dev.installed         ## the archiver beside dlt and a Singer pipeline, in environments of their own
	$(PYTHON) -m venv $(VENV)-dlt
	$(VENV)-dlt/bin/python -m pip install --quiet "dlt[postgres]>=1.31,<2"
	$(PYTHON) -m venv $(VENV)-singer
	$(VENV)-singer/bin/python -m pip install --quiet "singer-sdk>=0.54,<1" "meltanolabs-target-postgres>=0.8,<1"
	$(BIN)/python -m bench.peers --rounds $(ROUNDS) --dlt $(VENV)-dlt/bin/python --singer $(VENV)-singer/bin/python

bench-search: $(VENV)/dev.installed        ## searching a million messages against LIKE; what the index costs the ingest
	$(BIN)/python -m bench.search

bench-waits: $(VENV)/dev.installed         ## exports, the index, the check of an export, and the start of commands
	$(BIN)/python -m bench.waits

bench-holds: $(VENV)/dev.installed         ## asking which of a thousand messages a legal hold covers
	$(BIN)/python -m bench.holds

bench-deletion: $(VENV)/dev.installed      ## what the triggers of deletion cost a pull, and how fast a retention run is
	$(BIN)/python -m bench.deletion

bench-review: $(VENV)/dev.installed        ## the review page on a million messages, beside the commands
	$(BIN)/python -m bench.review
	$(BIN)/python -m bench.beside

bench-receiving: $(VENV)/dev.installed     ## callbacks at a steady rate, and how soon the archive has them
	$(BIN)/python -m bench.receiving

bench-evidence: $(VENV)/dev.installed      ## sealing, verifying, a baseline, a silent app, the way to a sink; an hour
	$(BIN)/python -m bench --only evidence --rounds $(ROUNDS)
	$(BIN)/python -m bench.baseline
	$(BIN)/python -m bench.silent
	$(BIN)/python -m bench.anchoring

clean:
	rm -rf $(VENV) $(LOWEST) $(VENV)-clients $(VENV)-dlt $(VENV)-singer $(SCALE) demo demo-* dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The first marker needs the runtime lock alone; the second adds the tools, so one environment serves both.
$(VENV)/runtime.installed: requirements.lock | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

$(VENV)/dev.installed: requirements-dev.lock | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

$(LOWEST)/installed: requirements-lowest.lock
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-lowest.lock
	touch $@

# Tools of the system where we may install them; what is missing all the same is skipped, with the reason.
DEPLOY_PACKAGES := chromium fonts-noto-cjk golang-go golang-golang-x-mod-dev groff libreoffice-calc-nogui pgbouncer prometheus \
    systemd-container
$(VENV)/deploy.installed: requirements-deploy.lock | $(VENV)/dev.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-deploy.lock
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
	    apt-get install -y -qq --no-install-recommends $(DEPLOY_PACKAGES) >/dev/null || echo "not installed: $(DEPLOY_PACKAGES)"; fi
	touch $@

$(SCALE)/installed: requirements-scale.lock
	$(PYTHON) -m venv $(SCALE)
	$(SCALE)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-scale.lock
	touch $@
