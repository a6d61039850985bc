# `make` lists what there is. Everything runs in .venv, which is made on the way.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules

VENV ?= .venv
NEWER_VENV ?= .venv-newer
PY := $(VENV)/bin/python

# Arguments for pytest: `make test PYTEST_ARGS="-n0 -x tests/core"`. Two workers suit the two cores of CI; loadgroup gives all of
# tests/browser, with its one JupyterLab, to one of them.
PYTEST_ARGS ?= -n 2 --dist loadgroup

# The first Python that runs and is one of $(1) ("3.11 3.12"). A shim of pyenv may be on PATH without its version being selected,
# so each candidate is started before it is believed, and pyenv is asked for the versions that it keeps.
define find_python
for v in $(1); do \
  for p in python$$v python3 $$(pyenv versions --bare 2>/dev/null | grep "^$$v\." | sort -rV | while read -r n; do echo "$$(pyenv prefix $$n)/bin/python"; done); do \
    if [ "$$($$p -c 'import sys, venv; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$$v" ]; then echo $$p; break 2; fi; \
  done; \
done
endef

# pip names its registries in what it prints; logs need not.
QUIET_PIP := 2>&1 | { grep -v "^WARNING: Location" || true; } | sed -E "s,[a-z+]+://[^ ]+,<registry>,g; s,host='[^']*',host=<registry>,g"

# $(1): the venv, made with the Python in $$py; $(2): dependency groups. hatchling comes with them, so that nothing unpinned is fetched to
# build with. pip first: the one that Python 3.11 brings does not know --group.
define install
echo "setting up $(1): $$($$py --version)"; \
$$py -m venv $(1); \
$(1)/bin/python -m pip install -q -c constraints.txt --upgrade pip $(QUIET_PIP); \
$(1)/bin/python -m pip install -q -c constraints.txt $(foreach g,$(2),--group $(g)) $(QUIET_PIP); \
$(1)/bin/python -m pip install -q -c constraints.txt --no-build-isolation -e . $(QUIET_PIP); \
touch $(1)/installed
endef

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: test
test: lint chromium ## everything: format, lint, types, import contracts, tests
	@if command -v node >/dev/null; then $(MAKE) test-widgets; else echo "test: no Node here, the tests of widgets/ are not run"; fi
	$(PY) -m pytest $(PYTEST_ARGS)

# Its own browser, and nothing that a browser's package would download. What apt-get says stays unseen: it names its mirrors.
.PHONY: chromium
chromium: ## install Debian's Chromium, if it is missing: tests/browser drives it
	@if ! command -v chromium >/dev/null; then \
	  if ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then \
	    echo "tests/browser needs Chromium, and this is not root on a Debian that could install it: have 'apt-get install chromium' run" >&2; exit 1; \
	  fi; \
	  echo "installing Chromium"; \
	  apt="apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120"; export DEBIAN_FRONTEND=noninteractive; \
	  $$apt install $(CHROMIUM) >/dev/null 2>&1 || { $$apt update && $$apt install $(CHROMIUM); } >/dev/null 2>&1 || true; \
	  command -v chromium >/dev/null || { echo "apt-get could not install Chromium: run 'apt-get install $(CHROMIUM)' to see why" >&2; exit 1; }; \
	fi
CHROMIUM := chromium fonts-dejavu-core

.PHONY: widgets
widgets: test-widgets ## build and test the front end: needs Node, which nothing else does
	cd widgets && node build.js

