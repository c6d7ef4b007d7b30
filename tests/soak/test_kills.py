# SPDX-License-Identifier: MIT
"""`make soak`: what takes too long for every day.

OEJAIL_SOAK_RUNS says how many kills (default 100), OEJAIL_TEST_MUTATIONS how many mutated cells.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from oejail.files import sha256_file
from tests.conftest import repository
from tests.support.cli import oejail, start, wait_until_gone

RUNS = int(os.environ.get("OEJAIL_SOAK_RUNS", "100"))


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    """Whatever a kill leaves, the same command ends in the same bundle, and nothing runs on."""
    digest = sha256_file(oejail(tmp_path, "up", "--sample").bundle)
    dice = random.Random(0)
    for number in range(RUNS):
        if number % 5 == 0:
            oejail(tmp_path, "clean", "--all", "--force")
        with start(tmp_path, "up", "--sample") as process:
            try:
                process.communicate(timeout=dice.uniform(0.05, 6.0))
            except subprocess.TimeoutExpired:
                process.kill()
        wait_until_gone(str(tmp_path), 3)
        if number % 5 == 4:
            assert sha256_file(oejail(tmp_path, "up", "--sample").bundle) == digest


def test_a_million_mutated_cells() -> None:
    environment = {"OEJAIL_TEST_MUTATIONS": "1000000"} | dict(os.environ)
    command = [sys.executable, "-m", "pytest", "-q", "--timeout=3600", "tests/unit"]
    done = subprocess.run([*command, "-k", "mutat"], cwd=repository(), env=environment, check=False)
    assert done.returncode == 0
