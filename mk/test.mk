# Tests, the demonstration, measurements.

PYTHON := /usr/bin/python3
FUZZ_SECONDS ?= 60
DIST ?= bookworm
# All cores, unless the caller gave -j.
jobs = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

##@ Test
.PHONY: test test-quick test-full test-one coverage e2e demo demo-outage bench fuzz fresh
test: deps-test deps-static ## install what is needed, build, run every test, print the total
	@$(PYTHON) test/run.py

test-quick: deps-test ## release build only: unit tests and the suites without slow tests, in three minutes
	@$(PYTHON) test/run.py --quick

test-full: deps-e2e deps-static deps-images deps-fuzz deps-bench ## everything: make test, slow tests on the static build, fuzz, e2e, interop
	@$(PYTHON) test/run.py --full

coverage: deps-test ## lines and branches of each directory that the unit tests and suites run (gcov)
	$(call apt-install,gcovr)
	@$(PYTHON) test/run.py --coverage

test-one: deps-test ## run one test or one file: T=test_rotation.py, T=test_tls.py::test_name, T=test_volume (VARIANT=asan)
	@VARIANT=$(VARIANT) test/tools/one.sh '$(T)'

e2e: deps-e2e ## install what is needed, build, run the end-to-end tests on a single-node Kubernetes of their own
	$(MAKE) $(jobs) VARIANT=release CC=gcc emulator
	$(MAKE) images
	test/cluster/get-kubernetes.sh kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl > /dev/null
	test/charts/get-helm.sh > /dev/null
	test/interop/get-peers.sh charts > /dev/null
	test/interop/get-peers.sh driver azure > /dev/null
	test/e2e/get-sidecars.sh > /dev/null
	test/e2e/get-crictl.sh > /dev/null
	test/release/get-registry.sh > /dev/null
	BUILD=build/release JUNIT=$(CURDIR)/build/e2e/junit.xml test/e2e/run.sh

# Not part of another target, because it needs the Go module proxy for a suite that is not ours.
.PHONY: e2e-driver-suite
e2e-driver-suite: deps-e2e ## run the Go driver's own end-to-end suite on our images
	$(call apt-install,bats gettext-base jq openssl)
	$(MAKE) $(jobs) VARIANT=release CC=gcc emulator
	$(MAKE) images
	test/cluster/get-kubernetes.sh kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl > /dev/null
	test/charts/get-helm.sh > /dev/null
	BUILD=build/release DRIVER_SUITE="$$(test/interop/get-peers.sh driver-source)" test/e2e/run.sh test/e2e/test_driver_suite.py

.PHONY: reference
reference: ## write docs/flags.md from --help of the programs, README.md and schema of the charts from their values
	$(MAKE) $(jobs) VARIANT=release CC=gcc programs
	@BUILD=build/release PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=test/integration:test $(PYTHON) -m harness.reference
	@PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=test $(PYTHON) -m charts.reference

demo: deps-build ## install what is needed, build, show the whole path on this machine
	$(MAKE) $(jobs) VARIANT=release CC=gcc programs emulator
	$(call apt-install,python3)
	@BUILD=build/release test/tools/sandbox.py test/demo/demo.sh

demo-outage: deps-build ## build, show on this machine how pods start while a vault is away
	$(MAKE) $(jobs) VARIANT=release CC=gcc programs emulator
	$(call apt-install,python3)
	@BUILD=build/release test/tools/sandbox.py test/demo/outage.sh

bench: bench-static ## measure the static build, then the one with the system's libraries: CPU, latency, memory, beside floors and targets
	$(MAKE) $(jobs) VARIANT=release CC=gcc programs emulator bench-program
	@BUILD=build/release test/bench/bench.sh

fuzz: deps-fuzz ## run every fuzz target for FUZZ_SECONDS (60)
	$(MAKE) $(jobs) VARIANT=fuzz CC=clang fuzzers
	@BUILD=build/fuzz-clang FUZZ_SECONDS=$(FUZZ_SECONDS) test/fuzz/run.sh

.PHONY: fuzz-coverage fuzz-merge
fuzz-coverage: deps-test ## lines and branches of each parser that the committed fuzz corpora run; fails below 90 % of the lines
	$(MAKE) $(jobs) VARIANT=coverage CC=gcc fuzzers
	@$(PYTHON) test/fuzz/coverage.py build/coverage

