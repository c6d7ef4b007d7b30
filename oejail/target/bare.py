# SPDX-License-Identifier: MIT
"""The image of one inmate alone on QEMU's virt machine: no hypervisor, no Linux.

What a sample bundle can show, as it has no kernel: that the image runs and prints what the set
expects of it. An image that is linked for its cell's own address shows nothing there.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from oejail.artifacts.model import CollectedSet, SetInmate
from oejail.bundle.manifest import FileEntry
from oejail.checks.finding import Finding
from oejail.errors import TargetFailed, UsageFault
from oejail.files import MIB
from oejail.log import logger
from oejail.target import qemu, results, source
from oejail.target.causes import CAUSES
from oejail.target.console import Console, Line
from oejail.target.results import FAILED, PASSED, Results, Step, Transcript

MAX_IMAGE = 64 * MIB
"""Bytes; the virt machine has 128 MiB of memory unless told otherwise."""

_END_OF_LINE = 0.2  # seconds

Show = Callable[[Line], None]


@dataclass(frozen=True)
class Boot:
    """How it went. `fault` is None when the RTOS was seen running."""

    directory: Path
    results: Results
    fault: TargetFailed | None


def boot_bare(
    bundle: Path,
    *,
    expect: str | None = None,
    timeout: int = 60,
    inmate: str | None = None,
    qemu_args: Sequence[str] = (),
    show: Show = lambda _: None,
) -> Boot:
    """Boot an inmate's image of `bundle` and watch its console until it has said what it should.

    `expect` replaces the set's text and has to come once; `timeout` in seconds; `inmate` is a
    cell's name or file stem, needed where the set has several; `show` gets each line as it comes.
    Leaves a run's directory, also when the target failed (`Boot.fault`) or on an interruption.

    Raises UsageFault, FindingsError for a broken bundle, PrerequisiteMissing without QEMU.
    """
    began = time.time()
    clock = time.monotonic()
    check_options(expect, timeout)
    head = source.verified(bundle)
    chosen = choose(head.name, head.set, inmate)
    entry = head.find(f"payload/{chosen.image}")
    assert entry is not None  # verified: the set names nothing that is not there
    unfit = head.unfit_of([chosen.image])
    if entry.size > MAX_IMAGE:
        raise UsageFault(
            f"{bundle}: {entry.path} has {entry.size} bytes, more than the {MAX_IMAGE} that the "
            "bare machine takes"
        )
    qemu.require()
    verified = time.monotonic() - clock
    directory = results.new_run(results.runs_directory(), began)
    image = directory / Path(entry.path).name
    head.take({entry: image})
    text = chosen.expect if expect is None else expect
    times = 2 if expect is None and text and chosen.expect_repeat else 1
    argv = qemu.bare_command(image, qemu_args)
    logger.debug("boot: %s", shlex.join(argv))
    watch = _Watch(argv, Console(text, times), timeout, show)
    watch.steps[0] = Step("verify", PASSED if unfit is None else FAILED, verified)
    report = _report(watch, began, head, chosen, entry)
    fault: TargetFailed | None = None
    with results.recorded(report, directory, clock):
        try:
            with Transcript(directory / results.TRANSCRIPT) as transcript:
                if unfit is not None:
                    raise watch.refused(unfit)
                asyncio.run(watch.run(transcript))
            report.outcome = PASSED
            report.cause = watch.steps[-1].detail
        except TargetFailed as error:
            fault = error
            report.outcome, report.cause = watch.outcome, error.message
            report.hint = error.hint or ""
        finally:
            report.expect["seen"] = watch.console.seen
            report.console = {"bytes": watch.console.bytes, "lines": watch.console.lines}
            report.qemu["version"] = watch.version
    return Boot(directory, report, fault)


def choose(name: str, chosen: CollectedSet, inmate: str | None) -> SetInmate:
    """The inmate that is named, by its cell's name or file stem, or the only one."""
    found = chosen.inmates
    names = ", ".join(i.name for i in found) or "none"
    if inmate is not None:
        found = tuple(i for i in found if inmate in (i.name, Path(i.cell).stem))
        if not found:
            raise UsageFault(f"--inmate {inmate}: no such inmate; the set has {names}")
    if not found:
        raise UsageFault(f"{name}: the set has no inmate that could be booted")
    if len(found) > 1:
        raise UsageFault(
            f"{name}: the set has several inmates ({names}); one runs alone",
            hint="name it with --inmate",
        )
    return found[0]


def check_options(expect: str | None, timeout: int) -> None:
    """UsageFault for what cannot be waited for."""
    if not 1 <= timeout <= 86_400:
        raise UsageFault(f"--timeout {timeout}: not between 1 and 86400 seconds")
    if expect is not None and not (expect.strip() and expect.isprintable() and len(expect) <= 200):
        raise UsageFault("--expect: not one line of 1 to 200 printable characters")


