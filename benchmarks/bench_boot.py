# SPDX-License-Identifier: MIT
"""oejail's own time in a boot, against the same QEMU command started by hand.

By hand means: until the same text comes on the console, and not a moment longer. What oejail needs
on top (to start, verify, unpack, judge, write down) is to be half a second of the processor at
most, or 5 % of the guest's time. What passes on the clock is shown beside it: it includes that a
prompt counts after 0.3 seconds of silence. With a guest (`.ci/guest DIR`, OEJAIL_TEST_GUEST=DIR) up
to its shell, too; the session's own steps are left out on both sides, and counted in oejail's time.

The best of interleaved runs counts, so that a busy machine hits both alike.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

RUNS = 5
SECONDS, SHARE = 0.5, 0.05
LONGEST = 60  # seconds for a machine that is started by hand
PROGRAM = "qemu-system-aarch64"
COUNTED = """
import atexit, sys, time
from pathlib import Path
atexit.register(lambda: Path("own").write_text(str(time.process_time())))
from oejail.cli.start import main
main()
"""


@dataclass(frozen=True)
class Ours:
    """Seconds up to the end of the last step before the session, and of oejail's processor."""

    clock: float
    own: float
    command: list[str]


def by_oejail(directory: Path, *arguments: str) -> Ours:
    shutil.rmtree(directory / "oejail-runs", ignore_errors=True)
    began = time.perf_counter()
    argv = [sys.executable, "-c", COUNTED, "-q", "boot", *arguments]
    subprocess.run(argv, cwd=directory, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    (run,) = (directory / "oejail-runs").iterdir()
    report = json.loads((run / "results.json").read_text())
    names = [step["name"] for step in report["steps"]]
    later = report["steps"][names.index("prepare") :] if "prepare" in names else []
    return Ours(
        seconds - sum(step["seconds"] for step in later),
        float((directory / "own").read_text()),
        report["qemu"]["command"],
    )


def by_hand(command: list[str], text: bytes) -> float:
    """Seconds until `text` comes on the console, and QEMU is gone."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = b""
    limit = threading.Timer(LONGEST, process.kill)
    limit.start()
    while text not in said:
        data = os.read(process.stdout.fileno(), 65536)
        assert data, said
        said += data
    limit.cancel()
    process.kill()
    process.communicate()
    return time.perf_counter() - began


def compare(name: str, directory: Path, text: bytes, initrd: Path | None, *words: str) -> bool:
    ours, theirs = [], []
    for _ in range(RUNS):
        ours.append(by_oejail(directory, *words))
        command = ours[-1].command
        if initrd is not None:  # the run's own, with the payload behind it, is gone by now
            command[command.index("-initrd") + 1] = str(initrd)
        theirs.append(by_hand(command, text))
    clock, own, peer = min(o.clock for o in ours), min(o.own for o in ours), min(theirs)
    limit = max(SECONDS, SHARE * peer)
    print(
        f"{name}: own time {own:.2f} s (limit {limit:.2f}) {'ok' if own <= limit else 'FAIL'}; "
        f"{clock:.2f} s on the clock, by hand {peer:.2f} s, ratio {clock / peer:.2f}"
    )
    return own <= limit


def guest_boot(directory: Path) -> bool:
    """A set under a stand-in for Jailhouse, in a real guest."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests.support import guest

    directory.mkdir()
    guest.bundle(directory)
    initrd = guest.rootfs(directory / "rootfs.cpio.gz")
    words = ["--kernel", str(guest.parts()[0]), "--initrd", str(initrd)]
    words = [str(directory / "b.tar.zst"), *words]
    return compare("boot", directory, b" # ", initrd, *words)


def main() -> int:
    if shutil.which(PROGRAM) is None:
        print(f"boot: {PROGRAM}: no such program; apt-get install qemu-system-arm")
        return 1
    with tempfile.TemporaryDirectory() as name:
        project, bare = Path(name, "project"), Path(name, "bare")
        project.mkdir()
        bare.mkdir()
        os.environ["XDG_CACHE_HOME"] = str(Path(name, "cache"))
        oejail = [sys.executable, "-m", "oejail.cli.main", "-q", "up", "--sample"]
        subprocess.run(oejail, cwd=project, check=True, stdout=subprocess.DEVNULL)
        (bundle,) = (project / "dist").glob("*.tar.zst")
        fine = compare("boot --bare", bare, b"tick 2", None, "--bare", str(bundle))
        if os.environ.get("OEJAIL_TEST_GUEST"):
            fine &= guest_boot(Path(name, "guest"))
        else:
            print("boot: OEJAIL_TEST_GUEST is not set (.ci/guest DIR)")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
