# SPDX-License-Identifier: MIT
# `make demo` and `make test` set up everything they need below .venv; nothing here installs a
# system package or starts a daemon. All paths are relative: the checkout's may contain spaces.

PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test test-system test-upstream check bench soak picture lock clean setup

OLDER := oebuild-0.2.1.0

setup: .venv/ready

.venv/ready: requirements.lock tests/$(OLDER).lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "oejail needs Python 3.11 or later; call make PYTHON=/path/to/python3" >&2; exit 2; }
	"$(PYTHON)" -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
	  --target .venv/$(OLDER) -r tests/$(OLDER).lock
	@touch $@

# A new directory each time; its last line is the bundle's path. With QEMU, the RTOS runs before.
demo: setup
	@if [ -f demo/oejail.yaml ]; then $(BIN)/oejail -q -C demo clean --all; fi
	@rm -rf demo && mkdir demo
	@bundle=$$($(BIN)/oejail -C demo up --sample) && \
	  $(BIN)/oejail inspect "$${bundle#bundle: }" && \
	  $(BIN)/oejail verify "$${bundle#bundle: }" && \
	  if command -v qemu-system-aarch64 >/dev/null; then $(BIN)/oejail -C demo boot --bare; fi && \
	  echo "$$bundle"

test: setup
	$(PYTEST) -n 3 --dist worksteal

# Daemons are not started here: .ci/run does that, with directories of their own.
define need_engine
@[ -n "$$DOCKER_HOST" ] || { echo "make $@: DOCKER_HOST is not set; .ci/run services -- make $@" >&2; exit 2; }
endef

test-system:
	$(need_engine)
	@$(MAKE) --no-print-directory setup
	$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder tests/system

# On real Jailhouse, built from its sources by whoever has them: the file there says what it wants.
test-upstream: setup
	@[ -n "$$OEJAIL_REAL_STACK" ] || { echo "make $@: OEJAIL_REAL_STACK is not set; tests/upstream says what it names" >&2; exit 2; }
	$(PYTEST) tests/upstream

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck -x .ci/run .ci/engines oejail/target/*.sh \
	  $(filter-out %.service,$(wildcard oejail/artifacts/target/*))

bench: setup
	@status=0; for file in benchmarks/bench_*.py; do $(BIN)/python $$file || status=1; done; exit $$status

soak:
	$(need_engine)
	@$(MAKE) --no-print-directory setup
	$(PYTEST) --timeout 7200 tests/soak

picture: setup
	$(BIN)/python docs/picture.py

# Resolve the dependencies anew and pin them with their hashes.
lock:
	"$(PYTHON)" -m venv --clear .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --upgrade \
	  --extra sample --extra cross --group dev --generate-hashes --no-header --no-annotate \
	  --output-file requirements.lock pyproject.toml
	rm -rf .venv-lock

clean:
	rm -rf .venv .venv-lock demo build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find oejail tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
