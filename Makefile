# Two commands are all a fresh machine with Python 3.11 to 3.14 needs:
#   make demo    set up, then the whole pipeline on the synthetic benchmark
#   make test    set up, then ruff, mypy and the quick tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo
# Tests run side by side, a file at a time: what a file's tests share is made once. More processes than eight would
# wait for the longest file. WORKERS=0 runs them in one process.
WORKERS ?= auto
PYTEST = $(BIN)/python -m pytest -q -n $(WORKERS) --maxprocesses 8 --dist loadfile

.PHONY: demo test types quick test-slow clean
.DELETE_ON_ERROR:

# The stamp is as new as the last complete installation: nothing is installed twice.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/installed
	@if [ -e $(DEMO)/points.png ]; then \
		echo "$(DEMO)/ holds a finished demo; its table again (make clean removes it):"; \
		$(BIN)/decathlon leaderboard $(DEMO)/feature $(DEMO)/trunk $(DEMO)/mtan; \
	else \
		rm -rf $(DEMO) && $(BIN)/decathlon quickstart --out $(DEMO); \
	fi

# mypy, a minute on one core where it has no cache, runs beside the tests
test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) --no-print-directory --jobs 2 types quick

types: $(VENV)/installed
	$(BIN)/mypy

quick: $(VENV)/installed
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/installed
	$(PYTEST) -m slow --timeout 1800

clean:
	rm -rf $(DEMO)
