# SPDX-License-Identifier: MIT
"""An interactive program on a terminal of its own, below the supervisor.

The program does not get oejail's terminal itself: where root drops to a build user, that user
could push characters into root's input queue (TIOCSTI). It gets a pseudo-terminal, between which
and the real one bytes are copied; its end or oejail's ends all that it started.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from oejail import process
from oejail.errors import Interrupted, UsageFault


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    identity: process.Identity = process.SELF,
) -> int:
    """Run `argv` on a pseudo-terminal until it ends; its exit status (-N for signal N).

    What it leaves running is ended two seconds later. Raises UsageFault when stdin or stdout is no
    terminal, Interrupted on SIGTERM or SIGHUP (Ctrl-C goes to the program).
    """
    require(Path(argv[0]).name)
    stdin, stdout = sys.stdin.fileno(), sys.stdout.fileno()
    master, slave = os.openpty()
    try:
        termios.tcsetwinsize(slave, termios.tcgetwinsize(stdin))
        if identity.kind == "user":
            os.fchown(slave, identity.uid, -1)
        child, control = process.supervise(
            argv, cwd=cwd, env=env, identity=identity, grace=1.0, linger=2.0, terminal=slave
        )
        os.close(slave)
        slave = -1
        with control, _raw(stdin), _follow_size(stdin, master):
            try:
                _copy(stdin, stdout, master, control.fileno())
            except KeyboardInterrupt:
                control.send(b"K")
                process.answer(child, control)
                raise Interrupted(f"interrupted: {Path(argv[0]).name} was stopped") from None
            return process.answer(child, control)
    finally:
        os.close(master)
        if slave >= 0:
            os.close(slave)


def require(what: str = "bash") -> None:
    """Raise UsageFault, in the name of `what`, when stdin or stdout is no terminal."""
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        raise UsageFault(
            f"{what}: stdin and stdout are not a terminal",
            hint="run it in a terminal, or use `oejail bitbake -- ARGS`",
        )


def _copy(stdin: int, stdout: int, master: int, control: int) -> None:
    """Copy both ways until `control` says that the program has ended."""
    os.set_blocking(master, False)
    typed = b""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        # A program that does not read what is typed must not keep its output from being shown.
        poll.register(stdin, 0 if typed else select.POLLIN)
        poll.register(master, select.POLLIN | (select.POLLOUT if typed else 0))
        ready = dict(poll.poll())
        if stdin in ready and not typed:
            typed = os.read(stdin, 1024)
            if not typed:  # the terminal has gone
                raise KeyboardInterrupt
        try:
            if typed and ready.get(master, 0) & select.POLLOUT:
                typed = typed[os.write(master, typed) :]
            if master in ready:
                _show(master, stdout)
            while control in ready:  # the program has ended: what is left, up to the exception
                _show(master, stdout)
        except BlockingIOError:
            pass
        except OSError:  # EIO: the other side is closed
            return
        if control in ready:
            return


def _show(master: int, stdout: int) -> None:
    """Copy what the program wrote; raises BlockingIOError when that was all."""
    data = os.read(master, 65536)
    while data:
        data = data[os.write(stdout, data) :]


@contextlib.contextmanager
def _raw(stdin: int) -> Iterator[None]:
    before = termios.tcgetattr(stdin)
    tty.setraw(stdin)
    try:
        yield
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _follow_size(stdin: int, master: int) -> Iterator[None]:
    def resize(*_: object) -> None:
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetwinsize(master, termios.tcgetwinsize(stdin))

    before = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
