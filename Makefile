# `make` prints this help. Two commands set everything up by themselves: `make demo` and `make test`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
# A node's Python may be another one: make EDGE_PYTHON=python3.13 demo
EDGE_PYTHON ?= $(PYTHON)
VENV := .venv
EDGE := .venv-edge
BIN := $(VENV)/bin
DEMO_SECONDS ?= 300
DEMO_PORT ?= 8000
PIP := -m pip --disable-pip-version-check install -qq --no-input
SOURCES := $(shell find contracts edge firmware_bridge -name '*.py' -o -name '*.[ch]' 2>/dev/null) wayside.py wayside/__init__.py

.PHONY: help
help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: $(VENV)/.ready $(EDGE)/.ready ## run the whole line on this machine: five nodes, one of each domain (DEMO_SECONDS=300)
	@$(BIN)/wayside demo --seconds $(DEMO_SECONDS) --port $(DEMO_PORT) --edge-python $(EDGE)/bin/python

.PHONY: test
test: $(VENV)/.ready $(EDGE)/.ready chromium emulator bench-tools shell-tools ## run the tests that need neither network nor hardware
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

.PHONY: test-extras
test-extras: $(VENV)/.ready aarch64 dist-tools ## each extra in an environment of its own; the node's wheels, run as aarch64 (package index)
	@$(BIN)/python -m pytest tests/test_extras.py tests/test_wheel_journey.py tests/distribution tests/firmware_bridge/test_wheels.py tests/device -m network $(PYTEST_ARGS)

.PHONY: dist
dist: $(VENV)/.ready dist-tools ## wheel, source, Debian packages and the hub's image of the last commit, with SBOMs and checksums (package index)
	@$(BIN)/python -m wayside.distribution --out dist

.PHONY: test-slow
test-slow: $(VENV)/.ready $(EDGE)/.ready emulator bench-tools ## the tests that take minutes: every signal state of a larger intersection, ten million frames
	@$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

.PHONY: proof
proof: $(VENV)/.ready proof-tools ## what is proved of the signal core: every state, MC/DC, every mutant (the better part of an hour on two cores)
	@$(BIN)/python -m pytest -m "slow or not slow" -s tests/firmware_bridge/test_core_cases.py tests/firmware_bridge/test_signals_search.py tests/firmware_bridge/test_mutation.py $(PYTEST_ARGS)

.PHONY: test-device
test-device: $(VENV)/.ready emulator bench-tools device-tools ## boot a provisioned card in an emulated aarch64 machine (root, package index, 15 to 20 minutes)
	@$(BIN)/python -m pytest tests/device -m device -s $(PYTEST_ARGS)

.PHONY: check
check: $(VENV)/.ready ## ruff, mypy, import boundaries
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: bench
bench: $(VENV)/.ready ## measure: each figure beside its peer or floor, in one run
	@$(BIN)/python -m pytest tests/bench --benchmark-only --benchmark-columns=min,median,max,ops,rounds -q -s $(PYTEST_ARGS)

.PHONY: bench-signals
bench-signals: $(VENV)/.ready ## measure: what each control of a signal is worth, on four maps; into docs/signals.md (minutes)
	@$(BIN)/python -m tests.bench.signals

.PHONY: bench-wiring
bench-wiring: $(VENV)/.ready ## measure: how often the check of a signal's wiring is right; into docs/commissioning.md (minutes)
	@$(BIN)/python -m tests.bench.wiring

.PHONY: format
format: $(VENV)/.ready ## mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: clean
clean: ## remove the environments and everything that was made
	@rm -rf $(VENV) $(EDGE) var build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# --- set-up ---------------------------------------------------------------------------------------

