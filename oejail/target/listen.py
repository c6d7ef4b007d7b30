# SPDX-License-Identifier: MIT
"""What a cell says on a console that Linux and the hypervisor write to as well.

Begins after the hypervisor's word that the cell was started, so that neither the echo of the
command nor the cell's name is taken for what the cell says. No I/O: bytes in, values out.
"""

from __future__ import annotations

import re

from oejail.target.console import Search
from oejail.target.signs import CURSOR

_STARTED = re.compile(rb'tarted cell "[^"\n]*"[\r\n]*\n')
_MAX_BEFORE = 65536  # bytes before the cell is known to run

_KERNEL = re.compile(rb"\[ *\d{1,7}\.\d{6}\] [^\n]*\n\r*")
_KERNEL_BEGINS = re.compile(rb"\[[ \d.]{0,16}(\]( [^\n]*)?)?\Z")
_MAX_KERNEL = 1024  # bytes of a line of the kernel's

_OTHERS = re.compile(
    rb"\s*$|\[ *\d+\.\d+\]|.{0,40}[#$] ?$|.*tarted cell \"|Cell \"|Cell state before|"
    rb"Page pool usage|Unhandled data |FATAL: |Parking CPU| pc: | sp: |\x1b|rc=\d+\s*$|/\s*$"
)
"""Lines that are Linux's, the shell's or the hypervisor's."""


class Listener:
    """Searches what the cell prints for `wanted`, which has to come `times` times.

    Without `wanted` a line that is neither Linux's nor the hypervisor's is what is waited for.
    """

    def __init__(self, wanted: str | None = None, times: int = 1) -> None:
        self.said = Search(wanted, times)
        # The same without the kernel's lines, which may tear what the cell says once and no more.
        self._untorn = Search(wanted, times)
        self._kernel = b""
        self.silent = True
        """No line came that is neither Linux's nor the hypervisor's."""
        self.begun = False
        self._held = b""
        self._line = b""

    @property
    def met(self) -> bool:
        """What was waited for came."""
        if self.said.wanted:
            return self.said.met or self._untorn.met
        return not self.silent

    @property
    def seen(self) -> int:
        """How often the text came."""
        return max(self.said.seen, self._untorn.seen)

    def feed(self, data: bytes) -> None:
        """Take bytes that came since the command to start was typed; without markers."""
        data = self._held + data
        self._held = b""
        if not self.begun:
            found = _STARTED.search(data)
            if found is None:
                self._held = data[-_MAX_BEFORE:]
                return
            self.begun, data = True, data[found.end() :]
        self._take(data)

    def answered(self) -> None:
        """The command ended: whatever follows its echo may be the cell's."""
        if not self.begun:
            self.begun = True
            data, self._held = self._held.partition(b"\n")[2], b""
            self._take(data)

    def _take(self, data: bytes) -> None:
        for keep in range(min(len(CURSOR) - 1, len(data)), 0, -1):
            if data.endswith(CURSOR[:keep]):
                data, self._held = data[:-keep], data[-keep:]
                break
        data = data.replace(CURSOR, b"")
        self.said.look(data)
        self._untorn.look(self._without_kernel(data))
        if self.silent:
            *lines, rest = (self._line + data).split(b"\n")
            self.silent = all(_OTHERS.match(line.rstrip()) for line in lines)
            self._line = rest[-4096:]

    def _without_kernel(self, data: bytes) -> bytes:
        data = _KERNEL.sub(b"", self._kernel + data)
        begun = _KERNEL_BEGINS.search(data, max(0, len(data) - _MAX_KERNEL))
        end = begun.start() if begun else len(data)
        self._kernel = data[end:]
        return data[:end]
