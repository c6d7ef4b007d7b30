# SPDX-License-Identifier: MIT
"""Is a BitBake at work in this build directory, and which process is it?

A second BitBake would wait for the first one without a word. The file bitbake.lock stays behind
when a server is killed, so its flock, not its existence, is asked (bb.utils.lockfile takes it with
flock(2), LOCK_EX, and the server holds it for life).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oejail._supervisor import descendants
from oejail.engine.text import printable

LOCK = "bitbake.lock"

__all__ = ["LOCK", "Holder", "descendants", "holder"]


@dataclass(frozen=True)
class Holder:
    """Who holds the lock. `pid` is 0 when that cannot be seen (another user's, or far away)."""

    pid: int
    command: str
    user: str = ""
    since: float = 0.0
    """Unix seconds."""
    container: str = ""
    """Id of the container that it runs in, 12 hex digits."""
    number: int = 0
    """The server's process id by its own count, another one in a container; 0: not written yet."""

    def __str__(self) -> str:
        if not self.pid:
            return "a process that cannot be seen from here (in a container?)"
        words = [f"pid {self.pid}"]
        if self.user:
            words.append(f"of user {self.user}")
        if self.container:
            words.append(f"in container {self.container}")
        if self.since:
            words.append(f"since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(self.since))}")
        return f"{' '.join(words)} ({self.command})"

    @property
    def how_to_end(self) -> str:
        """The command that ends it."""
        if self.container:
            return f"docker stop {self.container}"
        return f"kill {self.pid}" if self.pid else "end it"


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
    """Who has the lock's file open, the server before the front end that started it.

    The server writes its process id into the file, by the count of the container that it may run
    in. Without the right to see who has it open, the kernel's list of locks is asked: that names
    who took the lock, the front end, which hands it to the server and may be gone.
    """
    written = os.pread(descriptor, 64, 0).split()
    number = int(written[0]) if written and written[0].isdigit() else 0
    info = os.fstat(descriptor)
    openers = [pid for pid in _openers(info) if pid != os.getpid()]
    openers.sort(key=lambda pid: (number not in _numbers(pid), pid))
    named = [number] if number and "bitbake" in _command(number) else []
    for pid in [*openers, *named, *_lockers(info)]:
        if command := _command(pid):
            return Holder(pid, command, _user(pid), _since(pid), _container(pid), number)
    return Holder(0, "", number=number)


def _openers(info: os.stat_result) -> Iterator[int]:
    """Processes that have the file of `info` open; only those that we may look into."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{entry}/fd"):
                with contextlib.suppress(OSError):
                    there = os.stat(f"/proc/{entry}/fd/{name}")
                    if (there.st_dev, there.st_ino) == (info.st_dev, info.st_ino):
                        yield int(entry)
                        break


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


def _status(pid: int, key: str) -> list[str]:
    """The values of a line of /proc/PID/status."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith(f"{key}:"):
                return line.split()[1:]
    return []


def _numbers(pid: int) -> list[int]:
    """The process's ids, ours first, then within each PID namespace that it is in."""
    return [int(word) for word in _status(pid, "NSpid") or [str(pid)]]


def _user(pid: int) -> str:
    uid = next(iter(_status(pid, "Uid")), "")
    try:
        return pwd.getpwuid(int(uid)).pw_name
    except (ValueError, KeyError):
        return uid


def _since(pid: int) -> float:
    """When the process began: ticks after the start of the machine, field 22 of proc(5)'s stat."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
        return (
            time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
        )
    except (OSError, IndexError, ValueError):
        return 0.0


def _container(pid: int) -> str:
    """Docker's and Podman's control groups carry the container's id."""
    with contextlib.suppress(OSError):
        match = re.search(r"[0-9a-f]{64}", Path(f"/proc/{pid}/cgroup").read_text(errors="replace"))
        return match[0][:12] if match else ""
    return ""