# Both Pythons are judged before anything is installed. One that nobody named does not matter where its environment is.
# TRAINS: those that torch, litert-torch and atspm run on together; NODES: those that a node's runtimes have wheels for.
TRAINS := 3.11
NODES := 3.11 3.12 3.13
.PHONY: pythons
pythons:
	@judge() { what=$$1; python=$$2; env=$$3; given=$$4; may=" $$5 "; \
	  version() { "$$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }; \
	  was="$$(version "$$env/bin/python")"; \
	  if [ -n "$$was" ] && [ "$$given" = file ]; then return 0; fi; \
	  now="$$(version "$$python")"; \
	  if [ -z "$$now" ]; then echo "$$what=$$python: there is no such Python here; name one that is: make $$what=python3.11 …"; exit 1; fi; \
	  case "$$may" in *" $$now "*) ;; *) echo "$$what=$$python is Python $$now; $$6"; exit 1;; esac; \
	  if [ -n "$$was" ] && [ "$$was" != "$$now" ]; then echo "$$what=$$python is Python $$now, and $$env was made with $$was: run 'make clean' first, or leave $$what out"; exit 1; fi; }; \
	judge PYTHON "$(PYTHON)" $(VENV) "$(firstword $(origin PYTHON))" "$(TRAINS)" "training and export are tried on 3.11 alone, a node runs on 3.11 to 3.13: make PYTHON=python3.11 EDGE_PYTHON=$(PYTHON) demo"; \
	judge EDGE_PYTHON "$(EDGE_PYTHON)" $(EDGE) "$(if $(filter file,$(firstword $(origin EDGE_PYTHON))),$(firstword $(origin PYTHON)),given)" "$(NODES)" "a node's runtimes have wheels for $(NODES)"

$(VENV)/.ready: pyproject.toml constraints.txt | pythons
	@$(MAKE) --no-print-directory system
	@echo "setting up $(VENV): training, export, hub, node and tests (about 3.4 GB, a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# torch first and alone, pinned: any range would let the resolver pull gigabytes of another build
	@$(BIN)/python $(PIP) torch==2.13.0
	@$(BIN)/python $(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

$(EDGE)/.ready: pyproject.toml constraints.txt $(SOURCES) | pythons
	@echo "setting up $(EDGE): what a node has, nothing else"
	@test -x $(EDGE)/bin/python || $(EDGE_PYTHON) -m venv $(EDGE)
	@rm -rf build/lib  # a wheel takes all that lies there, also what is gone from the source
	@$(EDGE)/bin/python $(PIP) -c constraints.txt '.[edge]'
	@touch $@

# Debian packages: installed when root, named in one line otherwise.
define debian
	@if ! ($(1)) >/dev/null 2>&1; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing $(2)"; (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2)) >/dev/null 2>&1 \
	      || { echo "could not install $(2): run 'apt-get install $(2)' and see why"; $(4); }; \
	  else echo "$(2) is missing: run 'sudo apt-get install $(2)'; $(3)"; $(4); fi; fi
endef

.PHONY: system
system:
	$(call debian,$(PYTHON) -c "import venv; import ensurepip",python3-venv,nothing runs without it,exit 1)
	$(call debian,command -v cc,gcc libc6-dev,the board's firmware cannot be built without it,exit 1)

.PHONY: chromium
chromium:
	$(call debian,command -v chromium,chromium,the browser test is skipped without it,true)

.PHONY: emulator
emulator:
	$(call debian,command -v avr-gcc && test -e /usr/include/simavr/sim_avr.h,gcc-avr avr-libc libsimavr-dev libelf-dev,the tests on emulated boards are skipped without it,true)
	$(call debian,command -v avrdude && test -d /usr/share/arduino,avrdude arduino-core-avr,the tests of flashing are skipped without it,true)

.PHONY: bench-tools
bench-tools:
	$(call debian,PATH=$$PATH:/sbin:/usr/sbin; command -v mcopy && command -v debugfs && command -v mkfs.vfat && command -v sfdisk && command -v bmaptool && command -v tmux,mtools e2fsprogs dosfstools fdisk bmap-tools tmux,the tests of card images and of the technician's terminal are skipped without it,true)

.PHONY: proof-tools
proof-tools:
	$(call debian,command -v clang-19 && command -v llvm-cov-19 && command -v tcc,clang-19 llvm-19 tcc,MC/DC is not measured and mutants take long without it,true)

.PHONY: aarch64
aarch64:
	$(call debian,command -v qemu-aarch64-static,qemu-user-static,the test of the node's wheels is skipped without it,true)

.PHONY: shell-tools
shell-tools:
	$(call debian,command -v fish && command -v zsh && command -v groff,fish zsh groff-base,completion and man pages are not held against their own readers without it,true)

.PHONY: dist-tools
dist-tools:
	$(call debian,command -v mmdebstrap && command -v dpkg-deb,mmdebstrap dpkg,the hub's image is not made without it,true)
	$(call debian,command -v lintian && command -v skopeo,lintian skopeo,packages and image are not looked at by other programs without it,true)

.PHONY: device-tools
device-tools:
	$(call debian,PATH=$$PATH:/sbin:/usr/sbin; command -v mmdebstrap && command -v qemu-system-aarch64 && command -v qemu-aarch64-static && command -v update-binfmts && command -v fdtput && command -v modprobe && command -v cpio && command -v socat,mmdebstrap qemu-system-arm qemu-user-static binfmt-support device-tree-compiler kmod cpio socat,no node can be emulated without it,exit 1)
