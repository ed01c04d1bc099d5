# Every target sets itself up: on a machine with Python, pip, make and git, `make demo` is all there is to type.
# The stamp's name holds the digest of what was installed, so a second run starts at once and a changed lock does not.
BIN := .venv/bin
STAMP := .venv/.lock-$(shell cat requirements.lock pyproject.toml | git hash-object --stdin)

# Compiled files are kept, even where a machine asks every Python to write none: torch, diffusers and the tests
# would be compiled anew by each process, which takes ten seconds and more.
unexport PYTHONDONTWRITEBYTECODE

# Tests write thousands of small files and wait until each lies on the disk: a folder in memory, where it has 4 GB, does
# not wait. Files of tests that passed go at once.
MEMORY := $(shell test -w /dev/shm && test $$(df -Pk /dev/shm | awk 'END {print $$4}') -gt 4000000 && echo /dev/shm)
PYTEST := $(if $(MEMORY),PYTEST_DEBUG_TEMPROOT=$(MEMORY)) OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo parts test test-lab test-slow test-browser check format bench docs lock sums studio

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

setup: $(STAMP) ## Make .venv from the lock

$(STAMP):
	@tools/setup $@

demo: $(STAMP) ## Render one picture several times larger than the model's native size
	@mkdir -p out
	@$(BIN)/sfumato render "a photograph of a red house in a green meadow" --size 1024x576 --seed 1 --out out/demo.png

# Tests of parts are skipped, and counted aloud, where they could not be fetched.
parts: $(STAMP) ## Fetch the pretrained parts that some tests need, about 195 MB, once
	@$(BIN)/sfumato parts get >/dev/null || echo "*** PARTS WERE NOT FETCHED (see above): the tests that need them will not run ***" >&2

# Two processes of one thread each: small networks gain little from a second thread.
test: $(STAMP) parts ## Run the tests that fit a coffee break
	@$(PYTEST) --ignore tests/lab

test-lab: $(STAMP) ## Run the tests of the laboratory: benches, proofs, the training of mini
	@$(PYTEST) tests/lab

test-slow: $(STAMP) ## Run the full-size tests
	@$(BIN)/python -m pytest -m slow

test-browser: $(STAMP) ## Use the studio in Chromium as a person does; skipped where there is none
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser -rs tests/journeys

check: $(STAMP) ## Lint, format and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/basedpyright

format: $(STAMP) ## Mend what the linter can mend
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(STAMP) ## Measure the speed floor on this machine
	@$(BIN)/sfumato bench native

docs: $(STAMP) ## Write docs/reference/ from the code
	@$(BIN)/python -m sfumato.cli.reference

lock: $(STAMP) ## Resolve requirements.lock again
	@$(BIN)/python tools/lock.py

sums: $(STAMP) ## List the digests of the shipped weights again
	@$(BIN)/python tools/sums.py

studio: ## Build the page of `sfumato serve` again (needs node and npm; users do not)
	@npm --prefix studio ci --silent
	@npm --prefix studio run --silent check
	@npm --prefix studio run --silent build
