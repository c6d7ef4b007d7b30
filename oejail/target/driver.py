# SPDX-License-Identifier: MIT
"""Typing at a running machine's console: one step after the other, each with a verdict.

Every byte of the console goes to the transcript, to the listener that waits for a cell's words and
to the evidence by which the step is judged.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress

from oejail.target import outcome, qemu
from oejail.target.arrival import Arrival
from oejail.target.console import Console, Line
from oejail.target.listen import Listener
from oejail.target.marker import CUT, Shell
from oejail.target.outcome import Story, Verdict, judge
from oejail.target.results import Transcript
from oejail.target.signs import CURSOR, Evidence
from oejail.text import harmless

SETTLE = 1.0
"""Seconds that a cell is watched for faults after it has said what it should."""

_POLL = 0.1  # seconds
_AGAIN = 3.0  # seconds without an answer after which the last one is asked for once more
_DOOMED = 3.0  # seconds that a guest has to answer after a sign that none will come
_LATE = 2.0  # seconds at most that the kernel's words on a step are waited for
_QUIET = 0.2  # seconds of silence after which there are none
_MAX_TYPED = 3  # times that one command is typed
_CURSOR = harmless(CURSOR.decode())  # as a line has it
_DEADLY = {"panic", "no-init", "hvc", "hyp", "stall", "off", "restart"}
_FAULTS = {"access", "trap", "parked", "hyp", "panic", "stall"}

Show = Callable[[Line], None]


class Driver:
    """The console of `machine`, which must run within the caller's event loop.

    `timeout` is in seconds, for each answer. Raises qemu.Gone where QEMU has ended.
    """

    def __init__(
        self,
        machine: qemu.Machine,
        transcript: Transcript,
        timeout: float,
        story: Story | None = None,
    ) -> None:
        self.machine = machine
        self.transcript = transcript
        self.timeout = timeout
        self.patience: dict[str, float] = {}
        """Seconds for a kind of step, where they are others than `timeout`."""
        self.story = story or Story()
        self.shell = Shell(secrets.randbelow(8**6))
        self.console = Console()
        self.show: Show = lambda _: None
        self.evidence = Evidence()
        self._listener: Listener | None = None
        self._watched = Evidence()
        self._began = time.monotonic()

    @property
    def now(self) -> float:
        """Seconds since the machine began to run."""
        return time.monotonic() - self._began

    def note(self, text: str) -> None:
        """A line of ours in the transcript."""
        self.transcript.add([*self.console.end(), Line(self.now, f"--- oejail: {text}")])

    async def boot(self, user: str = "root", password: str | None = None) -> Verdict:
        """Wait for a shell that answers. The machine was let run just now."""
        self._began = time.monotonic()
        arrival = Arrival(self.shell, user, password)
        self.evidence = Evidence()

        def enough() -> bool:
            return arrival.ready or arrival.hopeless or bool(_DEADLY & set(self.evidence.seen))

        deadline = self.now + self.timeout
        while not enough() and self.now < deadline:
            arrival.feed(await self._read(_POLL), self.now)
            if data := arrival.due(self.now):
                await self._type(data)
        status = 0 if arrival.ready else None
        settled = self.now + _LATE
        with suppress(qemu.Gone):  # the rest of what a panic says
            while status is None and self.now < settled and await self._read(_QUIET):
                pass
        return judge(outcome.BOOT, status, self.evidence.seen, arrival.facts)

    async def run(self, kind: str, command: str, cell: str = "", *, quiet: bool = False) -> Verdict:
        """Run one line of shell as a step of `kind`, about `cell`; see `outcome.judge`.

        With `quiet` the kernel prints nothing on the console meanwhile: its log has it.
        """
        if quiet:
            level = "/proc/sys/kernel/printk"
            command = f"echo 1 >{level};{{ {command}; }};r=$?;echo 8 >{level};(exit $r)"
        self.evidence = Evidence()
        status = await self._answer(command, self.patience.get(kind, self.timeout))
        # The kernel may print after the tool has ended, where another CPU holds the console; of a
        # cell that was not created the tool says nothing, and the kernel does.
        settled = self.now + _LATE
        while (status or kind == outcome.CREATE) and self.now < settled:
            if not await self._read(_QUIET):
                break
        facts = self.story.facts(cell)
        return judge(kind, status, self.evidence.seen, facts)

    async def _answer(self, command: str, timeout: float) -> int | None:
        line = self.shell.command(command)
        await self._type(line)
        typed, asked, doomed = 1, self.now, float("inf")
        deadline = self.now + timeout
        while self.shell.status is None and self.now < min(deadline, doomed):
            await self._read(_POLL)
            if self.shell.unheard and typed < _MAX_TYPED:
                typed, asked = typed + 1, self.now
                self.shell.answer = None
                await self._type(line)
            elif self.now - asked > _AGAIN:
                asked = self.now
                await self._type(self.shell.again())
            if doomed == float("inf") and _DEADLY & set(self.evidence.seen):
                doomed = self.now + _DOOMED
        status = self.shell.status
        return None if status == CUT else status

    def listen(self, wanted: str | None, times: int, cell: str = "") -> Listener:
        """From now on, what a cell says is looked at; before its start is typed."""
        self._listener, self._watched = Listener(wanted, times, cell), Evidence()
        return self._listener

    async def observe(self, listener: Listener, facts: set[str]) -> Verdict:
        """Wait until the cell has said what it should, and a while for it to fail after that."""
        listener.answered()
        deadline = self.now + self.patience.get(outcome.OBSERVE, self.timeout)
        while not listener.met and self.now < deadline and not self._faulty:
            await self._read(_POLL)
        settled = self.now + SETTLE
        while listener.met and self.now < settled and not self._faulty:
            await self._read(_POLL)
        await self._read(_POLL)  # the rest of a fault's words
        status = 0 if listener.met else None
        known = facts | ({"silent"} if listener.silent else set())
        return judge(outcome.OBSERVE, status, self._watched.seen, known)

    @property
    def _faulty(self) -> bool:
        return bool(_FAULTS & set(self._watched.seen))

    async def interrupt(self) -> None:
        """Ctrl-C: what runs in the foreground ends."""
        await self._type(b"\x03\n")
        self.shell.answer = None
        await self._read(1.0)

    async def _read(self, seconds: float) -> bytes:
        """What comes within `seconds`, without markers; Gone at the console's end."""
        try:
            async with asyncio.timeout(seconds):
                data = await self.machine.read()
        except TimeoutError:
            return b""
        if not data:
            raise qemu.Gone
        return self.take(data)

    def take(self, data: bytes) -> bytes:
        """Bytes of the console that were read."""
        text = self.shell.feed(data)
        now = self.now
        self.evidence.feed(text)
        self._watched.feed(text)
        self.story.hear(text)
        if self._listener is not None:
            self._listener.feed(text)
        lines = self.console.feed(text, now)
        self.transcript.add(lines)
        for line in lines:
            if not self.shell.is_echo(line.text):  # of which the transcript has all
                self.show(Line(line.seconds, line.text.replace(_CURSOR, "")))
        return text

    async def _type(self, data: bytes) -> None:
        """Type, and read meanwhile: who does not read may not be read from."""
        loop = asyncio.get_running_loop()
        typing = asyncio.ensure_future(loop.sock_sendall(self.machine.console, data))
        deadline = self.now + self.timeout
        try:
            while not typing.done() and self.now < deadline:
                await self._read(0.01)
            if typing.done() and typing.exception() is not None:
                raise qemu.Gone
        finally:
            typing.cancel()
