# SPDX-License-Identifier: MIT
"""The wheel: what is installed without a checkout works as well."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from oejail import __version__
from tests.conftest import repository
from tests.support.cli import oejail


def test_the_wheel_carries_all_that_it_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=repository(), check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    metadata = (site / f"oejail-{__version__}.dist-info/METADATA").read_text()
    assert "License-Expression: MIT AND GPL-2.0-only" in metadata
    work = tmp_path / "work"
    work.mkdir()
    said = oejail(work, "up", "--sample", PYTHONPATH=str(site))
    assert said.bundle.is_file()
    # Its own data were used, not the checkout's beside it.
    code = "from oejail.resources import data_dir; print(data_dir('samples'))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"PYTHONPATH": str(site)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(done.stdout.strip()) == site / "oejail/_data/samples"
