# The two that matter: `make demo` and `make test`. Everything is installed into .venv and tests/node/node_modules by the targets themselves.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps

DEMO_ARGS ?=
BENCH_ARGS ?=
PYTEST_ARGS ?=

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

.PHONY: demo
demo: $(STAMPS)/runtime ## Extract 23 real blocks into a lake, and query it
	@$(BIN)/ampd demo $(DEMO_ARGS)

.PHONY: test
test: lint $(STAMPS)/dev $(STAMPS)/node tools kafka ## Everything: checks, unit, property, integration, e2e and chaos tests (15 minutes on two cores)
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

.PHONY: screenshots
screenshots: $(STAMPS)/dev $(STAMPS)/node tools ## Make the pictures of the README anew, from the running demo
	$(BIN)/python -m pytest -q tests/e2e/dashboard/test_demo_story.py $(PYTEST_ARGS)
	@mkdir -p docs/images
	@for name in overview job; do cp test-results/dashboard/readme-$$name.png docs/images/dashboard-$$name.png; done

.PHONY: test-fast
test-fast: $(STAMPS)/dev ## Unit and property tests (under a minute)
	$(BIN)/python -m pytest -n 2 tests/unit tests/property $(PYTEST_ARGS)

.PHONY: test-long
test-long: $(STAMPS)/dev $(STAMPS)/node $(STAMPS)/azurite tools kafka ## Tests that are too long for every change: the same faults, more of them, for longer
	$(BIN)/python -m pytest -m long $(PYTEST_ARGS)

.PHONY: tools
tools: ## Install the programs of the system that tests run (jq, watch, shells) from Debian's packages
	@tests/install_tools

# The only part that comes by Maven. Where that cannot be had the rest is tested all the same, and pytest says what is left out.
.PHONY: kafka
kafka: tools ## Install the Kafka broker of the tests, where there are Java and Maven
	@$(MAKE) --no-print-directory $(STAMPS)/kafka || echo "No Kafka broker: the tests with a real one are left out." >&2

.PHONY: azurite
azurite: $(STAMPS)/azurite ## Install Azurite, the server of Azure Blob Storage of the long run (a minute, 360 MB)

.PHONY: lint
lint: $(STAMPS)/dev ## Style, strict types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: bench
bench: $(STAMPS)/dev ## Extraction of 2,000 mainnet blocks end to end; one line of JSON at the end
	$(BIN)/python benchmarks/extraction.py --rounds 1 --no-peers $(BENCH_ARGS)

.PHONY: bench-extraction
bench-extraction: $(STAMPS)/dev bench-peers ## The same beside cryo and ethereum-etl, medians of three rounds; one line of JSON at the end
	$(BIN)/python benchmarks/extraction.py $(BENCH_ARGS)

.PHONY: bench-workers
bench-workers: $(STAMPS)/dev ## Two workers against one on a node that answers late; one line of JSON at the end
	$(BIN)/python benchmarks/extraction_workers.py $(BENCH_ARGS)

.PHONY: bench-growth
bench-growth: $(STAMPS)/dev ## What a segment costs in lakes of 10,000 to 1,000,000 blocks; one line of JSON at the end
	$(BIN)/python benchmarks/lake_growth.py $(BENCH_ARGS)

# Each peer has a venv of its own, none touches .venv. A peer that cannot be installed does not end the others: the benchmark says so.
.PHONY: bench-peers
bench-peers: $(STAMPS)/bootstrap
	@$(BIN)/python benchmarks/peers.py

.PHONY: bench-jobs
bench-jobs: $(STAMPS)/dev ## No-op jobs against procrastinate, and latencies; one line of JSON at the end
	$(BIN)/python benchmarks/jobs.py $(BENCH_ARGS)

.PHONY: bench-timetable
bench-timetable: $(STAMPS)/dev ## How late 10,000 jobs with timetables fire; one line of JSON at the end
	$(BIN)/python benchmarks/timetable.py $(BENCH_ARGS)

.PHONY: bench-api
bench-api: $(STAMPS)/dev ## 100 clients that watch 100,000 jobs and 100,000 files a table; one line of JSON at the end
	$(BIN)/python benchmarks/admin_api_load.py $(BENCH_ARGS)

