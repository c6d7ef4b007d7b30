# SPDX-License-Identifier: MIT
"""The guard around BitBake: it ends all of it when oejail is gone, wherever BitBake runs.

`build.bash` starts it (`_supervisor.py` with a heartbeat file) in place of BitBake, on the host as
in a container, where nothing else would notice that oejail was killed. oejail's supervisor holds
the lock of that file and writes into it; what is left in it after a run says whether the guard
came to an end, and else which BitBake server is an orphan of ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oejail import _supervisor, files
from oejail._supervisor import ANSWER, ENTRY
from oejail.engine import holder
from oejail.engine.holder import Holder
from oejail.log import logger
from oejail.workspace.dockerparam import RUN_DIR
from oejail.workspace.model import Workspace

PROGRAM = Path(_supervisor.__file__)
COPY = "guard.py"
"""Its name in RUN_DIR, where a container sees it; the heartbeat is beside it."""
HEARTBEAT = "heartbeat"

# Seconds that BitBake has between SIGINT and SIGKILL. In a container everything takes longer.
_GRACE = {"host": 1.8, "container": 4.0}
_END = 5.0  # seconds that it takes at most until a server that is ended is gone


@dataclass
class Heartbeat:
    """A heartbeat file. `descriptor` holds its lock, until the supervisor has taken it."""

    path: Path
    descriptor: int

    def take(self) -> int:
        """The descriptor, for `process.run`, which closes it."""
        taken, self.descriptor = self.descriptor, -1
        return taken


@contextlib.contextmanager
def heartbeat(ws: Workspace) -> Iterator[Heartbeat]:
    """A new heartbeat file in the build directory, locked; it is removed when all is gone.

    The file is the build user's, who may do in it no more than end a build of their own.
    """
    path = _path(ws)
    files.make_directory(path.parent)
    path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    if ws.identity.kind == "user":
        os.fchown(descriptor, ws.identity.uid, ws.identity.gid)
    # As long as it will ever be: a disk that fills up later cannot keep a word from being said.
    os.pwrite(descriptor, b"run 0".ljust(ANSWER + ENTRY) + b"\n", 0)
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    heart = Heartbeat(path, descriptor)
    try:
        yield heart
    finally:
        if heart.descriptor >= 0:
            os.close(heart.take())
        end = time.monotonic() + _END
        while (left := holder.holder(ws.build_dir)) is not None and time.monotonic() < end:
            time.sleep(0.05)  # the supervisor was killed: the guard does its work
        if left is None:
            path.unlink(missing_ok=True)
        else:
            logger.warning("build: could not be ended: %s", left)


def option(ws: Workspace) -> str:
    """The first argument of `bitbake` that has a guard put around it."""
    return f"--oejail-guard={_GRACE[ws.engine]}"


def grace(ws: Workspace) -> float:
    """Seconds between interrupt and kill for the supervisor: the guard's own come first."""
    return _GRACE[ws.engine] + 0.6


def _path(ws: Workspace) -> Path:
    return ws.build_dir / RUN_DIR / HEARTBEAT


def _answer(path: Path) -> str:
    """What the guard last said; empty before it began, and as long as its oejail is at work."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return os.pread(descriptor, ENTRY, ANSWER).decode("ascii", "replace").strip()
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def reap(ws: Workspace, other: Holder) -> bool:
    """End `other` and all that it started, if it is what a killed run of oejail left.

    That is so when it is the server that the guard of that run saw. Only processes of the build
    user are ended: what the file says was theirs to write. False when it is somebody else's, or
    does not end.
    """
    match = re.fullmatch(r"guard \d+ server (\d+)", _answer(_path(ws)))
    if match is None or int(match[1]) != other.number or not other.pid:
        return False
    logger.info("build: ending what an interrupted run left: %s", other)
    end = time.monotonic() + _END
    while (found := holder.holder(ws.build_dir)) is not None:
        if found.pid != other.pid or time.monotonic() > end:
            return False
        for pid in (other.pid, *holder.descendants(other.pid)):
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{pid}").st_uid == owner(ws):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    return True


def owner(ws: Workspace) -> int:
    """The user id that BitBake's processes have here."""
    return ws.identity.uid if ws.identity.kind == "user" else os.geteuid()
