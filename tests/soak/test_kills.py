# SPDX-License-Identifier: MIT
"""`make soak`: what takes too long for every day.

OEJAIL_SOAK_RUNS says how many kills of each engine (default 100), OEJAIL_TEST_MUTATIONS how many
mutated cells.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import repository
from tests.support.engines import image
from tests.support.interruption import kill_at_random

__all__ = ["image"]

RUNS = int(os.environ.get("OEJAIL_SOAK_RUNS", "100"))


def test_kill_9_at_random_moments_on_the_host() -> None:
    """Whatever a kill leaves, the same command ends in the same bundle, and nothing runs on."""
    kill_at_random("host", RUNS)


def test_kill_9_at_random_moments_with_docker(image: str) -> None:
    assert image
    kill_at_random("container", RUNS)


def test_kill_9_at_random_moments_with_podman(monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.environ.get("OEJAIL_TEST_PODMAN"):
        pytest.fail("OEJAIL_TEST_PODMAN is not set: .ci/run services -- make soak")
    from tests.support import container_image
    from tests.support.engines import client

    monkeypatch.setenv("DOCKER_HOST", os.environ["OEJAIL_TEST_PODMAN"])
    with client() as daemon:
        container_image.ensure(daemon, cross=True)
    kill_at_random("container", RUNS)


def test_a_million_mutated_cells() -> None:
    environment = {"OEJAIL_TEST_MUTATIONS": "1000000"} | dict(os.environ)
    command = [sys.executable, "-m", "pytest", "-q", "--timeout=3600", "tests/unit"]
    done = subprocess.run(
        [*command, "-k", "mutat"], cwd=Path(repository()), env=environment, check=False
    )
    assert done.returncode == 0
