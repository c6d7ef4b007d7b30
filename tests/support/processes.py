# SPDX-License-Identifier: MIT
"""Looking for processes by what stands in their arguments, and waiting for them."""

from __future__ import annotations

import os
import time
from pathlib import Path


def alive(token: str) -> list[str]:
    """`PID: command line` of every process (zombies aside) with `token` in its arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if token in line:
            found.append(f"{entry.name}: {line.strip()}")
    return found


def patience(seconds: float) -> float:
    """What `seconds` of a machine that is free become on this one, by its load: never less."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def wait_until(condition: object, seconds: float) -> bool:
    """Call `condition` until it is true; false when `seconds` passed first."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
