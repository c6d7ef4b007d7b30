# SPDX-License-Identifier: MIT
"""Is a BitBake at work in this build directory, and which process is it?

A second BitBake would wait for the first one without a word. The file bitbake.lock stays behind
when a server is killed, so its flock, not its existence, is asked (bb.utils.lockfile takes it with
flock(2), LOCK_EX, and the server holds it for life).
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from oejail.engine.text import printable

LOCK = "bitbake.lock"


@dataclass(frozen=True)
class Holder:
    """Who holds the lock. `pid` is 0 when that cannot be seen (another PID namespace)."""

    pid: int
    command: str

    def __str__(self) -> str:
        if not self.pid:
            return "a process that cannot be seen from here (in a container?)"
        return f"pid {self.pid} ({self.command})"


def holder(build_dir: Path) -> Holder | None:
    """The process that holds `build_dir`'s bitbake.lock; None when it is free or not there.

    Nothing is written, and the lock is not kept; that it is asked for at the same moment by a
    BitBake that starts does no harm: BitBake tries again.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(build_dir / LOCK, flags)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _who(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def _who(descriptor: int) -> Holder:
    """The server's pid as it wrote it into the file, else who took the lock, says the kernel.

    The latter is the front end, which hands the lock to the server that it starts, and may be gone.
    """
    written = os.pread(descriptor, 64, 0).split()
    pids = [int(written[0])] if written and written[0].isdigit() else []
    pids = [pid for pid in pids if "bitbake" in _command(pid)]
    for pid in [*pids, *_lockers(os.fstat(descriptor))]:
        command = _command(pid)
        if command:
            return Holder(pid, command)
    return Holder(0, "")


def _lockers(info: os.stat_result) -> list[int]:
    """Who took the lock, from /proc/locks: `1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF`.

    Some file systems show another device there than stat(2) does: those come last.
    """
    device = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}"
    found: list[tuple[bool, int]] = []
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        words = line.split()
        if len(words) < 6 or words[1] != "FLOCK" or words[3] != "WRITE":
            continue
        place, _, inode = words[5].rpartition(":")
        if inode == str(info.st_ino) and words[4].isdigit():
            found.append((place == device, int(words[4])))
    return [pid for _, pid in sorted(found, reverse=True)]


def _command(pid: int) -> str:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()[:2000]
    except OSError:
        return ""
    words = [os.path.basename(word) for word in raw.decode(errors="replace").split("\0") if word]
    return printable(" ".join(words[:3]), 120)
