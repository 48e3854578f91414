# Every command of the project; CI calls nothing else.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
CONSOLE = server/console
# The Node that setup.sh fetched, where the system's own is too old.
NODE_PATH_FIRST = if [ -d $(CURDIR)/target/node/node_modules/.bin ]; then export PATH=$(CURDIR)/target/node/node_modules/.bin:$$PATH; fi;
# One build for all that runs unoptimised. With fewer targets or packages the crates below would take other features,
# and most of them be compiled a second time (five minutes on two cores).
BUILD = cargo build --quiet --workspace --all-targets
.PHONY: help setup console console-test demo test restore-drill package image old-browser bench bench-sync bench-console lint kotlin postgres fuzz simulate simulate-coverage simulate-mutants

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile | column -t -s:

setup: ## install what is missing (apt, as root) or name it
	@tests/scripts/setup.sh

# Built anew only where a source is newer: `cargo build` alone never needs Node.
console: $(CONSOLE)/dist/index.html ## the supervisors' pages, for the server's next build

CONSOLE_SOURCES = $(shell find $(CONSOLE)/src $(CONSOLE)/public $(CONSOLE)/scripts -type f) $(wildcard $(CONSOLE)/*.json $(CONSOLE)/*.ts $(CONSOLE)/index.html)
$(CONSOLE)/node_modules/.package-lock.json: $(CONSOLE)/package-lock.json
	@tests/scripts/setup.sh node
	$(NODE_PATH_FIRST) cd $(CONSOLE) && npm ci --no-audit --no-fund --loglevel=error
	touch $@

$(CONSOLE)/dist/index.html: $(CONSOLE)/node_modules/.package-lock.json $(CONSOLE_SOURCES)
	$(NODE_PATH_FIRST) cd $(CONSOLE) && npm run --silent build

console-test: console ## the console's logic, and every page in a real browser; pictures go to docs/pictures
	@tests/scripts/setup.sh browser
	$(BUILD)
	$(NODE_PATH_FIRST) cd $(CONSOLE) && npm run --silent test && npm run --silent browser

old-browser: console ## every page in a real Chromium 87 (Debian's QtWebEngine); pictures go to target/old-browser
	@tests/scripts/setup.sh old-browser
	$(BUILD)
	$(NODE_PATH_FIRST) cd $(CONSOLE) && FIELDBOOK_OLD_BROWSER=1 npm run --silent browser -- old-browser

demo: setup console ## one visit, two phones, one supervisor: separate processes, a bad network, under 10 minutes
	cargo build --quiet --release -p fieldbook-server -p fieldbook-tests --bins
	target/release/fieldbook-demo $(if $(ONCE),--once)

test: setup console ## everything that CI checks
	cargo check --quiet -p fieldbook-core
	cargo check --quiet -p fieldbook-core --features client
	cargo check --quiet -p fieldbook-server
	$(BUILD)
	cargo test --workspace --quiet
	$(MAKE) --no-print-directory postgres
	$(MAKE) --no-print-directory console-test
	$(MAKE) --no-print-directory kotlin

# Left out: what has no server process, or a PostgreSQL of its own.
NOT_ON_POSTGRES = simulation killed intake xlsforms tidy several_ an_enrolment_code_is_refused_after_a_day
postgres: setup ## the store's tests and the suite once more, with the server's rows in a PostgreSQL of their own
	$(BUILD)
	tests/scripts/postgres.sh cargo test --quiet --workspace --lib
	tests/scripts/postgres.sh cargo test --quiet --workspace --test suite -- $(addprefix --skip ,$(NOT_ON_POSTGRES))

restore-drill: setup ## a server is set up, used, backed up, lost, restored and confirmed; phones give back the rest
	$(BUILD)
	cargo test --quiet --workspace --test suite -- operations::drill --nocapture

package: setup console ## the server as a Debian package, under target/package
	server/packaging/deb.sh

image: ## the server as a container image, with docker, podman or buildah
	server/packaging/image.sh

kotlin: setup ## the bindings on a JVM, against a real server
	$(BUILD)
	cd bindings/kotlin && mvn -B -q --no-transfer-progress -Dorg.slf4j.simpleLogger.log.org.apache.maven.plugin.surefire=info test

bench: setup ## costs of saves, lists, search, answers and idle sync; medians, JSON under target/
	cargo build --quiet --release -p fieldbook-server -p fieldbook-tests --bins
	cargo bench --quiet -p fieldbook-tests --bench phone

bench-sync: setup ## costs of syncing on a shaped line, written to docs/PERFORMANCE.md; FULL=1 with 200,000 records
	cargo build --quiet --release -p fieldbook-server -p fieldbook-tests --bins
	cargo bench --quiet -p fieldbook-tests --bench sync -- $(if $(FULL),--full)

bench-console: setup ## costs of the console's pages with 200,000 records, written to docs/PERFORMANCE.md; N=20000 for fewer
	cargo build --quiet --release -p fieldbook-server -p fieldbook-tests --bins
	cargo bench --quiet -p fieldbook-tests --bench console -- $(if $(N),--records $(N))

simulate: setup ## simulated worlds: SEEDS=10000 of them, or SEED=17 alone with all that happened in it
	cargo build --quiet --release -p fieldbook-tests --bin fieldbook-simulate
	target/release/fieldbook-simulate $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000))

simulate-coverage: setup ## lines of sync, intake, documents, stores and hub that SEEDS=300 worlds run through; in a build of its own
	SEEDS=$(or $(SEEDS),300) tests/scripts/coverage.sh

simulate-mutants: setup ## the deliberate bugs of tests/mutants, and how many worlds it takes to find each; MUTANTS="name name" for some
	SEEDS=$(or $(SEEDS),400) tests/scripts/mutants.sh $(MUTANTS)

lint: setup ## format, clippy
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings

fuzz: setup ## everything that reads bytes from outside, MINUTES=10 in all; TARGETS="change form" for some
	MINUTES=$(or $(MINUTES),10) tests/scripts/fuzz.sh $(TARGETS)
