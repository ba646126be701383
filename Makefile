# SPDX-License-Identifier: Apache-2.0
#
# A thin layer over Meson: every target works on a bare Debian 12 or 13 with git and make, and installs what it needs itself.

BUILD := build/release
TIDY := build/clang

.PHONY: all deps deps-quiet kafka test test-kafka test-clients sim differential demo format lint clean help
.NOTPARALLEL:

all: deps-quiet ## build the program: build/evcache
	@test -f $(BUILD)/build.ninja || meson setup --native-file tools/release.ini $(BUILD) >/dev/null
	@ninja -C $(BUILD) --quiet src/cli/evcache
	@ln -sfn release/src/cli/evcache build/evcache
	@echo "built build/evcache"

deps: ## install the packages needed, and a memcached under build/
	@tools/deps.sh

deps-quiet:
	@tools/deps.sh --quiet

test: deps-quiet ## build with both compilers and run every test (SUITES="unit sim" for some of them)
	@tools/run-tests $(SUITES)

kafka: ## install Java and Maven, and fetch Kafka into build/, for test-kafka
	@tools/deps.sh --kafka

test-kafka: ## the tests that need real Kafka brokers; fetches them first
	@tools/deps.sh --quiet --kafka
	@tools/run-tests kafka

test-clients: ## seven memcached clients of others, in six languages, through a proxy; installs them first
	@tools/deps.sh --quiet --clients
	@tools/run-tests clients

sim: all ## 10,000 seeds of the simulation, or SEEDS; fails too when an outcome of the books never comes
	@ninja -C $(BUILD) --quiet tests/sim/sim
	@$(BUILD)/tests/sim/sim --seeds $(or $(SEEDS),10000)

differential: all ## a million random commands to a memcached and to a proxy, same answers? (COMMANDS, SEED)
	@ninja -C $(BUILD) --quiet tests/differential/differential
	@EVCACHE=$(BUILD)/src/cli/evcache DIFFERENTIAL_COMMANDS=$(or $(COMMANDS),1000000) \
		DIFFERENTIAL_SEED=$(or $(SEED),$(shell date +%s)) \
		/usr/bin/python3 -B -m pytest -p no:cacheprovider -q -s tests/system/test_differential.py

demo: all ## three regions on this machine, real data, all copies compared (QUEUE=embedded or kafka)
	@test "$(QUEUE)" != kafka || tools/deps.sh --quiet --kafka
	@tools/demo $(if $(QUEUE),--queue $(QUEUE))

bench: deps-quiet all ## our speed and cost beside memcached's proxy, twemproxy and Redis, on Kafka too (BENCH=--quick or --full)
	@tools/deps.sh --quiet --bench --kafka
	@bench/run $(BENCH)
	@bench/pictures build/bench

format: deps-quiet ## format the C files
	@git ls-files '*.c' '*.h' | xargs -r clang-format -i

lint: deps-quiet ## check the format, then run clang-tidy on src/
	@git ls-files '*.c' '*.h' | xargs -r clang-format --dry-run -Werror
	@test -f $(TIDY)/build.ninja || CC=clang meson setup $(TIDY) >/dev/null
	@git ls-files 'src/*.c' | xargs -r -n 4 -P "$$(nproc)" clang-tidy -p $(TIDY) --quiet

clean: ## remove what was built, except memcached and Kafka
	@find build -mindepth 1 -maxdepth 1 ! -name memcached ! -name kafka -exec rm -rf {} + 2>/dev/null || true

help: ## this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
