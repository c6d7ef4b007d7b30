# SPDX-License-Identifier: MIT
"""A console's bytes made into lines with times, and searched for a text.

A machine may print anything, at any rate: what is kept here is bounded, and what is shown is
harmless to a terminal. No I/O: bytes in, values out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from oejail.text import harmless

MAX_LINE = 4096
"""Bytes; a longer line comes in pieces."""
TAIL = 20
"""How many last lines are kept."""


@dataclass(frozen=True)
class Line:
    """A line, or a piece of one; `seconds` is when its first byte came."""

    seconds: float
    text: str


class Search:
    """Counts a text in bytes as they come, also across pieces.

    Without `wanted` any output is what was expected, but for line ends and blanks.
    """

    def __init__(self, wanted: str | None = None, times: int = 1) -> None:
        self.wanted = (wanted or "").encode()
        self.times = times
        self.seen = 0
        """How often the text came (without one: 1 once there was output)."""
        self._window = b""

    @property
    def met(self) -> bool:
        """Whether the text came as often as it should."""
        return self.seen >= (self.times if self.wanted else 1)

    def look(self, data: bytes) -> None:
        """Take the next bytes."""
        if not self.wanted:
            self.seen = self.seen or int(bool(data.strip(b"\0 \t\r\n")))
            return
        window = self._window + data
        found = window.count(self.wanted)
        if found:
            self.seen += found
            # What comes after the last of them, as count() goes: from left to right.
            window = window.split(self.wanted)[-1]
        keep = len(self.wanted) - 1
        self._window = window[-keep:] if keep else b""


class Console(Search):
    """What came on a console, in lines; `wanted` is searched in the bytes as they came."""

    def __init__(self, wanted: str | None = None, times: int = 1) -> None:
        super().__init__(wanted, times)
        self.bytes = 0
        self.lines = 0
        self.tail: deque[Line] = deque(maxlen=TAIL)
        self._rest = b""
        self._since = 0.0

    @property
    def within_line(self) -> bool:
        """Whether the last line has not ended yet."""
        return bool(self._rest)

    def feed(self, data: bytes, now: float) -> list[Line]:
        """Take the next bytes, which came at `now` (seconds); the lines that they complete."""
        self.bytes += len(data)
        self.look(data)
        if not self._rest:
            self._since = now
        *ended, rest = (self._rest + data).split(b"\n")
        done: list[Line] = []
        for raw in ended:
            done += self._pieces(raw, whole=True)
            self._since = now
        done += self._pieces(rest, whole=False)
        return self._keep(done)

    def end(self) -> list[Line]:
        """The last line, when nothing ended it."""
        return self._keep(self._pieces(self._rest, whole=True) if self._rest else [])

    def _pieces(self, raw: bytes, *, whole: bool) -> list[Line]:
        pieces: list[Line] = []
        while len(raw) > MAX_LINE:
            pieces.append(self._line(raw[:MAX_LINE]))
            raw = raw[MAX_LINE:]
        if whole:
            pieces.append(self._line(raw))
            raw = b""
        self._rest = raw
        return pieces

    def _line(self, raw: bytes) -> Line:
        text = raw.rstrip(b"\r").decode("utf-8", "backslashreplace")
        return Line(self._since, harmless(text, "\t"))

    def _keep(self, lines: list[Line]) -> list[Line]:
        self.lines += len(lines)
        self.tail.extend(lines)
        return lines
