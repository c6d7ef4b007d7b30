# SPDX-License-Identifier: MIT
"""What a step came to, and why: each way in which a session fails has a name and a hint.

A step is judged by its exit status, which the tool does not always tell truly, by the signs that
the console showed meanwhile (`signs.py`), and by what is known from before. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache

from oejail.target.causes import CAUSES
from oejail.target.results import FAILED, NO_ANSWER, PASSED

MODULE, ENABLE, CREATE, LOAD = "module", "enable", "create", "load"
START, OBSERVE, RUNNING, SHUTDOWN = "start", "observe", "running", "shutdown"
DESTROY, DISABLE, UNLOAD, BOOT, OTHER = "destroy", "disable", "unload", "boot", "other"
PREPARE = "prepare"

STATES = {0: "running", 20: "shut down", 21: "failed", 22: "absent"}
"""What the step `running` ends with: what `jailhouse cell list` says of a cell."""


@dataclass(frozen=True)
class Verdict:
    """`cause` is a key of `causes.CAUSES`, empty where there is nothing to say."""

    outcome: str
    cause: str = ""
    said: str = ""
    """The console's own line that shows it."""

    @property
    def message(self) -> str:
        """The cause in a few words."""
        return CAUSES[self.cause][0] if self.cause else ""

    @property
    def hint(self) -> str:
        """What to do about it."""
        return CAUSES[self.cause][1] if self.cause else ""


@dataclass(frozen=True)
class _Row:
    cause: str
    kinds: str
    """Kinds of steps; empty: all."""
    ends: str
    """`0` with status 0, `x` with another, `-` without an answer."""
    signs: str = ""
    """All of them were seen."""
    facts: str = ""
    """All of them are known: see `judge`."""


_ROWS = [
    # Faults tell more than a status does.
    _Row("guest-initrd", "boot", "-", "initrd no-init"),
    _Row("guest-no-init", "", "x-", "no-init"),
    _Row("cpu-vhe", "enable", "x-", "hvc"),
    _Row("hypervisor-beyond-ram", "enable", "x-", "abort"),
    _Row("gic-mismatch", "enable", "x-", "hyp"),
    _Row("cell-over-hypervisor", "create load start observe running", "0x-", "hyp"),
    _Row("hypervisor-fault", "", "0x-", "hyp"),
    _Row("cell-fault", "start observe running", "0x-", "access"),
    _Row("cell-fault", "start observe running", "0x-", "trap"),
    _Row("cell-fault", "start observe running", "0x-", "parked"),
    _Row("cell-in-linux-ram", "create load start observe running", "0x-", "stall"),
    _Row("guest-stall", "", "x-", "stall"),
    _Row("guest-panic", "", "0x-", "panic"),
    _Row("guest-oops", "", "x-", "oops"),
    _Row("guest-ended", "", "-", "off"),
    _Row("guest-ended", "", "-", "restart"),
    # What the driver refuses, it says in the kernel's log; the tool may end with 0 all the same.
    _Row("config-revision", "enable create", "0x-", "revision"),
    _Row("config-architecture", "enable create", "0x-", "architecture"),
    _Row("not-a-root-cell", "enable", "0x-", "no-root"),
    _Row("not-a-cell", "create", "0x-", "no-cell"),
    _Row("firmware-missing", "enable", "0x-", "no-firmware"),
    _Row("memory-not-reserved", "enable", "0x-", "region"),
    _Row("module-vermagic", "module", "x", "vermagic"),
    _Row("module-symbol", "module", "x", "symbol"),
    _Row("module-key", "module", "x", "key"),
    _Row("module-format", "module", "x", "elf"),
    _Row("module-loaded", "module", "x", "exists"),
    _Row("module-missing", "module", "x", "missing"),
    _Row("module-busy", "unload module", "x", "busy"),
    _Row("not-root", "", "x", "permission"),
    _Row("not-prepared", "prepare", "x"),
    _Row("module-not-loaded", "", "x", "no-driver"),
    _Row("tool-missing", "", "x", "not-found"),
    _Row("image-missing", "load", "x", "no-open missing"),
    _Row("cell-file-missing", "enable create", "x", "no-open missing"),
    _Row("gic-version", "enable", "x", "cpu-failed no-device"),
    _Row("enabled-already", "enable", "x", "busy"),
    _Row("cpus-few", "enable", "x", "begins invalid"),
    _Row("enable-refused", "enable", "x", "invalid"),
    _Row("not-enabled", "create load start shutdown destroy disable", "x", "invalid", "disabled"),
    _Row("cell-exists", "create", "x", "exists"),
    _Row("cell-busy", "create", "x", "busy"),
    _Row("create-refused", "create", "x", "invalid"),
    _Row("cell-unknown", "load start shutdown destroy", "x", "missing"),
    _Row("image-does-not-fit", "load", "x", "invalid"),
    _Row("cell-refused", "start shutdown destroy disable", "x", "invalid"),
    # Silence.
    _Row("el1", "enable", "-", "", "el1"),
    _Row("cpus-many", "enable", "-", "", "cpus-many"),
    _Row("enable-hangs", "enable", "-"),
    _Row("cell-file-cut", "create", "-", "pci"),
    _Row("create-hangs", "create", "-"),
    _Row("load-hangs", "load", "-"),
    _Row("cell-not-loaded", "observe", "-", "", "silent not-loaded"),
    _Row("image-elf", "observe", "-", "", "silent elf"),
    _Row("image-blank", "observe", "-", "", "silent blank"),
    _Row("cell-silent", "observe", "-", "", "silent"),
    _Row("expectation-not-met", "observe", "-"),
    _Row("qemu-romfile", "boot", "-", "romfile"),
    _Row("login-wanted", "boot", "-", "", "password"),
    _Row("login-refused", "boot", "-", "", "login-refused"),
    _Row("not-root", "boot", "-", "", "not-root"),
    _Row("guest-silent", "boot", "-", "", "silent"),
    _Row("guest-no-shell", "boot", "-"),
    _Row("no-answer", "", "-"),
    _Row("stopped-by-load", "load", "0", "", "running"),
    _Row("refused", "", "x"),
]