def _report(
    watch: _Watch,
    began: float,
    head: source.Source,
    chosen: SetInmate,
    entry: FileEntry,
) -> Results:
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began))
    return Results(
        outcome="error",
        cause="",
        hint="",
        started=started,
        seconds=0.0,
        bundle=head.summary(),
        booted=[{"path": entry.path, "sha256": entry.sha256, "size": entry.size}],
        expect={
            "inmate": chosen.name,
            "text": watch.console.wanted.decode() or None,
            "times": watch.console.times,
            "seen": 0,
        },
        console={},
        qemu={"version": "", "command": list(watch.argv)},
        steps=watch.steps,
    )


class _Watch:
    """Starts the machine, lets it run, and waits for what it should say."""

    def __init__(self, argv: Sequence[str], console: Console, timeout: int, show: Show) -> None:
        self.argv = argv
        self.console = console
        self.timeout = timeout
        self.show = show
        self.version = ""
        self.outcome = ""
        self.steps = [Step("verify"), Step("start"), Step("observe")]

    def refused(self, unfit: Finding) -> TargetFailed:
        """Nothing is started: the image cannot run."""
        self.outcome, self.steps[0].detail = unfit.rule, unfit.line()
        message, hint = CAUSES[unfit.rule]
        return TargetFailed(f"{unfit.rule}: {message} ({unfit.where}: {unfit.message})", hint=hint)

    async def run(self, transcript: Transcript) -> None:
        """Raises TargetFailed, with `outcome` naming the kind of failure."""
        async with qemu.start(self.argv) as machine:
            with self._step(1):
                await self._start(machine)
            with self._step(2) as step:
                try:
                    in_time = await self._observe(machine, transcript)
                finally:
                    self._take(transcript, self.console.end())
                if not self.console.met:
                    raise await self._died(machine) if in_time else self._unmet()
                step.detail = self._seen()

    async def _start(self, machine: qemu.Machine) -> None:
        try:
            async with asyncio.timeout(qemu.ANSWER):
                await machine.connect()
                self.version = machine.version
                await machine.run()
        except qemu.Gone:
            raise await self._died(machine) from None
        except TimeoutError:
            self.outcome = "timed-out"
            raise TargetFailed(
                f"timed out: QEMU did not answer within {qemu.ANSWER} s",
                hint="is the machine overloaded, or a --qemu-arg in the way?",
            ) from None

    async def _observe(self, machine: qemu.Machine, transcript: Transcript) -> bool:
        """Read until the text came or QEMU ended; false when the deadline was first."""
        began = time.monotonic()

        async def read(enough: Callable[[], bool]) -> None:
            while not enough() and (data := await machine.read()):
                self._take(transcript, self.console.feed(data, time.monotonic() - began))
                # A flood is always ready to be read: the deadline must have its turn as well.
                await asyncio.sleep(0)

        try:
            # The console's end is QEMU's end: until then the supervisor holds it open.
            async with asyncio.timeout(self.timeout):
                await read(lambda: self.console.met)
        except TimeoutError:
            return False
        with contextlib.suppress(TimeoutError):  # the rest of that line belongs to it
            async with asyncio.timeout(_END_OF_LINE):
                await read(lambda: not self.console.within_line)
        return True

    def _take(self, transcript: Transcript, lines: list[Line]) -> None:
        transcript.add(lines)
        for line in lines:
            self.show(line)

    @contextlib.contextmanager
    def _step(self, number: int) -> Iterator[Step]:
        step = self.steps[number]
        began = time.monotonic()
        step.outcome = FAILED
        try:
            yield step
            step.outcome = PASSED
        except TargetFailed as error:
            step.detail = "\n".join(error.details)
            raise
        finally:
            step.seconds = time.monotonic() - began

    def _seen(self) -> str:
        if not self.console.wanted:
            return "some output; the set expects no text of it, so what it means is unverified"
        count = self.console.seen
        return f"{self.console.wanted.decode()!r} came {count} time{'' if count == 1 else 's'}"

    def _unmet(self) -> TargetFailed:
        tail = [f"{line.seconds:10.3f}  {line.text}" for line in self.console.tail]
        if not self.console.bytes:
            self.outcome = "silent"
            return TargetFailed(
                f"silent: no output within {self.timeout} s",
                hint="is the image linked for its cell's own address, an ELF, or for another UART "
                "than the virt machine's PL011 at 0x9000000?",
            )
        self.outcome = "expectation-not-met"
        wanted = repr(self.console.wanted.decode()) if self.console.wanted else "anything"
        times = f"{self.console.seen} of {self.console.times} times" * (self.console.seen > 0)
        came = f"came {times}" if times else "did not come"
        return TargetFailed(
            f"expectation not met: {wanted} {came} within {self.timeout} s",
            hint="its last lines are below; --expect and --timeout change what is waited for",
            details=tail,
        )

    async def _died(self, machine: qemu.Machine) -> TargetFailed:
        self.outcome = "died"
        how, said = await machine.last_words()
        tail = [f"{line.seconds:10.3f}  {line.text}" for line in self.console.tail]
        if "guest" in how:
            hint = "the image ended the machine itself"
        elif said:
            hint = "its own words are below"
        else:
            hint = "the kernel's log (dmesg) may say who ended it"
        return TargetFailed(
            f"died: QEMU was lost before the expected text came: {how}",
            hint=hint,
            details=[*said, *tail],
        )
