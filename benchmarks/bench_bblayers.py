# SPDX-License-Identifier: MIT
"""Adding a layer to a bblayers.conf: oejail's editor in process against BitBake's and its import.

Theirs is the median of fresh processes, without the interpreter's start; ours the median of many
calls, interleaved with them, of a file of openEuler's size.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from oejail.workspace import bblayers
from oejail.workspace.model import CONTAINER_SRC

LIMIT = 100
ROUNDS = 7
CALLS = 200
SRC = "/ws/src"
LAYER = f"{SRC}/yocto-poky/../yocto-meta-openeuler/rtos/meta-freertos"
NAMES = (
    "yocto-poky/meta",
    *(f"yocto-meta-openembedded/meta-{x}" for x in ("oe", "python", "networking", "filesystems")),
    *(f"yocto-meta-ros/meta-ros{x}" for x in ("-common", "2", "2-foxy")),
    "yocto-meta-openeuler/meta-openeuler",
    "yocto-meta-openeuler/bsp/meta-openeuler-bsp",
)
TEXT = (
    'POKY_BBLAYERS_CONF_VERSION = "2"\n\nBBPATH = "${TOPDIR}"\nBBFILES ?= ""\n\nBBLAYERS ?= " \\\n'
)
TEXT += "".join(f"  {SRC}/yocto-poky/../{name} \\\n" for name in NAMES) + '  "\n'
PLACES = bblayers.Places((CONTAINER_SRC, SRC), {"TOPDIR": "/ws/build/b"})


def ours() -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    for _ in range(CALLS):
        bblayers.edit(TEXT, add=[LAYER], places=PLACES)
    return (time.perf_counter() - began) / CALLS


def theirs(directory: Path) -> float:
    """Seconds of import and one call, in a new process."""
    conf = directory / "bblayers.conf"
    conf.write_text(TEXT)
    program = Path(__file__).with_name("bb_edit.py")
    command = [sys.executable, str(program), str(conf), LAYER]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert LAYER in conf.read_text()
    return float(done.stdout)


def main() -> int:
    assert bblayers.parse(bblayers.edit(TEXT, add=[LAYER], places=PLACES)).values()[-1] == LAYER
    with tempfile.TemporaryDirectory() as name:
        pairs = [(ours(), theirs(Path(name))) for _ in range(ROUNDS)]
    mine, other = (statistics.median(pair[n] for pair in pairs) for n in (0, 1))
    found = other / mine
    fine = found >= LIMIT
    print(
        f"editing bblayers.conf, BitBake {other * 1000:.0f} ms, oejail {mine * 1e6:.0f} us: "
        f"ratio {found:.0f} (limit {LIMIT}) {'ok' if fine else 'FAIL'}"
    )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