.PHONY: bench-dashboard
bench-dashboard: $(STAMPS)/dev ## What pages of the dashboard wait for with 10,000 jobs and 200 workers; one line of JSON at the end
	$(BIN)/python benchmarks/dashboard.py $(BENCH_ARGS)

.PHONY: bench-dashboard-browser
bench-dashboard-browser: $(STAMPS)/dev tools ## What a browser loads, waits for and keeps of the dashboard in 10 minutes; one line of JSON at the end
	$(BIN)/python benchmarks/dashboard_browser.py $(BENCH_ARGS)

.PHONY: bench-events
bench-events: $(STAMPS)/dev ## Jobs with a dead Kafka broker beside jobs without events; one line of JSON at the end
	$(BIN)/python benchmarks/events.py $(BENCH_ARGS)

.PHONY: bench-verify
bench-verify: $(STAMPS)/dev ## Verification of recorded mainnet blocks beside their decoding; one line of JSON at the end
	$(BIN)/python benchmarks/verification.py

.PHONY: proto
proto: $(STAMPS)/dev ## Compile the .proto files again
	$(BIN)/python -m grpc_tools.protoc --proto_path=src --python_out=src --pyi_out=src src/ampd/firehose_wire/*.proto \
		src/ampd/worker_events/*.proto

.PHONY: bench-firehose
bench-firehose: $(STAMPS)/dev ## Firehose blocks decoded, and extracted end to end; one line of JSON at the end
	$(BIN)/python benchmarks/firehose.py $(BENCH_ARGS)

.PHONY: docs
docs: $(STAMPS)/dev ## Write again the pages of docs/ that follow from the code
	$(BIN)/python -m ampd.admin_api.openapi.document > docs/reference/openapi.json
	$(BIN)/python docs/generate.py

.PHONY: lock
lock: $(STAMPS)/bootstrap ## Resolve the dependencies of pyproject.toml again
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--extra demo pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--extra demo --group dev pyproject.toml -c requirements/runtime.txt -o requirements/dev.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		requirements/bootstrap.in -o requirements/bootstrap.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		requirements/peer-cryo.in -o requirements/peer-cryo.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--override requirements/peer-ethereum-etl.overrides.txt requirements/peer-ethereum-etl.in \
		-o requirements/peer-ethereum-etl.txt

.PHONY: clean
clean: ## Remove what the targets installed
	rm -rf $(VENV) .peers tests/node/node_modules tests/azurite/node_modules tests/kafka/target

$(STAMPS)/bootstrap: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "ampd needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/runtime: $(STAMPS)/bootstrap requirements/runtime.txt requirements/build.txt pyproject.toml
	@echo "Installing ampd into $(VENV) …"
	@$(BIN)/uv pip install --quiet --require-hashes --python $(BIN)/python -r requirements/runtime.txt -r requirements/build.txt
	@$(BIN)/uv pip install --quiet --no-build-isolation --no-deps --python $(BIN)/python --editable .
	@touch $@

$(STAMPS)/dev: $(STAMPS)/runtime requirements/dev.txt
	@echo "Installing the tools for tests and checks …"
	@$(BIN)/uv pip install --quiet --require-hashes --python $(BIN)/python -r requirements/dev.txt
	@touch $@

# The EVM node of the tests: native binaries at exact versions, npm takes the one that fits; no install script is needed. There is no lock file
# because npm writes only the platform it runs on into it, and then refuses every other.
$(STAMPS)/node: tests/node/package.json
	@echo "Installing the EVM node for tests …"
	@npm install --prefix tests/node --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/azurite: tests/azurite/package.json
	@echo "Installing Azurite for tests …"
	@npm install --prefix tests/azurite --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/kafka: tests/kafka/pom.xml
	@echo "Installing the Kafka broker for tests …"
	@rm -rf tests/kafka/target
	@mvn -q -B -f tests/kafka/pom.xml dependency:copy-dependencies -DincludeScope=runtime
	@mkdir -p $(STAMPS) && touch $@
