# The two set-up commands of the README, and what developers need. A .venv is made where none stands.
PYTHON ?= $(shell for version in 3.11 3.12; do python$$version -c "" 2> /dev/null && echo python$$version && break; done)
VENV = .venv
BIN = $(VENV)/bin

.PHONY: setup demo test test-slow lint bench

setup: $(VENV)/ready

$(VENV)/ready: setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo "no python3.11 and no python3.12 here; name one with make PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,cluster]'
	touch $@

demo: setup
	$(BIN)/python evaluate.py --model 991 --suite demo --weights untrained

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n auto --dist worksteal

# The real architecture through packaging and search, and the largest shapes: an hour on two cores.
test-slow: setup
	$(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: setup
	$(BIN)/python -m bench --quick
