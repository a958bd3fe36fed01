# As root, on Debian or Ubuntu:  make demo | make test
.PHONY: setup setup-dev demo test test-quick lint bench down clean

setup:
	@scripts/setup

setup-dev:
	@scripts/setup --dev

demo: setup  ## a 3-node cluster with an application on it, left running
	@.venv/bin/sagong up --nodes 3 --node-grace-seconds 20
	@demo/run

test: setup-dev  ## everything
	@scripts/test

test-quick: setup-dev  ## without containers
	@.venv/bin/python -m pytest -q -n 2 tests/tidy tests/unit tests/api tests/sim

lint: setup-dev
	@scripts/lint

bench: setup-dev  ## the rows of the performance table that need no container
	@.venv/bin/python bench/api.py

down:
	@.venv/bin/sagong down --purge

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
