# SPDX-License-Identifier: MIT
"""Asking a shell on a shared console: commands, and their exit status by a way of its own.

Hypervisor, cells and Linux write to one UART, character by character; a line editor wraps the echo
of a command at 80 columns, in the middle of words, and asks for the cursor with ESC[6n. So nothing
that is printable is relied upon. The shell answers in control characters that no text has, the
octal digits as 0x10 to 0x17 between 0x1E and 0x1F: whatever comes between them is passed over, and
the echo, which shows them as printf's escapes, can never be taken for them.

An answer holds a number of this run, the number of the command and the command's status. When none
comes, `again` asks for the last one: its number tells a command that was never heard, and may be
typed again, from one whose end was not reached. No I/O: bytes in, bytes out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FIRST, LAST = b"\x1e", b"\x1f"
DIGITS = bytes(range(0x10, 0x18))
ALPHABET = FIRST + LAST + DIGITS
"""What answers are made of; it is taken out of what `feed` returns."""

_OTHERS = bytes(byte for byte in range(256) if byte not in ALPHABET)
_NONCE, _NUMBER, _STATUS = 6, 4, 3  # octal digits
_SIZE = _NONCE + _NUMBER + _STATUS
_ANSWER = re.compile(FIRST + b"([" + DIGITS + b"]{%d})" % _SIZE + LAST)
_VALUES = bytes.maketrans(DIGITS, b"01234567")

CUT = 0o777
"""In place of a status: the command's line began, and its end was not reached."""
MAX_LINE = 3900
"""Characters of a command; a terminal takes 4095 in one line."""
LINE_END = b";s=$?;};m\n"
"""What every line that `Shell.command` makes ends with."""
_RUBOUT = b"\x15"  # what was typed and not ended goes, a running command does not


@dataclass(frozen=True)
class Answer:
    """`number` is the command's; `status` its exit status, or CUT."""

    number: int
    status: int


class Shell:
    """One shell. `nonce` is a number below 8**6 that nothing else on the console knows."""

    def __init__(self, nonce: int) -> None:
        self._nonce = f"{nonce:0{_NONCE}o}"
        if not 0 <= nonce < 8**_NONCE:
            raise ValueError(f"nonce {nonce}")
        self.number = 0
        self.answer: Answer | None = None
        """The newest answer to the newest command."""
        self._rest = b""

    def greeting(self) -> bytes:
        """The line that teaches the shell to answer, and makes it answer as command 0.

        The prompt becomes empty: it would stand in the midst of what a cell prints.
        """
        self.number, self.answer = 0, None
        digits = "".join(f"\\02{digit}" for digit in self._nonce)
        number = "".join(f"\\02$((n/{8**place}%8))" for place in reversed(range(_NUMBER)))
        status = "".join(f"\\02$((s/{8**place}%8))" for place in reversed(range(_STATUS)))
        return (
            f"n=0 s=0 PS1= PS2= PROMPT_COMMAND=; "
            f'm(){{ printf "\\036{digits}{number}{status}\\037"; }}; m\n'
        ).encode()

    def command(self, text: str) -> bytes:
        """What to type to run `text`, one line of shell that reads nothing from the console."""
        if "\n" in text or "\r" in text or not text.isprintable() or len(text) > MAX_LINE:
            raise ValueError(f"no line for a shell: {text[:80]!r}")
        self.number = (self.number + 1) % 8**_NUMBER
        self.answer = None
        return self._line(text)

    def _line(self, text: str) -> bytes:
        # A line whose beginning was lost runs nothing of `text`: the rest is an error, or is for
        # another number.
        n = self.number
        return f"n={n}&&s={CUT}&&{{ [ $n = {n} ]&&{{ {text};}}".encode() + LINE_END

    @staticmethod
    def is_echo(text: str) -> bool:
        """Whether a line of the console is the echo of a command, or one of its ends."""
        return f"&&s={CUT}&&{{ [ $n =" in text or text.endswith(LINE_END[:-1].decode())

    def again(self) -> bytes:
        """What to type to have the last answer once more; harmless while a command runs."""
        return _RUBOUT + b"m\n"

    @property
    def unheard(self) -> bool:
        """The shell answers, and has never read the newest command: it may be typed again."""
        return self.answer is not None and self.answer.number != self.number

    @property
    def status(self) -> int | None:
        """The newest command's exit status; CUT when its end was not reached; None: no answer."""
        answer = self.answer
        return answer.status if answer is not None and answer.number == self.number else None

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the console; return them without what answers are made of."""
        ours = data.translate(None, _OTHERS)
        if not ours:
            return data
        self._rest += ours
        end = 0
        for match in _ANSWER.finditer(self._rest):
            end = match.end()
            digits = match[1].translate(_VALUES).decode()
            if digits[:_NONCE] != self._nonce:
                continue
            number = int(digits[_NONCE:-_STATUS], 8)
            answer = Answer(number, int(digits[-_STATUS:], 8))
            # What an earlier command answers late is no news of this one, once there is news.
            if self.status is None and number in (self.number, self.number - 1):
                self.answer = answer
        self._rest = self._rest[end:][-(_SIZE + 1) :]
        return data.translate(None, ALPHABET)
