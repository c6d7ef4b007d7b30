# SPDX-License-Identifier: MIT
"""What oejail adds to a build: `oejail build` against bare `oebuild bitbake`, nothing left to do.

On the same prepared directory of the sample tree, in turns; wall time, the least of each, as a busy
machine only adds. A build counts as ended when BitBake's server has ended as well: that takes a
second or so, oejail waits for it, and after a bare oebuild the next build has to.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from oejail.engine.holder import holder
from tests.support.cli import OEJAIL
from tests.system.naive import OEBUILD

RUNS = 5
TARGETS = ["jailhouse", "jailhouse-freertos"]
LIMIT = 1.0  # seconds


def seconds(command: list[str], directory: Path, build_dir: Path) -> float:
    """How long `command` takes, with the end of BitBake's server."""
    began = time.perf_counter()
    subprocess.run(
        command,
        cwd=directory,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while holder(build_dir) is not None:
        time.sleep(0.01)
    return time.perf_counter() - began


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="oejail-bench-") as scratch:
        project = Path(scratch)
        os.environ["HOME"] = scratch
        subprocess.run(
            [*OEJAIL, "-q", "up", "--sample"], cwd=project, check=True, stdout=subprocess.DEVNULL
        )
        (build_dir,) = (project / "workspace/build").glob("[a-z]*")
        ours, bare = [], []
        for _ in range(RUNS):
            ours.append(seconds([*OEJAIL, "build", *TARGETS], project, build_dir))
            bare.append(seconds([*OEBUILD, "bitbake", *TARGETS], build_dir, build_dir))
    mine, theirs = min(ours), min(bare)
    print(
        f"oejail build: {mine:.2f} s, oebuild bitbake: {theirs:.2f} s: "
        f"{mine - theirs:+.2f} s (limit {LIMIT:+.2f} s)"
    )
    return 0 if mine - theirs <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
