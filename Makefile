# Everything here installs what it needs: a virtual environment in .venv, from constraints.txt.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Names in one script: two minutes teach spelling, but not the scripts of all 86 locales.
NAMES  := builtin:names?locale=en_US,en_GB,de_DE,fr_FR,it_IT,es_ES,nl_NL,pt_PT

.PHONY: demo serve test prove install format clean help

help:      ## these lines
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /	/'

demo: $(READY)   ## learn names for two minutes, show what was learned, serve it on http://127.0.0.1:8000
	$(BIN)/charwgan train '$(NAMES)' --preset tiny --max-seconds 120 --set data.min_count=20 --run runs/demo $(if $(wildcard runs/demo/config.json),--resume)
	$(BIN)/charwgan export runs/demo --out models/demo --replace
	$(BIN)/charwgan serve --model models/demo

serve: $(READY)  ## serve the model that comes with charwgan on http://127.0.0.1:8000
	$(BIN)/charwgan serve

test: $(READY)   ## the whole check: format, lint, types, import rules, tests, the wheel in a clean environment
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses 2 --dist loadfile

prove: $(READY)   ## the long proofs: a service that is ended under load 100 times, 10,000 bodies for each endpoint
	TEST_ROUNDS=100 TEST_EXAMPLES=10000 $(BIN)/pytest --timeout 1800 tests/integration/test_service_process.py tests/integration/test_service_fuzz.py

install: $(READY)   ## only the virtual environment
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, this is $$($(PYTHON) -V)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { test "$$(id -u)" = 0 && apt-get update --quiet && apt-get install --yes python3-venv; } || { echo "the venv module is missing: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	touch $@

format: $(READY)   ## rewrite the code in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:      ## remove what was built, but no run and no model
	rm -rf $(VENV) .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