.PHONY: test-widgets
test-widgets: widgets/node_modules/installed
	cd widgets && node --test --test-reporter=spec test/*.test.js

widgets/node_modules/installed: widgets/package.json
	@cd widgets && npm install --no-package-lock --no-fund --no-audit --loglevel=error --ignore-scripts >/dev/null
	@touch $@

.PHONY: test-newer
test-newer: chromium ## the tests again on Python 3.13 or 3.12, where this machine has one; JupyterLab and Binder were shown by the first
	@py=$$($(call find_python,3.13 3.12)); \
	if [ -z "$$py" ]; then echo "test-newer: no Python 3.13 or 3.12 here, nothing run"; exit 0; fi; \
	if ! [ $(NEWER_VENV)/installed -nt pyproject.toml -a $(NEWER_VENV)/installed -nt constraints.txt ]; then $(call install,$(NEWER_VENV),test); fi; \
	echo "test-newer: $$($(NEWER_VENV)/bin/python --version)"; \
	$(NEWER_VENV)/bin/python -m pytest $(PYTEST_ARGS) --ignore=tests/browser --ignore=tests/test_binder.py

# One venv each. The constraints hold for all else; 6.31 is older than the test group allows, so what tests/kernel needs is named here.
KERNELS ?= 6.31.0 7.0.1 7.3.0 newest
KERNEL_TEST_NEEDS := blockbuster editables hatchling hypothesis jupyter_client nbclient pytest pytest-asyncio pytest-randomly pytest-timeout pytest-xdist

.PHONY: test-kernels
test-kernels: $(KERNELS:%=$(VENV)-ipykernel-%/installed) ## tests/kernel on ipykernel 6.31, 7.0.1, 7.3 and the newest that pip finds
	@for v in $(KERNELS); do \
	  py=$(VENV)-ipykernel-$$v/bin/python; \
	  echo "test-kernels: ipykernel $$($$py -c 'import ipykernel; print(ipykernel.__version__)')"; \
	  $$py -m pytest $(PYTEST_ARGS) tests/kernel; \
	done

$(VENV)-ipykernel-%/installed: pyproject.toml constraints.txt
	@py=$$($(call find_python,3.11 3.12 3.13)); \
	venv=$(VENV)-ipykernel-$*; \
	echo "setting up $$venv"; \
	$$py -m venv $$venv; \
	grep -v "^ipykernel==" constraints.txt > $$venv/constraints.txt; \
	wanted="ipykernel==$*"; [ "$*" != newest ] || wanted="--upgrade ipykernel"; \
	$$venv/bin/python -m pip install -q -c $$venv/constraints.txt --upgrade pip $(QUIET_PIP); \
	$$venv/bin/python -m pip install -q -c $$venv/constraints.txt $$wanted $(KERNEL_TEST_NEEDS) $(QUIET_PIP); \
	$$venv/bin/python -m pip install -q -c $$venv/constraints.txt --no-build-isolation -e . $(QUIET_PIP); \
	touch $@

.PHONY: lint
lint: $(VENV)/installed ## format check, ruff, basedpyright, import-linter
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/basedpyright --level error --pythonpath $(PY)
	$(VENV)/bin/lint-imports --no-cache --no-logo

.PHONY: format
format: $(VENV)/installed ## rewrite the code in the house format
	$(VENV)/bin/ruff check --fix-only --quiet .
	$(VENV)/bin/ruff format .

.PHONY: demo
demo: $(VENV)/installed-demo ## the demo: 336,776 flights
	$(PY) docs/demo/flights.py

.PHONY: lab
lab: $(VENV)/installed-lab ## JupyterLab on notebooks/
	$(VENV)/bin/jupyter lab --notebook-dir=notebooks

.PHONY: bench
bench: $(VENV)/installed ## the benchmarks
	$(PY) tests/benchmarks/run.py

.PHONY: venv
venv: $(VENV)/installed ## only set up .venv

$(VENV)/installed: pyproject.toml constraints.txt
	@py=$$($(call find_python,3.11 3.12 3.13)); \
	if [ -z "$$py" ]; then echo "wfkernel needs Python 3.11, 3.12 or 3.13, and none was found" >&2; exit 1; fi; \
	$(call install,$(VENV),test lint)

$(VENV)/installed-demo: $(VENV)/installed
	@echo "adding what the demo needs"
	@$(PY) -m pip install -q -c constraints.txt --group demo $(QUIET_PIP)
	@touch $@

$(VENV)/installed-lab: $(VENV)/installed
	@echo "adding JupyterLab"
	@$(PY) -m pip install -q -c constraints.txt --group lab $(QUIET_PIP)
	@touch $@

.PHONY: constraints
constraints: ## rewrite constraints.txt with today's newest versions
	@rm -rf $(VENV)
	@: > constraints.txt
	@$(MAKE) $(VENV)/installed-demo $(VENV)/installed-lab
	@$(PY) -m pip freeze --all --exclude-editable | grep -E '^[A-Za-z0-9._-]+==[^ ]+$$' | LC_ALL=C sort -f > constraints.new
	@{ echo "# What CI installs, by name and version, for Python 3.11 to 3.13. Written by 'make constraints'."; cat constraints.new; } > constraints.txt
	@rm constraints.new
	@touch $(VENV)/installed $(VENV)/installed-demo $(VENV)/installed-lab
	@wc -l constraints.txt

.PHONY: clean
clean: ## remove what the other targets made
	rm -rf $(VENV) $(VENV)-ipykernel-* $(NEWER_VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage tests/browser/artifacts
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
