# SPDX-License-Identifier: MIT
"""Start-up: `oejail --help` and an `up` with nothing to do, against a bare Typer application.

CPU and wall time are the medians of interleaved runs, so that a busy machine hits both alike.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 15
LEAN = """
import typer
app = typer.Typer(rich_markup_mode=None, add_completion=False)
@app.command()
def first(name: str = "x") -> None: "First."
@app.command()
def second(name: str = "x") -> None: "Second."
app()
"""
OEJAIL = Path(sys.executable).with_name("oejail")


def seconds(command: list[str], directory: Path) -> float:
    began = time.perf_counter()
    subprocess.run(
        command, cwd=directory, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def ratio(command: list[str], peer: list[str], directory: Path) -> float:
    pairs = [(seconds(command, directory), seconds(peer, directory)) for _ in range(RUNS)]
    return statistics.median(p[0] for p in pairs) / statistics.median(p[1] for p in pairs)


def report(name: str, found: float, limit: float) -> bool:
    print(f"{name}: ratio {found:.2f} (limit {limit}) {'ok' if found <= limit else 'FAIL'}")
    return found <= limit


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "lean.py").write_text(LEAN)
        lean = [sys.executable, str(directory / "lean.py"), "--help"]
        fine = report("oejail --help", ratio([str(OEJAIL), "--help"], lean, directory), 1.25)
        project = directory / "project"
        project.mkdir()
        os.environ["XDG_CACHE_HOME"] = str(directory / "cache")
        subprocess.run([OEJAIL, "-q", "up", "--sample"], cwd=project, check=True)
        fine &= report("up, nothing to do", ratio([str(OEJAIL), "up"], lean, project), 3)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