fuzz-merge: deps-fuzz ## add what `make fuzz` has found to the committed corpora, as few files as reach as much
	$(MAKE) $(jobs) VARIANT=fuzz CC=clang fuzzers
	@BUILD=build/fuzz-clang test/fuzz/merge.sh

RANDOM_RUNS ?= 100
RANDOM_STEPS ?= 100
.PHONY: random-sync
random-sync: deps-test ## run random sequences of edits, mounts, kills, deletions and faults (RANDOM_RUNS, RANDOM_STEPS, RANDOM_SEED)
	$(MAKE) $(jobs) VARIANT=release CC=gcc programs emulator
	@BUILD=build/release WORKERS=4 RANDOM_RUNS=$(RANDOM_RUNS) RANDOM_STEPS=$(RANDOM_STEPS) test/integration/run.sh test/integration/test_random_sync.py test/apiserver/test_random_nodes.py -q

MINUTES ?= 30
.PHONY: soak
soak: deps-test deps-static ## run both programs of the static build for MINUTES (30) under the limits of the charts, with churn and faults (SOAK_SEED)
	$(MAKE) $(jobs) VARIANT=release CC=gcc emulator
	$(MAKE) static
	@ln -sfn ../../release/bin/vault-emulator $(STATIC_B)/bin/vault-emulator
	@BUILD=$(STATIC_B) SOAK_MINUTES=$(MINUTES) test/tools/limits.py test/integration/run.sh test/integration/test_soak.py -q -s

# Not part of another target, because only these tests need a package index.
.PHONY: sdk-test
sdk-test: deps-build ## run Microsoft's own Key Vault clients against the emulator (installs them below build/sdk)
	$(call apt-install,python3-venv openssl)
	$(MAKE) $(jobs) VARIANT=release CC=gcc emulator
	@[ -x build/sdk/bin/python ] || $(PYTHON) -m venv build/sdk
	@build/sdk/bin/python -m pip install --quiet --disable-pip-version-check -r test/sdk/requirements.txt
	@BUILD=build/release PYTHONDONTWRITEBYTECODE=1 build/sdk/bin/python -m pytest -q -p no:cacheprovider test/sdk

# Needs the Go module proxy for the Go programs.
.PHONY: interop
interop: deps-test ## test our programs with the Go driver and the Go provider, and compare the results
	$(MAKE) $(jobs) VARIANT=release CC=gcc programs emulator
	@BUILD=build/release test/interop/run.sh

.PHONY: bench-compare
bench-compare: deps-test ## measure our programs (release, and static if it is built) and the Go ones; print a Markdown table
	$(MAKE) $(jobs) VARIANT=release CC=gcc programs emulator bench-program
	@test/bench/compare.sh

.PHONY: matrix
matrix: ## take the results of the suites that ran over into test/results, and write docs/support-matrix.md from them
	@test/tools/matrix.py --update

fresh: ## run `make demo` and `make test` (TARGETS) in a minimal DIST=bookworm|trixie
	@test/fresh.sh $(DIST)

# SimPy and matplotlib, in the versions that the figures of the documents are made with.
BENCH_PYTHON := build/bench/bin/python
.PHONY: deps-bench bench-scale bench-growth
deps-bench: $(BENCH_PYTHON)
$(BENCH_PYTHON): test/bench/requirements.txt
	$(call apt-install,python3-venv python3-yaml)
	@rm -rf build/bench && $(PYTHON) -m venv --system-site-packages build/bench
	@$@ -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

bench-scale: deps-build deps-bench ## measure a cluster on one vault: 200 real providers, and a model of up to 5,000 nodes (SCALE="--cases cold --nodes 50"; "--page" writes docs/scale.md)
	$(MAKE) $(jobs) VARIANT=release CC=gcc programs emulator bench-program
	@BUILD=build/release test/bench/scale.sh $(SCALE)

bench-growth: deps-static deps-bench ## measure what grows with volumes (to 10,000), objects, value sizes, classes, identities, and how (GROWTH="--only volumes --quick"; "--page" writes docs/growth.md)
	$(MAKE) $(jobs) VARIANT=release CC=gcc programs emulator bench-program
	$(MAKE) static
	@BUILD=build/release test/bench/growth.sh $(GROWTH)
