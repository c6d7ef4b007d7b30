# SPDX-License-Identifier: MIT
"""What a lock costs a build: reading oejail.lock, and asking all repositories for local changes.

As large as openEuler's own tree: its manifest has some 700 repositories, a build of an image clones
a hundred or two of them. `up` with nothing to do (bench_cli.py) does only the second.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from oejail import gitrepos
from oejail.workspace import lockfile
from oejail.workspace.lockfile import Lock, Pin

LOCKED = 700
CLONED = 100
FILES = 200
LIMIT = 1.0  # seconds, each
RUNS = 3


def best(what: str, work: Callable[[], object]) -> bool:
    """Time `work` and report it; whether it is fast enough."""
    seconds = float("inf")
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        seconds = min(seconds, time.perf_counter() - began)
    print(f"{what}, s: {seconds:.2f} (limit {LIMIT}) {'ok' if seconds <= LIMIT else 'FAIL'}")
    return seconds <= LIMIT


def clones(root: Path) -> list[Path]:
    """Repositories of FILES files each."""
    first = root / "first"
    first.mkdir()
    for number in range(FILES):
        (first / f"{number}.patch").write_text(f"{number}\n")
    names = ["-c", "user.name=b", "-c", "user.email=b@example.invalid"]
    for words in (["init", "-q"], ["add", "-A"], [*names, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *words], cwd=first, check=True)
    made = [root / str(number) for number in range(CLONED)]
    for path in made:
        subprocess.run(["git", "clone", "-q", "--local", first, path], check=True)
    return made


def main() -> int:
    pins = {f"repository-{n}": Pin(f"{n:040x}", f"https://x.invalid/{n}") for n in range(LOCKED)}
    pins["yocto-meta-openeuler"] = Pin("0" * 40, "https://x.invalid/y")
    lock = Lock(1, "0.1.0", "0.2.1.3", "openeuler", "qemu-aarch64", "v2", None, None, pins)
    data = lockfile.render(lock).encode()
    fine = best(f"a lock of {LOCKED} repositories, read", lambda: lockfile.parse(data))
    with tempfile.TemporaryDirectory(prefix="oejail-bench-") as directory:
        made = clones(Path(directory))
        fine &= best(f"{CLONED} repositories, status", lambda: gitrepos.statuses(made))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
