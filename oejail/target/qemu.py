# SPDX-License-Identifier: MIT
"""A QEMU that starts paused, with console and QMP on sockets that are connected from the start.

Both sockets are passed on as descriptors (`-chardev socket,fd=N`): there is no path that could be
too long, met by others or left behind, and the first byte of the console has a reader before the
machine runs. QEMU runs below oejail's supervisor, which ends it whatever becomes of oejail.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import platform
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from qemu.qmp import EventListener, QMPClient, QMPError

from oejail import process
from oejail.errors import PrerequisiteMissing

PROGRAM = "qemu-system-aarch64"
_KVM = "/dev/kvm"
_MAX_SAID = 16 * 1024  # bytes of QEMU's own words, the last ones

ANSWER = 30
"""Seconds that QEMU has for its first answer, on however busy a machine."""
_LAST_WORDS = 5.0  # seconds that its end may come after that of its connections

# The library's complaints about a machine that went away are ours to make.
logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())
logging.getLogger("qemu.qmp").propagate = False


def require() -> None:
    """PrerequisiteMissing unless QEMU is on PATH."""
    if shutil.which(PROGRAM) is None:
        raise PrerequisiteMissing(
            f"{PROGRAM}: no such program", hint="apt-get install qemu-system-arm"
        )


def bare_command(image: Path, extra: Sequence[str] = ()) -> list[str]:
    """The command for `image` alone on the virt machine; `extra` arguments come last.

    KVM where the host is of the same architecture and lets us; emulated otherwise.
    """
    kvm = platform.machine() == "aarch64" and os.access(_KVM, os.R_OK | os.W_OK)
    # With KVM the interrupt controller can only be the host's.
    machine = "virt,accel=kvm,gic-version=host" if kvm else "virt"
    cpu = "host" if kvm else "cortex-a57"
    # A guest that resets ends QEMU: it would otherwise begin anew and look alive.
    return [
        *(PROGRAM, "-machine", machine, "-cpu", cpu, "-nographic", "-nic", "none"),
        *("-no-user-config", "-no-reboot", "-kernel", str(image), *extra),
    ]


class Gone(Exception):
    """QEMU has ended; `Machine.last_words` says how."""


class Machine:
    """A QEMU below its supervisor. Made by `start`; nothing of it is left after that."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = tuple(argv)
        self.version = ""
        self.console, console = _pair()
        self._qmp, qmp = _pair()
        fds = [console.fileno(), qmp.fileno()]
        arguments = [
            "-S",
            *("-chardev", f"socket,id=oejail-console,fd={fds[0]}", "-serial"),
            *("chardev:oejail-console", "-chardev", f"socket,id=oejail-qmp,fd={fds[1]}"),
            *("-mon", "chardev=oejail-qmp,mode=control"),
        ]
        with console, qmp, contextlib.ExitStack() as ours:
            ours.callback(self.console.close)
            ours.callback(self._qmp.close)
            self._process, self._control = process.supervise(
                [*argv, *arguments], grace=1.0, linger=1.0, pass_fds=fds
            )
            ours.pop_all()  # from here on they are close()'s
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = loop.create_future()
        self._said = b""
        self._cont: asyncio.Task[object] | None = None
        self._client = QMPClient("oejail")
        self._events = EventListener(("SHUTDOWN", "GUEST_PANICKED"))
        self._client.register_listener(self._events)
        loop.add_reader(self._control, self._answer)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            loop.add_reader(pipe, self._listen, pipe.fileno())

    async def connect(self) -> None:
        """Talk to the paused machine. Raises Gone when QEMU ends instead."""
        try:
            await self._client.connect(self._qmp)
            version = await self._client.execute("query-version")
        except (QMPError, OSError, EOFError) as error:
            raise Gone from error
        self.version = _version(version)

    async def run(self) -> None:
        """Let the machine run. Raises Gone when QEMU has ended.

        A machine that says something runs, whether QEMU has answered or not: with a console that
        nobody reads yet and the machine floods, it cannot answer.
        """
        loop = asyncio.get_running_loop()
        said = asyncio.Event()
        loop.add_reader(self.console, said.set)
        says = loop.create_task(said.wait())
        self._cont = loop.create_task(self._client.execute("cont"))
        try:
            await asyncio.wait((self._cont, says), return_when=asyncio.FIRST_COMPLETED)
            if not self._cont.done() and self._speaks():
                return
            await self._cont
        except (QMPError, OSError, EOFError) as error:
            raise Gone from error
        finally:
            says.cancel()
            loop.remove_reader(self.console)

    def _speaks(self) -> bool:
        """Whether bytes of the console wait to be read; its end is none."""
        try:
            return bool(self.console.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    async def read(self) -> bytes:
        """The next bytes of the console; `b""` at its end. To cancel it loses none of them.

        (`sock_recv` may have taken them when it is cancelled, and then nobody gets them.)
        """
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self.console, ready.set)
        try:
            while True:
                await ready.wait()
                ready.clear()
                with contextlib.suppress(BlockingIOError, InterruptedError):
                    return self.console.recv(65536)
        except ConnectionError:
            return b""
        finally:
            loop.remove_reader(self.console)

    async def last_words(self) -> tuple[str, list[str]]:
        """How QEMU ended, and what it said itself (stderr's last lines)."""
        try:
            code = await asyncio.wait_for(asyncio.shield(self.ended), _LAST_WORDS)
            how = process.Result(self.argv, code).describe()
        except TimeoutError:
            how = "it no longer answers, or not as QEMU does"
        for event in self._events.clear():
            data = event.get("data")
            reason = data.get("reason") if isinstance(data, dict) else None
            what = "the guest panicked" if event["event"] == "GUEST_PANICKED" else reason
            how += f", {what}" if what else ""
        lines = self._said.decode("utf-8", "replace").splitlines()
        return how, [line for line in lines if line.strip()][-20:]

    async def close(self) -> None:
        """End QEMU, when it runs still, and wait until it is gone."""
        if not self.ended.done():
            with contextlib.suppress(OSError):
                self._control.send(b"K")
            self._answer()  # blocks for the moment that a SIGKILL takes
        loop = asyncio.get_running_loop()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            loop.remove_reader(pipe)
            pipe.close()
        # Its reader meets the end of the stream: that is an error to the library, not to us.
        with contextlib.suppress(QMPError, OSError, EOFError):
            await self._client.disconnect()
            if self._cont is not None:
                await self._cont  # which the end of the connection ends
        for end in (self._qmp, self.console, self._control):
            end.close()

    def _answer(self) -> None:
        asyncio.get_running_loop().remove_reader(self._control)
        code = process.answer(self._process, self._control)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            while self._listen(pipe.fileno()):
                pass
        self.ended.set_result(code)

    def _listen(self, descriptor: int) -> bool:
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return False
        if not data:
            asyncio.get_running_loop().remove_reader(descriptor)
        self._said = (self._said + data)[-_MAX_SAID:]
        return bool(data)


@asynccontextmanager
async def start(argv: Sequence[str]) -> AsyncIterator[Machine]:
    """A paused machine, which does not outlive the block."""
    machine = Machine(argv)
    try:
        yield machine
    finally:
        await machine.close()


def _pair() -> tuple[socket.socket, socket.socket]:
    """Our end, which does not block, and QEMU's, whose number no standard stream will take."""
    ours, theirs = socket.socketpair()
    with theirs:
        number = fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, 3)
    ours.setblocking(False)
    return ours, socket.socket(fileno=number)


def _version(answer: object) -> str:
    """`7.2.22 (Debian 1:7.2+dfsg-7)` of what query-version answered."""
    qemu = answer.get("qemu") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(qemu, dict):
        return "unknown"
    numbers = ".".join(str(qemu.get(part, "?")) for part in ("major", "minor", "micro"))
    package = str(answer.get("package") or "").strip()
    return f"{numbers} ({package.strip('()')})" if package else numbers
