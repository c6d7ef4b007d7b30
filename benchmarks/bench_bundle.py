# SPDX-License-Identifier: MIT
"""Bundling 500 MB against `tar | zstd` at the same level and threads, and its memory.

Both read the same files from a warm page cache and write to the same directory. The best of three
runs counts, taken in turns; a run of `oejail` is a whole process, as is one of `tar | zstd`.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from oejail.artifacts import layout
from oejail.artifacts.model import SCHEMA, Artifact, CollectedSet, Collection
from oejail.bundle.archive import LEVEL, THREADS
from oejail.files import sha256_file

TOTAL = 500_000_000
RATIO_LIMIT = 1.5
MEMORY_LIMIT = 200_000_000
RUNS = 3

PACK = """
import sys
from pathlib import Path
from oejail.bundle import pack
pack(Path(sys.argv[1]), Path(sys.argv[2]), name="bench", release="0")
"""


def fill(path: Path, size: int, seed: int) -> None:
    """A file that zstd shrinks to about a third, as it does a root file system."""
    source = random.Random(seed)
    words = [source.randbytes(source.randrange(4, 40)) for _ in range(20_000)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        left = size
        while left > 0:
            block = b"".join(source.choices(words, k=4000)) + source.randbytes(20_000)
            stream.write(block[:left])
            left -= len(block)


def collection(out: Path) -> None:
    """OUT with a root file system, a kernel and a few hundred small files."""
    sizes = {"boot/initrd.cpio.gz": TOTAL - 60_000_000, "boot/Image": 40_000_000}
    sizes |= {f"payload/inmates/demo-{n}.bin": 100_000 for n in range(200)}
    for number, (name, size) in enumerate(sizes.items()):
        fill(out / name, size, number)
        (out / name).chmod(0o644)
    artifacts = [
        Artifact("inmate", name, "bench", sha256_file(out / name), size, 0o644)
        for name, size in sizes.items()
    ]
    chosen = CollectedSet("root", "inmates/demo-0.bin")
    artifacts += layout.write_own(out, chosen)
    described = Collection(
        SCHEMA, "0", "bench", "bench", "", False, "bench", chosen, tuple(artifacts), ()
    )
    layout.write_index(out, described)


def run(command: list[str]) -> tuple[float, int]:
    """How long a command takes, in seconds, and the most memory that it has, in bytes."""
    began = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - began, usage.ru_maxrss * 1024


def main() -> int:
    missing = [name for name in ("tar", "zstd") if shutil.which(name) is None]
    if missing:
        print(f"bundle: {' and '.join(missing)} not installed, nothing to compare with FAIL")
        return 1
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    with tempfile.TemporaryDirectory(prefix="oejail-bench-") as scratch:
        os.chdir(scratch)
        collection(Path("out"))
        peer = f"tar -C out -cf - boot payload | zstd -q -f -{LEVEL} -T{THREADS} -o t.zst"
        theirs, ours = [], []
        for _ in range(RUNS):
            theirs.append(run(["sh", "-c", peer]))
            ours.append(run([sys.executable, "-c", PACK, "out", "b.tar.zst"]))
        ours_seconds, theirs_seconds = min(ours)[0], min(theirs)[0]
        memory = max(bytes_ for _, bytes_ in ours)
        sizes = [Path(name).stat().st_size for name in ("t.zst", "b.tar.zst")]
    print(f"# tar | zstd {theirs_seconds:.2f} s, {sizes[0]} bytes")
    print(f"# oejail     {ours_seconds:.2f} s, {sizes[1]} bytes, {memory / 1e6:.0f} MB of memory")
    failed = False
    for name, value, limit in (
        ("bundle 500 MB, time against tar | zstd", ours_seconds / theirs_seconds, RATIO_LIMIT),
        ("bundle 500 MB, memory against 200 MB", memory / MEMORY_LIMIT, 1.0),
    ):
        good = value <= limit
        failed = failed or not good
        print(f"{name}: ratio {value:.2f} (limit {limit}) {'ok' if good else 'FAIL'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
