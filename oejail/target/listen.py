# SPDX-License-Identifier: MIT
"""What a cell says on a console that Linux and the hypervisor write to as well.

Neither the echo of the command that starts it nor the hypervisor's word that it was started, with
the cell's name, is what the cell says. The cell's CPU is another one, and does not wait for the end
of that word: `SHello World`, and then `tarted cell "freertos"`. No I/O: bytes in, values out.
"""

from __future__ import annotations

import re

from oejail.target.console import Search
from oejail.target.marker import LINE_END
from oejail.target.signs import CURSOR

_STARTED = re.compile(rb'S?tarted cell "[^"\n]*"[\r\n]*\n')
_MAX_BEFORE = 65536  # bytes before the cell is known to run
_STRAY = rb"(?:\x1b\[[0-9;?]*[a-zA-Z]|[ \r\n])*"  # what a line editor has in the midst of an echo
_ECHO_ENDS = re.compile(_STRAY.join(re.escape(chr(c).encode()) for c in LINE_END[:-1]) + rb"\r*\n")
_MAX_WOVEN = 2048  # bytes in which the hypervisor's word may be strewn

_KERNEL = re.compile(rb"\[ *\d{1,7}\.\d{6}\] [^\n]*\n\r*")
_KERNEL_BEGINS = re.compile(rb"\[[ \d.]{0,16}(\]( [^\n]*)?)?\Z")
_MAX_KERNEL = 1024  # bytes of a line of the kernel's

_OTHERS = re.compile(
    rb"\s*$|S?\[ *\d+\.\d+\]|\[(?:\x1b|  OK  |[A-Z* ]{6}\])|\s*St(?:art|opp)ing |"
    rb".{0,40}[#$] ?$|.*tarted cell \"|Cell \"|Cell state before|"
    rb"Page pool usage|Unhandled data |FATAL: |Parking CPU| pc: | sp: |\x1b|rc=\d+\s*$|/\s*$"
)
"""Lines that are Linux's, systemd's, the shell's or the hypervisor's."""


class Listener:
    """Searches what the cell prints for `wanted`, which has to come `times` times.

    Without `wanted` a line that is neither Linux's nor the hypervisor's is what is waited for.
    `cell` is the cell's name, as the hypervisor says it.
    """

    def __init__(self, wanted: str | None = None, times: int = 1, cell: str = "") -> None:
        self.said = Search(wanted, times)
        # The same without the kernel's lines, which may tear what the cell says once and no more.
        self._untorn = Search(wanted, times)
        self._kernel = b""
        self._woven = _Woven(self.said.wanted, f'Started cell "{cell}"\r\r\n'.encode())
        self.silent = True
        """No line came that is neither Linux's nor the hypervisor's."""
        self.begun = False
        self._held = b""
        self._line = b""

    @property
    def met(self) -> bool:
        """What was waited for came."""
        if self.said.wanted:
            return self.seen >= self.said.times
        return not self.silent

    @property
    def seen(self) -> int:
        """How often the text came."""
        return max(self.said.seen, self._untorn.seen, int(self._woven.met))

    def feed(self, data: bytes) -> None:
        """Take bytes that came since the command to start was typed; without markers."""
        data = self._held + data
        self._held = b""
        if not self.begun:
            found = _STARTED.search(data)
            if found is None:
                self._held = data[-_MAX_BEFORE:]
                return
            self.begun = True
            echo = _echo_end(data[: found.start()])
            before = b"" if echo is None else data[echo : found.start()]
            data = before + data[found.end() :]
        self._take(data)

    def answered(self) -> None:
        """The command ended: whatever follows its echo may be the cell's."""
        if not self.begun:
            self.begun = True
            data, self._held = self._held, b""
            echo = _echo_end(data)
            self._woven.left = _MAX_WOVEN
            self._take(data.partition(b"\n")[2] if echo is None else data[echo:])

    def _take(self, data: bytes) -> None:
        for keep in range(min(len(CURSOR) - 1, len(data)), 0, -1):
            if data.endswith(CURSOR[:keep]):
                data, self._held = data[:-keep], data[-keep:]
                break
        data = data.replace(CURSOR, b"")
        self.said.look(data)
        self._woven.look(data)
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


def _echo_end(data: bytes) -> int | None:
    """Where the echo ends; bash shows twice what was typed before its prompt was there."""
    return max((match.end() for match in _ECHO_ENDS.finditer(data)), default=None)


class _Woven:
    """Searches `wanted` with parts of `word` strewn in: two CPUs write letter by letter.

    Looks at the next `left` bytes only, as such a word comes once.
    """

    def __init__(self, wanted: bytes, word: bytes) -> None:
        self.met = False
        self.left = 0
        self._wanted, self._word = wanted, word
        self._states: set[tuple[int, int]] = set()  # how much has come of each

    def look(self, data: bytes) -> None:
        """Take the next bytes."""
        wanted, word = self._wanted, self._word
        data, self.left = data[: self.left], max(0, self.left - len(data))
        if self.met or not wanted:
            return
        for byte in data:
            states = self._states | {(0, j) for j in range(len(word) + 1)}
            self._states = {(i + 1, j) for i, j in states if wanted[i] == byte}
            self._states |= {
                (i, j + 1) for i, j in states if i and word[j : j + 1] == bytes([byte])
            }
            if any(i == len(wanted) for i, _ in self._states):
                self.met = True
                return
