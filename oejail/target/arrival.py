# SPDX-License-Identifier: MIT
"""From the first byte of a booting guest to a shell that answers: what to type when.

BusyBox's shell or `Please press Enter`, or a login prompt of getty's (systemd or BusyBox), behind
which lines of the kernel's and systemd's may stand. An account whose password has to be set at the
first login gets the one that was given. No I/O: bytes and times in, bytes to type out.
"""

from __future__ import annotations

import re

from oejail.target.marker import Shell

QUIET = 0.3  # seconds of silence after which a prompt is one
_NUDGE = 4.0  # seconds of silence after which Enter is pressed, in case a prompt was torn
_TAIL = 2048  # bytes
_MAX_LOGINS = 3
_MAX_PASSWORDS = 6  # to log in, and twice to set a new one, once more each

_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_WAITING = rb"(?=\s*(?:\Z|\[|St(?:art|opp)ing ))"
_SHELL = re.compile(rb"[#$>] ?\Z")
_LOGIN = re.compile(rb"(?<!last )(?<!failed )\blogin: " + _WAITING, re.IGNORECASE)
_PASSWORD = re.compile(
    rb"(assword: ?|Control-D to continue\): ?|for maintenance.{0,80}: ?)" + _WAITING, re.I
)
_ENTER = re.compile(rb"press Enter to activate", re.IGNORECASE)
_REFUSED = re.compile(rb"Login incorrect|Login timed out|Authentication failure", re.IGNORECASE)


class Arrival:
    """Where the guest is. `facts` are those of `outcome.judge` for a boot that came to nothing."""

    def __init__(self, shell: Shell, user: str = "root", password: str | None = None) -> None:
        self.shell = shell
        self.facts: set[str] = {"silent"}
        self._user = user.encode()
        self._password = None if password is None else password.encode()
        self._tail = b""
        self._last = 0.0
        self._typed = 0.0
        self._logins = 0
        self._passwords = 0

    @property
    def ready(self) -> bool:
        """The shell has answered the greeting."""
        return self.shell.number == 0 and self.shell.status == 0

    @property
    def hopeless(self) -> bool:
        """It wants what it is not given."""
        return bool(self.facts & {"password", "login-refused"})

    def feed(self, text: bytes, now: float) -> None:
        """Take bytes of the console, without markers."""
        if text:
            self.facts.discard("silent")
            self._tail = (self._tail + text)[-_TAIL:]
            self._last = now

    def due(self, now: float) -> bytes:
        """What is to be typed now; most often nothing."""
        quiet = now - max(self._last, self._typed)
        if quiet < QUIET or "silent" in self.facts:
            return b""
        said = _ESCAPES.sub(b"", self._tail)
        if _REFUSED.search(said):
            self.facts.add("login-refused")
            return b""
        if _PASSWORD.search(said):
            if self._password is None or not self._logins:
                self.facts.add("password")
                return b""
            self._passwords += 1
            if self._passwords > _MAX_PASSWORDS:
                self.facts.add("login-refused")
                return b""
            return self._type(self._password + b"\n", now)
        if _LOGIN.search(said) and self._logins < _MAX_LOGINS:
            self._logins += 1
            return self._type(self._user + b"\n", now)
        if _ENTER.search(said):
            return self._type(b"\n", now)
        if _SHELL.search(said):
            return self._type(self.shell.greeting(), now)
        return self._type(b"\n", now) if quiet > _NUDGE else b""

    def _type(self, data: bytes, now: float) -> bytes:
        self._tail, self._typed = b"", now
        return data
