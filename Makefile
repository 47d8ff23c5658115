# `make help` lists what there is. Each target works on a fresh clone and sets up .venv by itself.

PYTHON ?= python3
# How many tests run at once; many of them only wait.
JOBS ?= 3
# Handed on: make demo ARGS="--seconds 5", make test ARGS="-k journal", make bench ARGS=…
ARGS ?=
# The bench's questions, e.g. "capture decide"; none are all.
Q ?=
# The crash campaign: kills of the journal's process and in the whole recorder, their seed, the
# folder of its tally, and a violation to try again (ONLY=1234 or ONLY=tree-3).
N ?= 10000
TREE ?= 300
SEED ?= 7
DIR ?= runs/$@
ONLY ?=
# The simulated month: so many days. SEED and DIR as above.
DAYS ?= 30

BIN := .venv/bin
RUNTIME := .venv/.ticktape-runtime
TESTING := .venv/.ticktape-test

.DEFAULT_GOAL := help
.PHONY: help demo test check bench crash month lock clean browser

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

demo: $(RUNTIME) ## record a real tape from a simulated venue, decide, prove it; no key, no network
	@$(BIN)/ticktape demo $(ARGS)

test: $(TESTING) browser ## all tests and all checkers, as CI runs them
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup $(ARGS)

browser: ## Chromium, in which the tests open pages: installed where that is possible, else said
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	command -v google-chrome >/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing Chromium for the tests of pages …"; \
		{ apt-get update -qq && apt-get install -y -qq chromium; } >/dev/null 2>&1 || \
		echo "Chromium could not be installed: pages are not tested in a browser." >&2; \
	else echo "For the tests of pages install Chromium (apt-get install chromium)." >&2; fi

check: $(TESTING) ## the checkers alone: format, lint, types, import direction, shape, documents
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest -q -m "not checker" tests/test_tidy.py tests/test_docs.py

bench: $(TESTING) ## measure against floors and peers on this machine (Q=capture asks that alone)
	@$(BIN)/python -m bench $(Q) $(ARGS)

crash: $(TESTING) ## kill it 10,000 times and prove that nothing is lost (N=, TREE=, SEED=); goes on
	@$(BIN)/python tests/crash/campaign.py --kills $(N) --tree $(TREE) --seed $(SEED) \
		--folder "$(DIR)" --only "$(ONLY)"

month: $(TESTING) ## live through a simulated month in ten minutes and prove it (DAYS=, SEED=, DIR=)
	@$(BIN)/python tests/month/month.py --days $(DAYS) --seed $(SEED) --folder "$(DIR)"

# Needs `uv` on the path. The locks name no place to download from: pip's own settings do.
UV_COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
lock: ## renew the hashed locks from pyproject.toml (ARGS=--upgrade for newer versions)
	@$(UV_COMPILE) $(ARGS) pyproject.toml --extra web -o requirements.lock >/dev/null
	@$(UV_COMPILE) $(ARGS) pyproject.toml --group test --group check -c requirements.lock \
		-o requirements-test.lock >/dev/null
	@$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(UV_COMPILE) $(ARGS) --no-annotate - -o requirements-build.lock >/dev/null

clean: ## remove .venv and caches; runs and tapes stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp that is newer than its locks costs nothing; an older one is compared by content.
$(RUNTIME): requirements.lock requirements-build.lock pyproject.toml .ci/environment.py
	@$(need_python)
	@$(PYTHON) .ci/environment.py runtime

$(TESTING): requirements-test.lock requirements-build.lock pyproject.toml .ci/environment.py
	@$(need_python)
	@$(PYTHON) .ci/environment.py test

define need_python
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "ticktape needs Python 3.11 or later, and $(PYTHON) is missing or older." \
		"Name another: make PYTHON=/path/to/python3.12 …" >&2; exit 1; }
endef
