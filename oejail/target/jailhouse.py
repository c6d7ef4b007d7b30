# SPDX-License-Identifier: MIT
"""A set booted on QEMU: the guest comes up, and the Jailhouse session runs in it."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oejail.checks.finding import Finding
from oejail.errors import TargetFailed, UsageFault
from oejail.files import remove_tree
from oejail.log import logger
from oejail.target import bare, guest, hand, qemu, results, source
from oejail.target.bare import Boot, Show
from oejail.target.causes import CAUSES
from oejail.target.driver import Driver
from oejail.target.outcome import Story, Verdict
from oejail.target.results import FAILED, PASSED, Results, Step, Transcript
from oejail.target.session import Inmate, Run


@dataclass(frozen=True)
class Wishes:
    """What the command line says. `timeout` in seconds, for each answer."""

    expect: str | None = None
    timeout: int = 60
    inmates: Sequence[str] = ()
    kernel: Path | None = None
    initrd: Path | None = None
    append: Sequence[str] = ()
    qemu_args: Sequence[str] = ()
    user: str = "root"
    password: str | None = None
    keep_running: bool = False
    interactive: bool = False


def boot(path: Path, wishes: Wishes, show: Show = lambda _: None) -> Boot:
    """Boot the bundle, or the collection, at `path`, and see its cells run.

    `show` gets the console's lines from a cell's start on. Leaves a run's directory, also when the
    target failed (`Boot.fault`) or on an interruption.

    Raises UsageFault, FindingsError for a bundle that is broken or that cannot work so,
    PrerequisiteMissing without QEMU.
    """
    began, clock = time.time(), time.monotonic()
    bare.check_options(wishes.expect, wishes.timeout)
    if wishes.interactive:
        hand.require_terminal()
    given = source.verified(path)
    inmates = _chosen(given, wishes)
    unfit = given.unfit_of([inmate.of_set.image for inmate in inmates])
    if given.sample or not guest.can_boot(given, wishes.kernel, wishes.initrd):
        # Refused before anything is left behind.
        guest.prepare(given, Path(), kernel=wishes.kernel, initrd=wishes.initrd)
    qemu.require()
    directory = results.new_run(results.runs_directory(), began)
    try:
        machine = guest.prepare(
            given,
            directory,
            kernel=wishes.kernel,
            initrd=wishes.initrd,
            append=wishes.append,
            qemu_args=wishes.qemu_args,
        )
    except BaseException:
        remove_tree(directory)  # nothing ran
        raise
    inmates = [Inmate(i.of_set, i.expect, i.times, machine.facts[i.of_set.image]) for i in inmates]
    logger.debug("boot: %s", shlex.join(machine.argv))
    logger.info("/oejail in the guest is the bundle's payload, whatever the guest has there")
    watch = _Session(machine, given, inmates, wishes, show)
    watch.run.steps[0] = Step("verify", PASSED if unfit is None else FAILED)
    watch.run.steps[0].seconds = time.monotonic() - clock
    report = Results(
        outcome="error",
        cause="",
        hint="",
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        seconds=0.0,
        bundle=given.summary(),
        booted=list(machine.booted),
        expect={},
        console={},
        qemu={"version": "", "command": list(machine.argv)},
        steps=watch.run.steps,
    )
    fault: TargetFailed | None = None
    with results.recorded(report, directory, clock):
        try:
            with Transcript(directory / results.TRANSCRIPT) as transcript:
                if unfit is not None:
                    raise watch.refused(unfit)
                asyncio.run(watch.go(transcript))
            report.outcome, report.cause = PASSED, watch.summary()
        except TargetFailed as error:
            fault = error
            report.outcome, report.cause = watch.outcome, error.message
            report.hint = error.hint or ""
        finally:
            for leftover in machine.scratch:
                remove_tree(leftover)
            report.expect = {"inmates": watch.expectations()}
            report.console = watch.console()
            report.qemu["version"] = watch.version
    return Boot(directory, report, fault)


def _chosen(given: source.Source, wishes: Wishes) -> list[Inmate]:
    found = given.set.inmates
    if wishes.inmates:
        found = tuple(
            bare.choose(given.name, given.set, name) for name in dict.fromkeys(wishes.inmates)
        )
    if not found:
        raise UsageFault(f"{given.name}: the set has no inmate that could be seen running")
    if wishes.expect is not None and len(found) > 1:
        raise UsageFault(
            f"--expect: the set has several inmates ({', '.join(i.name for i in found)})",
            hint="name one with --inmate",
        )
    if wishes.expect is not None:
        return [Inmate(found[0], wishes.expect)]
    return [Inmate(i, i.expect, 2 if i.expect and i.expect_repeat else 1) for i in found]


class _Session:
    """Starts the machine and runs the session in it."""

    def __init__(
        self,
        machine: guest.Guest,
        given: source.Source,
        inmates: Sequence[Inmate],
        wishes: Wishes,
        show: Show,
    ) -> None:
        self.guest = machine
        self.wishes = wishes
        self.version = ""
        self.outcome = ""
        self.driver: Driver | None = None
        self.run = Run(given.set, inmates, bool(given.of_role("tool")), show)
        self.run.steps += [Step("verify"), Step("start"), Step("boot")]
        self.run.plan(wishes.keep_running)

    async def go(self, transcript: Transcript) -> None:
        """Raises TargetFailed, with `outcome` naming the cause."""
        async with qemu.start(self.guest.argv) as machine:
            try:
                await self._go(machine, transcript)
            except qemu.Gone:
                raise await self._died(machine) from None

    async def _go(self, machine: qemu.Machine, transcript: Transcript) -> None:
        _, start, boot = self.run.steps[:3]
        start.outcome, clock = FAILED, time.monotonic()
        try:
            async with asyncio.timeout(qemu.ANSWER):
                await machine.connect()
                self.version = machine.version
                driver = Driver(
                    machine, transcript, self.wishes.timeout, Story(self.guest.root_cpus)
                )
                self.driver = self.run.driver = driver
                await machine.run()
        except TimeoutError:
            raise self._fault(start, Verdict(FAILED, "qemu-timeout")) from None
        start.outcome, start.seconds = PASSED, time.monotonic() - clock
        boot.outcome, clock = FAILED, time.monotonic()
        verdict = await driver.boot(self.wishes.user, self.wishes.password)
        boot.outcome, boot.seconds = verdict.outcome, time.monotonic() - clock
        if verdict.outcome != PASSED:
            boot.detail = verdict.said
            raise self._fault(boot, verdict)
        if await self.run.begin():
            if self.wishes.interactive:
                await hand.over(driver)
            if self.wishes.keep_running or await self.run.end():
                return
        assert self.run.failed is not None
        raise self._fault(*self.run.failed)

    def refused(self, unfit: Finding) -> TargetFailed:
        """Nothing is started: the image cannot run."""
        self.run.steps[0].detail = unfit.line()
        said = f"{unfit.where}: {unfit.message}"
        return self._fault(self.run.steps[0], Verdict(FAILED, unfit.rule, said))

    def _fault(self, step: Step, verdict: Verdict) -> TargetFailed:
        self.outcome = verdict.cause
        tail = [] if self.driver is None else list(self.driver.console.tail)[-10:]
        said = f" ({verdict.said})" if verdict.said else ""
        return TargetFailed(
            f"{verdict.cause}: {step.name}: {verdict.message}{said}",
            hint=verdict.hint,
            details=[f"{line.seconds:10.3f}  {line.text}" for line in tail],
        )

    async def _died(self, machine: qemu.Machine) -> TargetFailed:
        how, said = await machine.last_words()
        cause = "qemu-romfile" if any("romfile" in line for line in said) else "qemu-died"
        for step in self.run.steps:
            if step.outcome in ("not run", FAILED):
                step.outcome, step.detail = FAILED, "\n".join(said)
                break
        self.outcome = cause
        tail = [] if self.driver is None else list(self.driver.console.tail)
        return TargetFailed(
            f"{cause}: {CAUSES[cause][0]}: {how}",
            hint=CAUSES[cause][1] if said else "the transcript shows what the guest did last",
            details=[*said, *(f"{line.seconds:10.3f}  {line.text}" for line in tail)],
        )

    def summary(self) -> str:
        """What was seen."""
        names = ", ".join(inmate.name for inmate in self.run.inmates)
        return f"{names}: seen running"

    def expectations(self) -> list[dict[str, object]]:
        """For results.json."""
        return [
            {
                "inmate": inmate.name,
                "text": inmate.expect,
                "times": inmate.times,
                "seen": heard.seen if (heard := self.run.listeners.get(inmate.name)) else 0,
                "verified": inmate.expect is not None and heard is not None and heard.met,
            }
            for inmate in self.run.inmates
        ]

    def console(self) -> dict[str, object]:
        """For results.json."""
        if self.driver is None:
            return {"bytes": 0, "lines": 0}
        return {"bytes": self.driver.console.bytes, "lines": self.driver.console.lines}
