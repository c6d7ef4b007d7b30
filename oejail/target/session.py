# SPDX-License-Identifier: MIT
"""The Jailhouse session: module, enable, each cell created, loaded, started and seen to run.

In a guest that was booted with the payload at /oejail (`cpio.TOP`). What it needs of the guest is a
POSIX shell and insmod; the tool is the bundle's own where it has one.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from shlex import quote

from oejail.artifacts.model import CollectedSet, SetInmate
from oejail.target import outcome
from oejail.target.cpio import TOP
from oejail.target.driver import Driver, Show
from oejail.target.listen import Listener
from oejail.target.outcome import Verdict
from oejail.target.results import PASSED, Step

_PAYLOAD = f"/{TOP}"
_FIRMWARE = "/sys/module/firmware_class/parameters/path"
NAME_WIDTH = 24
"""Columns of `jailhouse cell list`; a longer name meets the state with no blank between."""


@dataclass(frozen=True)
class Inmate:
    """A cell to be seen running. `facts`: `elf` or `blank`, of its image."""

    of_set: SetInmate
    expect: str | None
    times: int = 1
    facts: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The cell's own name."""
        return self.of_set.name


@dataclass
class Run:
    """A session's steps. `failed` is the verdict that ended it."""

    chosen: CollectedSet
    inmates: Sequence[Inmate]
    has_tool: bool = True
    show: Show = lambda _: None
    """Gets the console's lines while a cell is started and observed."""
    driver: Driver = field(init=False)
    steps: list[Step] = field(default_factory=list)
    listeners: dict[str, Listener] = field(default_factory=dict)
    failed: tuple[Step, Verdict] | None = None

    def plan(self, keep_running: bool = False) -> None:
        """Enter every step, as not run."""
        names = ["prepare", "module", "enable"]
        for inmate in self.inmates:
            each = ("create", "load", "start", "observe", "running")
            names += [f"{kind} {inmate.name}" for kind in each]
        if not keep_running:
            for inmate in reversed(self.inmates):
                names += [f"shutdown {inmate.name}", f"destroy {inmate.name}"]
            names.append("disable")
        self.steps += [Step(name) for name in names]

    @property
    def tool(self) -> str:
        """The program, as the guest's shell takes it."""
        return f"{_PAYLOAD}/bin/jailhouse" if self.has_tool else "jailhouse"

    async def begin(self) -> bool:
        """Up to every cell running; false where a step failed."""
        if not (await self.prepare() and await self.module() and await self.enable()):
            return False
        for inmate in self.inmates:
            if not await self.bring_up(inmate):
                return False
        return True

    async def end(self) -> bool:
        """The cells shut down and destroyed, the hypervisor disabled."""
        for inmate in reversed(self.inmates):
            name = inmate.name
            for kind in (outcome.SHUTDOWN, outcome.DESTROY):
                if not await self._step(kind, f"{self.tool} cell {kind} {quote(name)}", name):
                    return False
        return await self._step(outcome.DISABLE, f"{self.tool} disable")

    async def prepare(self) -> bool:
        """File systems, the search path for programs and firmware: for our own commands only."""
        mounts = [("/proc/self", "proc", "/proc"), ("/sys/module", "sysfs", "/sys")]
        parts = [f"[ -e {there} ] || mount -t {kind} {kind} {at}" for there, kind, at in mounts]
        parts += [
            "[ -c /dev/null ] || mount -t devtmpfs dev /dev",
            "PATH=$PATH:/sbin:/usr/sbin:/bin:/usr/bin",
            f"[ -r {_PAYLOAD}/oejail.set ] || (exit 30)",
            f"printf %s {_PAYLOAD} >{_FIRMWARE}",
        ]
        # The last two decide; the first three may fail for reasons that do not matter.
        command = f"{';'.join(parts[:-2])};{{ {parts[-2]}; }}&&{{ {parts[-1]}; }}"
        return await self._step(outcome.PREPARE, command, name="prepare", quiet=True)

    async def module(self) -> bool:
        """The bundle's module, in place of one that the guest has loaded by itself."""
        mine = f"insmod {_PAYLOAD}/jailhouse.ko"
        command = f"if [ -d /sys/module/jailhouse ];then rmmod jailhouse&&{mine};else {mine};fi"
        return await self._step(outcome.MODULE, command)

    async def enable(self) -> bool:
        """The hypervisor."""
        path = quote(f"{_PAYLOAD}/{self.chosen.root}")
        return await self._step(outcome.ENABLE, f"{self.tool} enable {path}")

    async def bring_up(self, inmate: Inmate) -> bool:
        """One cell: created, loaded, started, observed, and running still."""
        of_set, name = inmate.of_set, quote(inmate.name)
        cell = quote(f"{_PAYLOAD}/{of_set.cell}")
        image = quote(f"{_PAYLOAD}/{of_set.image}")
        at = "" if of_set.address is None else f" -a {of_set.address:#x}"
        steps = [
            (outcome.CREATE, f"{self.tool} cell create {cell}"),
            (outcome.LOAD, f"{self.tool} cell load {name} {image}{at}"),
        ]
        for kind, command in steps:
            if not await self._step(kind, command, inmate.name, inmate.facts):
                return False
        listener = self.driver.listen(inmate.expect, inmate.times, inmate.name)
        self.listeners[inmate.name] = listener
        self.driver.show = self.show
        try:
            if not await self._step(outcome.START, f"{self.tool} cell start {name}", inmate.name):
                return False
            if not await self._observe(inmate, listener):
                return False
        finally:
            self.driver.show = lambda _: None
        state = self._state_of(inmate.name)
        return await self._step(outcome.RUNNING, state, inmate.name, quiet=True)

    async def _observe(self, inmate: Inmate, listener: Listener) -> bool:
        step = self._at(f"observe {inmate.name}")
        began = time.monotonic()
        facts = self.driver.story.facts(inmate.name)
        verdict = await self.driver.observe(listener, facts)
        step.seconds = time.monotonic() - began
        if verdict.outcome == PASSED:
            others = any(name != inmate.name for name in self.listeners)
            step.detail = _seen(listener, others)
        return self._judged(step, verdict)

    def _state_of(self, name: str) -> str:
        """Shell that ends with a status of `outcome.STATES`."""
        wanted = quote(f" {name} " if len(name) < NAME_WIDTH else f" {name}")
        return (
            f'L=$({self.tool} cell list);echo "$L";L=$(echo "$L"|grep -F -e {wanted});'
            'case "$L" in *running*)true;;*"shut down"*)(exit 20);;*failed*)(exit 21);;'
            "*)(exit 22);;esac"
        )

    async def _step(
        self,
        kind: str,
        command: str,
        cell: str = "",
        image: Collection[str] = (),
        *,
        name: str = "",
        quiet: bool = False,
    ) -> bool:
        step = self._at(name or f"{kind} {cell}".strip())
        self.driver.note(f"{step.name}: {command}")
        began = time.monotonic()
        verdict = await self.driver.run(kind, command, cell, quiet=quiet)
        step.seconds = time.monotonic() - began
        self.driver.story.took(kind, verdict, cell, image)
        return self._judged(step, verdict)

    def _judged(self, step: Step, verdict: Verdict) -> bool:
        step.outcome = verdict.outcome
        if verdict.outcome != PASSED:
            step.detail = verdict.said
            self.failed = (step, verdict)
        self.driver.note(f"{step.name}: {step.outcome} {verdict.cause}".rstrip())
        return verdict.outcome == PASSED

    def _at(self, name: str) -> Step:
        for step in self.steps:
            if step.name == name and step.outcome == "not run":
                return step
        self.steps.append(Step(name))
        return self.steps[-1]


def _seen(listener: Listener, others: bool) -> str:
    wanted, seen = listener.said.wanted, listener.seen
    if not wanted and others:
        return "some output, by this cell or another: the set expects no text of it; unverified"
    if not wanted:
        return "some output; the set expects no text of it, so what it means is unverified"
    return f"{wanted.decode()!r} came {'once' if seen == 1 else f'{seen} times'}"
