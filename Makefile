# Every target does the set-up it needs. On Debian as root, missing packages are installed; else they
# are named and make stops. PYTHON chooses the interpreter (3.11 or later).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
DEV := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench

# package=probe: a command, a shared library, a Python module or a file that shows it is there.
TEST_PACKAGES := ffmpeg=ffmpeg sox=sox espeak-ng=espeak-ng multimon-ng=multimon-ng \
	libspandsp2=libspandsp.so.2 kamailio=/usr/sbin/kamailio sip-tester=sipp baresip-core=baresip \
	faketime=faketime
SOUNDS := /usr/share/asterisk
BENCH_PACKAGES := \
	asterisk-core-sounds-en-wav=$(SOUNDS)/sounds/en_US_f_Allison/digits/1.wav \
	asterisk-core-sounds-fr-wav=$(SOUNDS)/sounds/fr_CA_f_June/digits/1.wav \
	asterisk-core-sounds-es-wav=$(SOUNDS)/sounds/es_MX_f_Allison/digits/1.wav \
	asterisk-core-sounds-it-wav=$(SOUNDS)/sounds/it_IT_m_Carlo/digits/1.wav \
	asterisk-core-sounds-ru-wav=$(SOUNDS)/sounds/ru_RU_f_IvrvoiceRU/digits/1.wav \
	asterisk-moh-opsound-wav=$(SOUNDS)/moh/macroform-cold_day.wav \
	libbcg729-0=libbcg729.so.0 rtpengine-daemon=rtpengine

# One BLAS thread: the matrices are small, and a pool of threads is slower beside a busy core.
export OPENBLAS_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup check test demo bench audit sbom lock wheel clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST) | awk -F': ' '{printf "%-8s %s\n", $$1, $$2}'

setup: $(DEV) ## virtual environment with the locked dependencies, and the Debian packages for tests
	@.ci/need-packages $(TEST_PACKAGES)

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "voicemask needs Python 3.11 or later; set PYTHON=python3.x" >&2; exit 1; }
	@PYTHON=$(PYTHON) .ci/need-packages python3-venv=python:ensurepip
	$(PYTHON) -m venv $(VENV)

$(DEV): requirements-dev.lock pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(BENCH): requirements-bench.lock $(DEV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-bench.lock
	@touch $@

check: $(DEV) ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup ## all tests
	$(BIN)/pytest -n auto $(ARGS)

demo: $(DEV) ## take the sample calls through detect, mask, verify and replay
	$(BIN)/voicemask demo --samples samples $(ARGS)

bench: setup $(BENCH) ## files beside spandsp and multimon-ng, then the relay beside rtpengine
	@.ci/need-packages $(BENCH_PACKAGES)
	$(BIN)/python -m benchmarks.detect.throughput
	$(BIN)/python -m benchmarks.accuracy.run
	$(BIN)/python -m benchmarks.accuracy.cm7291
	$(BIN)/python -m benchmarks.accuracy.sweeps
	$(BIN)/python -m benchmarks.accuracy.talkoff
	$(BIN)/python -m benchmarks.leak.run --save --plot docs/img/leak.png
	$(BIN)/python -m benchmarks.harm.run --save
	$(BIN)/python -m benchmarks.accuracy.plots
	$(BIN)/python -m benchmarks.path.start
	$(BIN)/python -m benchmarks.path.untouched --save
	$(BIN)/python -m benchmarks.path.leak --save --plot docs/img/relay-leak.png
	$(BIN)/python -m benchmarks.density.run --save --plot docs/img/relay-density.png
	$(BIN)/python -m benchmarks.robustness.ng_flood
	$(BIN)/python -m benchmarks.robustness.soak --minutes 30

audit: $(DEV) ## look up known vulnerabilities of the locked dependencies (needs the network)
	$(BIN)/pip-audit --disable-pip --require-hashes -r requirements.lock

sbom: $(DEV) ## bill of materials of the runtime dependencies, in build/sbom.json
	@mkdir -p build
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml \
		--output-reproducible --output-file build/sbom.json

# Resolved against the public index alone, whatever this machine has configured, and without a word
# about it in the files. Versions and hashes already locked stay; `make lock ARGS=--upgrade` moves them.
COMPILE = env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL -u PIP_INDEX_URL PIP_CONFIG_FILE=/dev/null \
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --strip-extras \
	--allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
	--no-annotate $(ARGS)

lock: $(DEV) ## resolve the dependencies again
	@mkdir -p .cache/lock
	$(BIN)/python .ci/lock_inputs.py .cache/lock
	$(COMPILE) -o requirements-bench.lock .cache/lock/bench.in
	cp requirements-bench.lock requirements-dev.lock
	$(COMPILE) -o requirements-dev.lock .cache/lock/dev.in
	cp requirements-dev.lock requirements.lock
	$(COMPILE) -o requirements.lock .cache/lock/runtime.in

wheel: $(DEV) ## build/voicemask-*.whl
	$(BIN)/python -m build --no-isolation --wheel --outdir build .

clean: ## remove what the targets made
	rm -rf $(VENV) build dist .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
