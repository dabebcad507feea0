# The front door: every target is a line or two over CMake or a script. `make` builds build/punchgate.
PREFIX ?= /usr/local
PYTHON ?= python3
# of each target
FUZZ_SECONDS ?= 20
SEED ?= 1
COUNT ?= 10000
MESH ?= 1000
CHURN ?= 100
PUNCHES ?= 4000

all: build/build.ninja
	cmake --build build --target punchgate tables

demo: all
	$(PYTHON) tools/demo/demo.py --punchgate build/punchgate

# Tests: the two groups under sanitizers, then the model checks and what they would notice, simulated worlds, then the other implementations.
test: unit e2e verify sample
	$(MAKE) sim COUNT=1000 MESH=67 CHURN=500 PUNCHES=200
	$(MAKE) nat QUICK=--quick
	$(MAKE) interop

unit: dev
	ctest --test-dir build-dev -E '^tests/(e2e|docs)/' -j2 --output-on-failure
e2e: dev all
	ctest --test-dir build-dev -R '^tests/(e2e|docs)/' -j2 --output-on-failure
dev: build-dev/build.ninja
	cmake --build build-dev
verify: build/build.ninja
	cmake --build build
	$(PYTHON) tools/verify/verify.py build
	$(PYTHON) -m gen golden --check
# Breaks every row of every machine once; SAMPLE=N takes N of the mutants, chosen by SEED.
mutants: build/build.ninja
	cmake --build build --target mutants
	$(PYTHON) tools/verify/mutants.py build $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED))
# Part of `make test`: another seed every day, named in what it prints.
sample: build/build.ninja
	$(MAKE) mutants SAMPLE=1000 SEED=$$(date +%Y%m%d)
interop: all
	$(PYTHON) tests/interop/run.py --punchgate build/punchgate
# Peers behind NATs, in network namespaces; needs root. Part of `make test` with QUICK=--quick.
nat: all
	cmake --build build --target wan
	PG_BUILD=build $(PYTHON) tests/nat/nat.py $(QUICK)
# All pairs of implementations in all cells, and whatever else takes long.
nat-full:
	$(MAKE) nat QUICK=--full

# Seeded scenarios over a simulated network; a failure prints its seed. SEED and COUNT choose which. Then MESH peers in one
# process that look for each other's services, while CHURN of a thousand die in a minute; build/experiments has every look-up
# and a picture.
# Then PUNCHES worlds of two peers behind drawn routers, and ten minutes of private peers half of whose relays die each minute.
sim: build/build.ninja
	cmake --build build --target sim mesh punch
	build/sim --seed $(SEED) --count $(COUNT) --jobs 2
	$(PYTHON) tools/experiment/experiment.py --out build/experiments build mesh --peers $(MESH) --services $$(($(MESH) / 5)) --lookups $(MESH) --minutes 5 --churn $(CHURN) --seed $(SEED)
	$(PYTHON) tools/experiment/experiment.py --out build/experiments build punch --count $(PUNCHES) --seed $(SEED)
	$(PYTHON) tools/experiment/experiment.py --out build/experiments build churn --seed $(SEED)
	$(PYTHON) tools/experiment/experiment.py --out build/experiments/silent build churn --seed $(SEED) --silent 300

golden:
	$(PYTHON) -m gen golden
bench: build/build.ninja
	cmake --build build
	$(PYTHON) tools/bench/bench.py build
fuzz: build-fuzz/build.ninja
	cmake --build build-fuzz
	$(PYTHON) tests/fuzz/corpus.py expand build-fuzz/corpus
	for target in build-fuzz/fuzz/fuzz_*; do own=build-fuzz/corpus/$$(basename $$target); mkdir -p $$own && echo $$target && \
	    $$target -max_total_time=$(FUZZ_SECONDS) -verbosity=0 -artifact_prefix=build-fuzz/ $$own || exit 1; done
# Long runs that are no part of make test: end-to-end tests under valgrind, and under ThreadSanitizer.
valgrind: all
	$(PYTHON) tools/valgrind.py build
tsan: build-tsan/build.ninja
	cmake --build build-tsan --target punchgate
	PG_BUILD=$(CURDIR)/build-tsan PG_ROOT=$(CURDIR) PYTHONPATH=$(CURDIR) $(PYTHON) tests/e2e/tunnel_test.py
lint:
	$(PYTHON) tools/lint/lint.py
# A page for each machine with its drawing, made from the tables; docs/machines is a copy to look at, and is not committed.
docs: build/build.ninja
	cmake --build build --target tables
	rm -rf docs/machines && cp -R build/gen/machines docs/machines
	@echo 'docs/machines/README.md lists the machines; errors.md, logs.md, metrics.md, options.md, wire.md are in build/gen'
format:
	git clang-format-14 --style=file --force --extensions c,h

install: all
	cmake --install build --prefix '$(PREFIX)'
clean:
	rm -rf build build-*/ logs

# build/ is the release lane, build-LANE/ the others; CMakePresets.json says what each is.
build/build.ninja:
	cmake --preset release
build-%/build.ninja:
	cmake --preset $*

.PHONY: all demo test unit e2e dev verify mutants sample interop nat nat-full sim golden bench fuzz valgrind tsan lint docs format install clean