_NOTES = ("stopped-by-load",)
"""Causes that are worth saying of a step that passed."""


def judge(
    kind: str,
    status: int | None,
    signs: Mapping[str, str],
    facts: Collection[str] = (),
) -> Verdict:
    """What a step of `kind` that ended with `status` (None: it never answered) came to.

    `signs` are those that were seen since it began (`Evidence.seen`). `facts` are what is known
    besides: `el1` (where Linux started), `cpus-many` (the machine has more than the root's set),
    `disabled` (the hypervisor is not enabled), `running` (the cell was), `not-loaded`, `elf`,
    `blank` (its image), `silent` (not one byte came), of a boot `password`, `login-refused` and
    `not-root`. The step `observe` passes with status 0 and has no other; `running` ends with one
    of STATES.
    """
    if kind == RUNNING and status is not None and status != 0:
        state = STATES.get(status, "")
        causes = {"shut down": "cell-stopped", "failed": "cell-failed", "absent": "cell-absent"}
        if state in causes and not any(s in signs for s in ("hyp", "access", "trap", "parked")):
            return Verdict(FAILED, causes[state])
    end = "-" if status is None else "x" if status else "0"
    for row in _rows(kind, end):
        needed = row.signs.split()
        if all(sign in signs for sign in needed) and all(f in facts for f in row.facts.split()):
            said = signs[needed[0]] if needed else ""
            outcome = PASSED if row.cause in _NOTES else FAILED
            # A step that never answered is that, also where it is known why; not so what was
            # waited for and did not come.
            if end == "-" and kind not in (OBSERVE, BOOT):
                outcome = NO_ANSWER
            return Verdict(outcome, row.cause, said)
    return Verdict(PASSED)


@cache
def _rows(kind: str, end: str) -> tuple[_Row, ...]:
    return tuple(
        row for row in _ROWS if end in row.ends and (not row.kinds or kind in row.kinds.split())
    )


def causes() -> set[str]:
    """Every cause that `judge` may name."""
    return {row.cause for row in _ROWS} | {"cell-stopped", "cell-failed", "cell-absent"}


_BOOT = 1 << 20  # bytes of the console in which Linux's own beginning is looked for
_BROUGHT_UP = re.compile(rb"Brought up \d+ nodes?, (\d+) CPU")


class Story:
    """What is known from before, as one step comes after the other."""

    def __init__(self, root_cpus: int | None = None) -> None:
        self.root_cpus = root_cpus
        """CPUs of the root's set."""
        self.cpus: int | None = None
        """CPUs that Linux brought up."""
        self.el1 = False
        self.enabled: bool | None = None
        """None: not known."""
        self.images: dict[str, frozenset[str]] = {}
        """By cell that was loaded: `elf`, `blank`."""
        self.running: set[str] = set()
        self._heard, self._rest = 0, b""

    def hear(self, data: bytes) -> None:
        """Take bytes of the console, as they come."""
        if self._heard < _BOOT:
            self._heard += len(data)
            self._rest += data
            self.el1 = self.el1 or b"CPU(s) started at EL1" in self._rest
            for match in _BROUGHT_UP.finditer(self._rest):
                self.cpus = int(match[1])
            self._rest = self._rest[-200:]

    def facts(self, cell: str = "") -> set[str]:
        """For `judge`, of a step about `cell`."""
        known = {
            "el1": self.el1,
            "cpus-many": bool(self.cpus and self.root_cpus and self.cpus > self.root_cpus),
            "disabled": self.enabled is False,
            "running": cell in self.running,
            "not-loaded": cell not in self.images,
        }
        return {name for name, holds in known.items() if holds} | set(self.images.get(cell, ()))

    def took(
        self, kind: str, verdict: Verdict, cell: str = "", image: Collection[str] = ()
    ) -> None:
        """A step about `cell` came to `verdict`; `image` are the facts of what was loaded."""
        if verdict.outcome != PASSED:
            if kind == ENABLE and self.enabled is None:
                self.enabled = False
            return
        if kind == MODULE:
            self.enabled = False
        elif kind in (ENABLE, DISABLE):
            self.enabled = kind == ENABLE
            self.running.clear()
            self.images.clear()
        elif kind in (CREATE, DESTROY):
            self.images.pop(cell, None)
            self.running.discard(cell)
        elif kind == LOAD:
            self.images[cell] = frozenset(image)
            self.running.discard(cell)
        elif kind == START:
            self.running.add(cell)
        elif kind == SHUTDOWN:
            self.running.discard(cell)
