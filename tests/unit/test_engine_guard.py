# SPDX-License-Identifier: MIT
"""The guard around BitBake and its heartbeat file, with a command that BitBake's part is played by.

`_supervisor.py` runs as `build.bash` starts it; the test is its oejail.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oejail import _supervisor
from oejail._supervisor import ANSWER, ENTRY, Heart
from tests.support.processes import alive, wait_until

DAEMON = "import os, sys, time\nif os.fork() == 0:\n    os.setsid()\ntime.sleep(300)\n"


class Oejail:
    """What writes the heartbeat."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self.heart = Heart(self.descriptor)
        self.heart.say("run")

    def lock(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def die(self) -> None:
        os.close(self.descriptor)

    @property
    def answer(self) -> str:
        with self.path.open("rb") as stream:
            stream.seek(ANSWER)
            return stream.read(ENTRY).decode().strip()


@pytest.fixture
def oejail(tmp_path: Path) -> Iterator[Oejail]:
    made = Oejail(tmp_path / "heartbeat")
    yield made
    with contextlib.suppress(OSError):
        made.die()


@contextlib.contextmanager
def guard(oejail: Oejail, *command: str, **edits: str) -> Iterator[subprocess.Popen[bytes]]:
    """The guard of `command`; `edits` replaces constants of the program."""
    program = oejail.path.with_name("guard.py")
    text = Path(_supervisor.__file__).read_text()
    for name, value in edits.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"{name} = ")]
        text = text.replace(line, f"{name} = {value}")
    program.write_text(text)
    settings = [f"@{oejail.path}", "-", "0.5", "1", "pipe", "-"]
    with subprocess.Popen(
        [sys.executable, "-I", "-S", str(program), *settings, *command], cwd=oejail.path.parent
    ) as process:
        yield process
        process.kill()


def daemon(path: Path) -> list[str]:
    return [sys.executable, "-I", "-c", DAEMON, f"{path}/daemon"]


def test_the_status_is_the_commands_and_nothing_of_it_is_left(oejail: Oejail) -> None:
    oejail.lock()
    with guard(oejail, "sh", "-c", "exit 7") as process:
        assert process.wait(20) == 7
    assert oejail.answer == "gone"
    with guard(oejail, "sh", "-c", "kill -SEGV $$") as process:
        assert process.wait(20) == 128 + signal.SIGSEGV


@pytest.mark.parametrize("how", ["dies", "stop", "kill"])
def test_the_end_of_oejail_is_the_end_of_all(how: str, oejail: Oejail, tmp_path: Path) -> None:
    oejail.lock()
    with guard(oejail, *daemon(tmp_path)) as process:
        token = f"{tmp_path}/daemon"
        assert wait_until(lambda: len(alive(token)) >= 2, 20)
        if how == "dies":
            oejail.die()
        else:
            oejail.heart.say(how)
        assert process.wait(5) == 128 + (signal.SIGKILL if how == "kill" else signal.SIGINT)
        assert alive(token) == []
    assert oejail.answer == "gone"


def test_without_locks_the_counter_tells(oejail: Oejail, tmp_path: Path) -> None:
    """As in a virtual machine; a guard that did not run, as while asleep, does not count that."""
    with guard(oejail, *daemon(tmp_path), LOOK="0.05") as process:
        token = f"{tmp_path}/daemon"
        end = time.monotonic() + 2
        while time.monotonic() < end:
            oejail.heart.say("run")
            time.sleep(0.05)
        assert process.poll() is None and len(alive(token)) >= 2
        process.send_signal(signal.SIGSTOP)
        time.sleep(2)  # longer than it takes to be taken for dead
        process.send_signal(signal.SIGCONT)
        oejail.heart.say("run")
        time.sleep(0.5)
        assert process.poll() is None
        assert process.wait(10) == 128 + signal.SIGINT
        assert alive(token) == []


def test_nothing_begins_when_oejail_is_gone_already(oejail: Oejail, tmp_path: Path) -> None:
    with guard(oejail, "touch", "began", STALE="3") as process:
        assert process.wait(10) == 128 + signal.SIGINT
    assert not (tmp_path / "began").exists()
    oejail.lock()
    oejail.heart.say("stop")
    with guard(oejail, "touch", "began") as process:
        assert process.wait(10) == 128 + signal.SIGINT
    assert not (tmp_path / "began").exists()


def test_the_server_is_written_down(oejail: Oejail, tmp_path: Path) -> None:
    oejail.lock()
    with guard(oejail, *daemon(tmp_path)) as process:
        (tmp_path / "bitbake.lock").write_text("4711\n")
        assert wait_until(lambda: oejail.answer == f"guard {process.pid} server 4711", 10)
        oejail.heart.say("kill")
        process.wait(5)
