# SPDX-License-Identifier: MIT
"""An interactive program on a terminal of its own: typed into, resized, ended with oejail."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from oejail import process, terminal
from oejail.errors import UsageFault
from tests.support.processes import alive, wait_until

CODE = """
import fcntl, signal, sys, termios
from oejail import process, terminal
from oejail.errors import Interrupted
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
def stop(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, stop)
try:
    identity = process.SELF
    if sys.argv[1] == "nobody":
        identity = process.Identity("user", 65534, 65534, (65534,), "nobody", "/")
    status = terminal.run(["bash", "--norc", "-i"], env={"PS1": "ready> "}, identity=identity)
    print("status", status)
except Interrupted as error:
    print(error, error.exit_code)
"""


class Session:
    """A terminal with an oejail in it, and someone who types."""

    def __init__(self, who: str = "self") -> None:
        self.terminal, theirs = os.openpty()
        self.name = os.ttyname(theirs)
        self.oejail = subprocess.Popen(
            [sys.executable, "-c", CODE, who],
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(Path(process.__file__).parent.parent)},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def expect(self, text: str, seconds: float = 10) -> str:
        """What was shown up to `text`."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            left = end - time.monotonic()
            assert left > 0, f"no {text!r} in {self.shown!r}"
            if select.select([self.terminal], [], [], left)[0]:
                try:
                    self.shown += os.read(self.terminal, 65536).decode(errors="replace")
                except OSError:
                    assert text in self.shown, f"no {text!r} in {self.shown!r} at the end"
        before, _, self.shown = self.shown.partition(text)
        return before

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.terminal)[3] & termios.ECHO)


@pytest.fixture
def session() -> Iterator[Session]:
    yield from _session("self")


def _session(who: str) -> Iterator[Session]:
    session = Session(who)
    session.expect("ready> ")
    yield session
    os.close(session.terminal)
    session.oejail.kill()
    session.oejail.wait()


def test_a_shell_runs_and_its_status_comes_back(session: Session) -> None:
    session.type("tty; exit 7\n")
    session.expect("/dev/pts/")
    session.expect("status 7")
    assert session.echoes()


def test_the_program_has_another_terminal_than_oejail(session: Session) -> None:
    session.type("tty\n")
    session.expect("/dev/pts/")
    number = session.expect("\r\n")
    assert f"/dev/pts/{number}" != session.name


def test_ctrl_c_goes_to_the_program(session: Session) -> None:
    session.type("sleep 600\n")
    session.expect("sleep 600")
    time.sleep(0.3)
    session.type("\x03")
    session.expect("ready> ")
    session.type("echo $?\n")
    session.expect("130")


def test_a_flood_of_output_can_be_stopped(session: Session) -> None:
    session.type("yes\n")
    session.expect("y\r\ny\r\n")
    session.type("\x03")
    session.expect("ready> ")


def test_a_paste_larger_than_the_terminal_takes_does_no_harm(session: Session) -> None:
    session.type("stty -icanon -echo; sleep 1; head -c 30000 | wc -c\n")
    session.expect("wc -c")
    time.sleep(0.5)
    for _ in range(30):
        session.type("x" * 1000)
    session.expect("30000")


def test_the_size_follows_the_terminal(session: Session) -> None:
    fcntl.ioctl(session.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    time.sleep(0.3)
    session.type("stty size\n")
    session.expect("33 77")


def test_what_the_shell_left_running_is_ended(session: Session) -> None:
    token = str(uuid.uuid4().int)
    session.type(f"setsid sleep 600 0.{token} & exit\n")
    session.expect("status 0")
    assert not alive(f"0.{token}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_shell_dies_with_oejail(session: Session, number: int) -> None:
    token = str(uuid.uuid4().int)
    session.type(f"setsid sleep 600 0.{token} &\n")
    assert wait_until(lambda: any("sleep 600" in line for line in alive(f"0.{token}")), 10)
    session.oejail.send_signal(number)
    assert wait_until(lambda: not alive(f"0.{token}"), 3)
    if number == signal.SIGTERM:
        session.expect("interrupted: bash was stopped 130")
        assert session.echoes()


def test_a_terminal_that_closes_ends_the_shell() -> None:
    session = Session()
    session.expect("ready> ")
    token = str(uuid.uuid4().int)
    session.type(f"setsid sleep 600 0.{token} &\n")
    assert wait_until(lambda: any("sleep 600" in line for line in alive(f"0.{token}")), 10)
    os.close(session.terminal)
    assert wait_until(lambda: not alive(f"0.{token}"), 3)
    session.oejail.wait(10)


def test_a_dropped_user_has_its_terminal() -> None:
    who = "nobody" if os.geteuid() == 0 else "self"
    for session in _session(who):
        session.type("id -un; test -O $(tty) && echo mine''own\n")
        session.expect("mineown")


def test_without_a_terminal_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/null") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(UsageFault, match="bash: stdin and stdout are not a terminal"):
            terminal.run(["bash"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageFault, match="not a terminal"):
        terminal.run(["bash"])
