# Each target installs what it needs. `make help` lists the targets.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
GIT_URL ?=
CONFORMANCE_DATA ?=
WORKERS ?= auto
IN_PARALLEL := -n $(WORKERS) --dist loadscope --no-loadscope-reorder

# Some containers set it, and then each of the hundreds of Python processes that the tests start compiles every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo run test coverage soak test-image bench-build check conformance format lock wheel clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)$$/  make \1\t\2/' | expand -t 22

$(VENV)/run.stamp: pyproject.toml requirements.lock scripts/setup.sh
	@PYTHON=$(PYTHON) sh scripts/setup.sh $(VENV)
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements-dev.lock
	@PYTHON=$(PYTHON) sh scripts/setup.sh $(VENV) --dev
	@touch $@

demo: $(VENV)/run.stamp ## Deploy the bundled example (or GIT_URL=https://...), show its log, serve it until Ctrl-C
	@$(BIN)/python -m scripts.demo $(GIT_URL)

run: $(VENV)/run.stamp ## Start the gateway alone
	@$(BIN)/buildspace serve $(ARGS)

test: $(VENV)/dev.stamp ## Run every test on real servers (ARGS='tests/unit -k slug' narrows it)
	@sh scripts/test_tools.sh
	@$(BIN)/python -m pytest $(IN_PARALLEL) -m "not soak" $(ARGS)

coverage: $(VENV)/dev.stamp ## As `test`, and show the lines that no test runs; takes twice as long
	@sh scripts/test_tools.sh
	@$(BIN)/python -m pytest $(IN_PARALLEL) --cov=gateway --cov=builder --cov-report=term -m "not soak" $(ARGS)

soak: $(VENV)/dev.stamp ## Run the long tests, and those of properties with many examples
	@sh scripts/test_tools.sh
	@$(BIN)/python -m pytest -m "soak or hypothesis" --hypothesis-profile=soak --timeout=1800 $(ARGS)

test-image: $(VENV)/dev.stamp ## Build both images with Debian's dockerd, and run them
	@sh scripts/test_image.sh $(BIN) $(ARGS)

bench-build: $(VENV)/dev.stamp ## Install and build the same projects by hand and through the platform, and compare (ARGS='3 vite-react')
	@$(BIN)/python -m bench.build $(ARGS)

check: $(VENV)/dev.stamp ## Lint, types, direction of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

conformance: $(VENV)/dev.stamp ## Compare file resolution and framework detection with the data in the folder CONFORMANCE_DATA
	@[ -n "$(CONFORMANCE_DATA)" ] || { echo "Set the folder of the data: make conformance CONFORMANCE_DATA=..." >&2; exit 1; }
	@CONFORMANCE_DATA=$(CONFORMANCE_DATA) $(BIN)/python -m pytest tests/conformance $(ARGS)

format: $(VENV)/dev.stamp ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(VENV)/dev.stamp ## Resolve the dependencies again into requirements*.lock
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml --group dev -o requirements-dev.lock
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group build -o requirements-build.lock
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -c requirements.lock builder/requirements.txt -o builder/requirements.lock

wheel: $(VENV)/dev.stamp ## Build the wheel into dist/
	@$(BIN)/uv build --wheel --out-dir dist --quiet

clean: ## Remove the virtual environment and caches; buildspace-data/ is kept
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
