# SPDX-License-Identifier: MIT
"""A build that lasts, in either engine, to be interrupted: `oejail up` in the background."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from oejail._supervisor import descendants
from oejail.files import sha256_file
from tests.support.cli import OEJAIL
from tests.support.engines import Builder, builder, client, left
from tests.support.processes import alive, patience

MARK = "compiling"
"""In the work directory of the recipe, once its do_compile sleeps."""
SLEEP = """
do_compile[nostamp] = "1"
do_compile:prepend() {
    touch ${B}/compiling
    sleep 321
}
"""


def recipe(builder: Builder) -> Path:
    """The inmate's recipe."""
    (found,) = (builder.directory / "workspace/src").glob("**/jailhouse-freertos_*.bb")
    return found


@contextmanager
def slow(builder: Builder) -> Iterator[None]:
    """Meanwhile do_compile of the inmate sleeps for minutes."""
    path = recipe(builder)
    text = path.read_text()
    path.write_text(text + "\n" + SLEEP)
    for mark in builder.build_dir.glob(f"tmp/work/*/*/**/{MARK}"):
        mark.unlink()
    try:
        yield
    finally:
        path.write_text(text)


@contextmanager
def background(
    builder: Builder, *arguments: str, terminal: int | None = None, **env: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`oejail ARGUMENTS`; with `terminal`, a pseudo-terminal's descriptor, on that."""
    log = builder.directory / "background.log"
    with log.open("wb") as stream:
        out = terminal if terminal is not None else stream
        with subprocess.Popen(
            [builder.python, *OEJAIL[1:], *arguments],
            cwd=builder.directory,
            user=builder.user,
            group=builder.user,
            extra_groups=None if builder.user is None else [],
            env=os.environ | {"HOME": str(builder.directory)} | env,
            stdin=terminal if terminal is not None else subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def wait_until_compiling(builder: Builder, process: subprocess.Popen[bytes]) -> None:
    """Return when do_compile sleeps; the run must not end before."""
    deadline = time.monotonic() + 60
    while not list(builder.build_dir.glob(f"tmp/work/*/*/**/{MARK}")):
        assert process.poll() is None, (builder.directory / "background.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def working(build_dir: Path) -> list[str]:
    """What runs for a build directory, on the host and in its containers: `PID: command line`.

    A container's processes have it mounted; the shell that keeps one running is none of it.
    """
    place = str(build_dir)
    found = []
    for shown in alive(""):
        pid, _, line = shown.partition(": ")
        try:
            where = os.readlink(f"/proc/{pid}/cwd")
            mounts = Path(f"/proc/{pid}/mountinfo").read_text(errors="replace")
        except OSError:
            continue
        contained = f"{place} /home/" in mounts and line.strip() not in ("", "bash")
        if f"{place}/" in f"{where}/" or f"{place}/" in line or contained:
            found.append(shown)
    return found


def kill_watchers(
    process: subprocess.Popen[bytes], *, guard: bool, guards: Sequence[int] = ()
) -> None:
    """SIGKILL to oejail, its supervisors and, with `guard`, what guards BitBake, all at once.

    A guard in a container is no descendant: those are named by `guards`.
    """
    below = {*descendants(process.pid), *guards}
    doomed = [process.pid]
    for pid in sorted(below):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            is_guard = any(word.endswith(b"/.oejail/heartbeat") for word in words)
            if guard if is_guard else any(word.endswith(b"_supervisor.py") for word in words):
                doomed.append(pid)
    for number in (signal.SIGSTOP, signal.SIGKILL):  # whichever outlives the others acts
        for pid in doomed:
            os.kill(pid, number)
    process.wait()


def wait_until_idle(build_dir: Path, seconds: float) -> float:
    """Assert that within `seconds` (of a free machine) nothing works for the build directory; after
    how many it was."""
    began = time.monotonic()
    allowed = patience(seconds)
    while left := working(build_dir):
        assert time.monotonic() - began < allowed, left
        time.sleep(0.05)
    return time.monotonic() - began


def running_containers(directory: Path) -> list[str]:
    """Ids of containers below `directory` that run."""
    with client() as daemon:
        return [
            str(one["Id"])[:12]
            for one in daemon.api.containers(filters={"label": "org.oejail.build-dir"})
            if str(directory) in one["Labels"]["org.oejail.build-dir"]
        ]


def kill_at_random(engine: str, runs: int) -> None:
    """SIGKILL of `oejail up --sample` at `runs` random moments.

    Asserts after each that within ten seconds nothing works any more, and that the following `up`
    ends in the bytes of the first one and leaves no process and no container running.
    """
    dice = random.Random(0)
    up = ("up", "--sample", "--engine", engine)
    with builder() as project:
        began = time.monotonic()
        digest = sha256_file(project.oejail(*up).bundle)
        whole = time.monotonic() - began
        for number in range(runs):
            # From nothing, or from sources and shared state.
            project.oejail("clean", *(("--all", "--force") if number % 3 == 0 else ()))
            with background(project, *up) as process:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(dice.uniform(0.05, whole))
                process.kill()
            for place in (project.directory / "workspace/build").glob("[a-z]*"):
                wait_until_idle(place, 10)
            assert sha256_file(project.oejail(*up).bundle) == digest, number
            assert working(project.build_dir) == []
            if engine == "container":
                assert running_containers(project.directory) == []
    if engine == "container":
        assert left(project.directory) == []
