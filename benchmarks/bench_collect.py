# SPDX-License-Identifier: MIT
"""Looking through a build directory: against `find`, and against itself on a small one.

What is timed is `discover`, which lists everything and opens pkgdata; hashing and copying are the
same for both trees. The large tree has 1000 recipes with 1000 files each under tmp/work. Times are
the medians of runs in turns, from a warm cache.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from oejail import platforms
from oejail.artifacts import SetSpec
from oejail.artifacts.discover import discover
from tests.support import foreign_build

RECIPES = FILES = 1000
FIND_LIMIT = 1 / 20
SMALL_LIMIT = 2.0


def grow(build: foreign_build.ForeignBuild) -> None:
    """RECIPES × FILES empty files, in the places of unpacked sources."""
    for number in range(RECIPES):
        arch = ("cortexa57", "qemu_aarch64", "x86_64", "all")[number % 4]
        work = build.tmp / "work" / f"{arch}-openeuler-linux" / f"recipe-{number}" / "1.0-r0"
        source = work / "git"
        source.mkdir(parents=True)
        directory = os.open(source, os.O_RDONLY)
        for name in range(FILES):
            os.close(os.open(f"{name}.c", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
        os.close(directory)


def timed(action: Callable[[], object]) -> float:
    """How long `action` takes, in seconds."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def main() -> int:
    platform = platforms.load("qemu-aarch64")
    wanted = SetSpec.from_platform(platform)
    with tempfile.TemporaryDirectory(prefix="oejail-bench-") as scratch:
        small = foreign_build.make(Path(scratch, "small"))
        large = foreign_build.make(Path(scratch, "large"))
        grow(large)

        def look(build: foreign_build.ForeignBuild) -> Callable[[], object]:
            return lambda: discover(build.directory, platform, wanted)

        def find() -> None:
            command = ["find", ".", "-name", "FreeRTOS.bin"]
            subprocess.run(command, cwd=large.directory, check=True, stdout=subprocess.DEVNULL)

        found = [timed(find) for _ in range(4)][1:]
        pairs = [(timed(look(large)), timed(look(small))) for _ in range(21)]
        ours, own = (statistics.median(column) for column in zip(*pairs, strict=True))
        theirs = statistics.median(found)
        # Many files are removed faster by rm than by tempfile.
        subprocess.run(["rm", "-rf", str(large.directory)], check=True)
    print(f"# find {theirs:.3f} s, collect {ours * 1e3:.2f} ms, on a small tree {own * 1e3:.2f} ms")
    failed = False
    for name, value, limit in (
        (f"collect among {RECIPES * FILES} files, against find", ours / theirs, FIND_LIMIT),
        ("collect, against itself on a small tree", ours / own, SMALL_LIMIT),
    ):
        good = value <= limit
        failed = failed or not good
        print(f"{name}: ratio {value:.3f} (limit {limit}) {'ok' if good else 'FAIL'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
