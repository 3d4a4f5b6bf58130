# `make` or `make help` lists the targets. All that is needed is make and python3; everything else goes to .venv.
NOTEBOOK = notebooks/img-classification-part1-training.ipynb
BIN = .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup tutorial test fuzz kill-test soak test-sdks lab kernel lint types bench coverage docs lock clean

help: ## this list
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: .venv/.ready ## make .venv: the pinned packages and this project (the first time, PYTHON=... chooses the Python)

# A clone gives all files about the same age; a failed set-up leaves no stamp; nothing changed costs nothing.
.venv/.ready: requirements.txt pyproject.toml scripts/setup
	@PYTHON="$(PYTHON)" scripts/setup

tutorial: setup ## run the tutorial's notebook on a local workspace
	@$(BIN)/azureml-local tutorial

lab: setup ## open the notebook in JupyterLab on a local workspace
	@$(BIN)/azureml-local run -- $(BIN)/jupyter lab $(NOTEBOOK)

kernel: setup ## install the kernel "Azure ML (local)" for Jupyter
	@$(BIN)/azureml-local kernel install

# Many a container sets it. The tests start some hundred processes, and each would compile the same modules anew.
unexport PYTHONDONTWRITEBYTECODE

# Four at once on two cores: they wait for jobs more than they compute.
test: lint types ## lint, types and every test
	$(BIN)/pytest -n 4 --dist worksteal

test-sdks: setup ## the suite against the newest three releases of the SDK (slow; downloads them)
	@scripts/test-sdks

fuzz: setup ## the tests that make requests up, with 50 times as many (FUZZ_TIMES=...), new ones each time
	FUZZ_TIMES=$${FUZZ_TIMES:-50} $(BIN)/pytest --timeout 3600 tests/security/test_fuzz.py tests/security/test_parsers.py

kill-test: setup ## kill -9 the server 300 times at random moments, and look whether anything is lost
	AZUREML_LOCAL_KILLS=300 $(BIN)/pytest -s tests/durability/test_kill.py
	AZUREML_LOCAL_KILLS=100 $(BIN)/pytest -s tests/durability/test_pipelines.py -k truthfully

soak: setup ## eight clients at once for ten minutes
	AZUREML_LOCAL_SOAK_SECONDS=600 $(BIN)/pytest -s tests/durability/test_soak.py

lint: setup ## ruff
	$(BIN)/ruff check

types: setup ## mypy, strict on azureml_local
	$(BIN)/mypy

bench: setup ## measure set-up, server, job and training
	@$(BIN)/python tests/bench

coverage: setup ## write docs/coverage.md anew from the tests' marks, the SDK and the routes
	@$(BIN)/python tests/operations.py > docs/coverage.md

docs: setup ## write the documentation's site to build/site; no link may lead nowhere
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lock: setup ## write requirements.txt anew from requirements.in and pyproject.toml, with the newest versions
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' pyproject.toml requirements.in --output-file requirements.txt

clean: ## remove what make made (not your workspace: that is `azureml-local reset`)
	rm -rf .venv .uv setup.log build dist *.egg-info .sdks .mypy_cache .pytest_cache .ruff_cache .hypothesis
