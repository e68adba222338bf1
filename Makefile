# Everything a developer does here. It needs Python >= 3.11 and a network at the first run; the rest installs itself
# into .venv. `make PYTHON=/path/to/python ...` chooses the interpreter.
.POSIX:
.PHONY: help dev spa website test check bench soak faults wheel lock clean venv

ARGS =
# More than the two processors that this is made for: a fourth of the time is spent on waiting. With four, as much is lost.
JOBS = 3
PYTHON ?=
BIN = .venv/bin
# What starts many processes keeps what it has compiled, also where the environment says otherwise: a third of the time.
KEEP = PYTHONDONTWRITEBYTECODE=

help: ## this list
	@echo 'make dev ARGS="--port 8001"    options for the program go into ARGS'
	@echo
	@awk -F ':[^#]*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

dev: venv ## run the whole service here, with a real PostgreSQL and Valkey of its own; Ctrl-C stops it
	@exec $(BIN)/authsvc dev $(ARGS)

spa: venv ## run the example of a single-page app, beside `make dev`; http://127.0.0.1:8091
	@exec $(BIN)/python deploy/examples/run.py single-page-app $(ARGS)

website: venv ## run the example of a website with a server, beside `make dev`; http://127.0.0.1:8092
	@exec $(BIN)/python deploy/examples/run.py server-side-app $(ARGS)

test: venv ## run every test, against real stores; JOBS=1 for one after the other
	@exec env $(KEEP) $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: venv ## style, types and the house rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: venv ## measure against bare ceilings and other providers, in the same rounds; ARGS="--only JWKS" for less
	@exec env $(KEEP) $(BIN)/python -m tests.benchmarks $(ARGS)

soak: venv ## an hour of mixed load, and whether memory grows; ARGS="--minutes 5" for less
	@exec env $(KEEP) $(BIN)/python -m tests.soak $(ARGS)

faults: venv ## kill, stop, flush and cut off stores and workers under load; ARGS="--seconds 60 --schedules 20"
	@exec env $(KEEP) $(BIN)/python -m tests.faults $(ARGS)

wheel: venv ## build dist/*.whl
	$(BIN)/hatchling build -t wheel

lock: venv ## resolve the dependencies anew (needs a network); ARGS=--upgrade for newer ones
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(ARGS) \
		--extra dev --group test --group lint --group build --group bench --group lock pyproject.toml \
		--output-file requirements.lock
	echo uv | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(ARGS) \
		--no-annotate - --output-file requirements-uv.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--constraint requirements.lock pyproject.toml --output-file deploy/requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--constraint requirements.lock --group build --output-file deploy/requirements-build.lock
	cd tests/benchmarks/peers && ../../../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate $(ARGS) requirements.in --output-file requirements.lock

clean: ## remove what make has made; the data of `make dev` stays (make dev ARGS=--reset)
	rm -rf .venv dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find authsvc tests -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@PYTHON='$(PYTHON)' ./bootstrap.sh
