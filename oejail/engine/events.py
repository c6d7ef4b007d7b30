# SPDX-License-Identifier: MIT
"""BitBake's events, read from the file that the class oejail-events.bbclass writes.

One JSON object a line: `{"v": 1, "t": UNIX_SECONDS, "pid": …, "event": NAME, …}`, at most 4000
bytes. The file is written by whoever builds, in a directory of theirs, while it is read: nothing in
it is believed before its type is checked, and nothing in it can make the reader fail, wait, or take
more than a few megabytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oejail.engine.text import printable

FILE = "oejail-events.jsonl"
"""Its name, in the build directory."""

MAX_LINE = 16 * 1024
"""Bytes; a longer line is none of ours and is passed over."""
_CHUNK = 256 * 1024
_MAX_ITEMS = 64
_MAX_COUNT = 10**9


@dataclass(frozen=True, slots=True)
class Event:
    """One event. A field that the event lacks, or has with a wrong type, has its default."""

    kind: str
    """TaskFailed, BuildCompleted, …"""
    time: float
    """Unix seconds."""
    recipe: str = ""
    """RunQueue…: file name up to its version; Task…: name, version and revision."""
    pn: str = ""
    task: str = ""
    file: str = ""
    """The recipe's file, with BitBake's prefixes (`virtual:native:`, `mc:NAME:`)."""
    logfile: str = ""
    item: str = ""
    """NoProvider: what nothing provides."""
    error: str = ""
    setscene: bool = False
    noexec: bool = False
    runtime: bool = False
    current: int = 0
    total: int = 0
    errors: int = 0
    """ParseCompleted: recipes that did not parse."""
    failures: int | None = None
    """BuildCompleted: how many tasks failed."""
    interrupted: int | None = None
    """BuildCompleted: how the build was interrupted, 0 for not at all."""
    exitcode: int | None = None
    completed: int = 0
    """RunQueue…: how many tasks are done, the skipped ones included; `total` is of how many."""
    targets: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    dependees: tuple[str, ...] = ()
    close_matches: tuple[str, ...] = ()


_STRINGS = ("recipe", "pn", "task", "file", "logfile", "item", "error")
_FLAGS = ("setscene", "noexec", "runtime")
_COUNTS = ("current", "total", "errors", "failures", "interrupted")
_LISTS = ("targets", "reasons", "dependees", "close_matches")


def parse(line: bytes) -> Event | None:
    """The event of one line; None for what is none."""
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if type(raw) is not dict or raw.get("v") != 1:
        return None
    kind = raw.get("event")
    if type(kind) is not str or not 0 < len(kind) <= 64:
        return None
    fields: dict[str, Any] = {}
    for name in _STRINGS:
        if type(value := raw.get(name)) is str:
            fields[name] = printable(value)
    for name in _FLAGS:
        if raw.get(name) is True:
            fields[name] = True
    for name in _COUNTS:
        if _is_count(value := raw.get(name)):
            fields[name] = value
    for name in _LISTS:
        if type(value := raw.get(name)) is list:
            fields[name] = tuple(printable(v) for v in value[:_MAX_ITEMS] if type(v) is str)
    if type(value := raw.get("exitcode")) is int and abs(value) < 1 << 31:
        fields["exitcode"] = value
    if type(stats := raw.get("stats")) is dict:
        for name in ("completed", "total"):
            if _is_count(value := stats.get(name)):
                fields[name] = value
    return Event(printable(kind), _time(raw.get("t")), **fields)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MAX_COUNT


def _time(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and 0 <= value < 1e12 else 0.0


class Tail:
    """Follows an event file that may not be there yet, may grow, shrink or be replaced.

    Use as a context manager, call `events` again and again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ignored = 0
        """Lines that were no event."""
        self._descriptor = -1
        self._offset = 0
        self._rest = b""
        self._skipping = False  # within a line that is too long

    def __enter__(self) -> Tail:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def events(self, budget: int = 4 << 20) -> Iterator[Event]:
        """The events that have come since the last call, of at most `budget` bytes."""
        while budget > 0:
            data = self._read()
            if not data:
                return
            budget -= len(data)
            *lines, rest = (self._rest + data).split(b"\n")
            for line in lines:
                if self._skipping:
                    self._skipping = False
                    continue
                event = parse(line) if 0 < len(line) <= MAX_LINE else None
                if event is not None:
                    yield event
                else:
                    self.ignored += 1
            if len(rest) > MAX_LINE:
                self.ignored += not self._skipping
                self._skipping = True
            self._rest = b"" if self._skipping else rest

    def _read(self) -> bytes:
        """Up to a chunk of new bytes; also from a new file where the old one was replaced."""
        if self._descriptor < 0 and not self._open():
            return b""
        try:
            if os.fstat(self._descriptor).st_size < self._offset:  # cut off: it begins anew
                self._begin()
            data = os.pread(self._descriptor, _CHUNK, self._offset)
        except OSError:
            data = b""
        if not data and self._replaced() and self._open():
            with contextlib.suppress(OSError):
                data = os.pread(self._descriptor, _CHUNK, 0)
        self._offset += len(data)
        return data

    def _replaced(self) -> bool:
        try:
            there, ours = os.lstat(self.path), os.fstat(self._descriptor)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _open(self) -> bool:
        """Open what is at the path now, if it is a regular file (no link, no FIFO)."""
        self._close()
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self.path, flags)
        except OSError:
            return False
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        self._begin()
        return True

    def _begin(self) -> None:
        self._offset, self._rest, self._skipping = 0, b"", False

    def _close(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1
