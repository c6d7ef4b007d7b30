# SPDX-License-Identifier: MIT
"""Starting what was deployed, over ssh, with the results that `boot` leaves.

The steps are those of `boot`, one connection runs them all by the board's own oejail-start, which
is what starts them at each boot, and `outcome.judge` names the causes. The board's UART is not seen
from here. What is: each step's exit status and words, the kernel's log, `jailhouse cell list`, and
the hypervisor's console where the root has a virtual one. What a cell prints is in that one or on
the UART: where it is not seen, the step `observe` is left out, and said to be.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oejail.artifacts.model import CollectedSet, SetInmate
from oejail.checks.finding import Finding
from oejail.errors import Interrupted, TargetFailed
from oejail.log import logger
from oejail.target import outcome, results
from oejail.target.causes import CAUSES
from oejail.target.console import Line
from oejail.target.deploy import Verified
from oejail.target.outcome import Story, judge
from oejail.target.results import FAILED, PASSED, Results, Step, Transcript
from oejail.target.session import NAME_WIDTH
from oejail.target.signs import Evidence
from oejail.target.ssh import Remote
from oejail.text import printable

SCRIPT = Path(__file__).with_name("start.sh")
WATCH = 2
"""Seconds that the cells are left alone before they are looked at."""
_JAILHOUSE = "/opt/oejail/current/bin/jailhouse"
_PREFIX = "oejail:"
_MAX_LINES = 5_000
_LONGEST = 86_400  # seconds; each step has its own
_LOG = 10  # seconds that a board has for its kernel's log, when a step did not answer
_STEP = re.compile(r"oejail-start: (insmod|\S*jailhouse (?:cell )?(\w+)) ?")
_STATUS = re.compile(r"oejail-start: status ([0-9]{1,3})")
_STATES = {"running": 0, "shut down": 20, "failed": 21}


@dataclass(frozen=True)
class Started:
    """How it went. `fault` is None when every cell runs."""

    directory: Path
    results: Results
    fault: TargetFailed | None


def start(
    remote: Remote, bundle: Verified, findings: Iterable[Finding] = (), *, timeout: int = 60
) -> Started:
    """Start what is current on the board and see whether its cells run.

    `findings` are the preflight's: what was waived is recorded. `timeout` in seconds, for each
    step. Leaves a run's directory, whatever comes of it.
    """
    began, clock = time.time(), time.monotonic()
    logger.info("%s: starting", remote.name)
    chosen = bundle.head.set
    steps = [Step(name) for name in _names(chosen)]
    directory = results.new_run(results.runs_directory(), began)
    report = Results(
        outcome="error",
        cause="",
        hint="",
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        seconds=0.0,
        bundle={
            "path": str(bundle.path.resolve()),
            "name": bundle.head.name,
            "release": bundle.head.release,
            "digest": bundle.digest,
            "sample": bundle.head.sample,
            "board": remote.name,
            "waived": {finding.rule: finding.waived for finding in findings if finding.waived},
        },
        booted=[
            {"path": e.path, "sha256": e.sha256, "size": e.size}
            for e in bundle.head.files
            if e.path.startswith("payload/")
        ],
        expect={},
        console={},
        qemu={},
        steps=steps,
    )
    heard = _Heard(steps, clock)
    fault: TargetFailed | None = None
    with results.recorded(report, directory, clock):
        try:
            with Transcript(directory / results.TRANSCRIPT) as transcript:

                def take(line: str) -> None:
                    heard.take(line)
                    transcript.add([Line(time.monotonic() - clock, printable(line))])

                lost = _run(remote, take, [str(WATCH)], lambda: heard.hurry(timeout))
                if lost is not None and heard.open:
                    began = time.monotonic()
                    gone = _run(remote, take, ["log", heard.before], lambda: _hurry(began, _LOG))
                    heard.cut = gone is None and not isinstance(lost, _Late)
            fault = heard.judge(chosen, lost)
            report.outcome = PASSED if fault is None else heard.cause
            report.cause = heard.summary(chosen) if fault is None else fault.message
            report.hint = "" if fault is None else fault.hint or ""
        except (Interrupted, KeyboardInterrupt):
            report.outcome = "interrupted"
            report.cause = f"interrupted: what was started on {remote.name} runs on"
            report.hint = f"{_JAILHOUSE} disable on the board comes before the next --start"
            raise Interrupted(report.cause, hint=report.hint) from None
        finally:
            report.expect = {"inmates": heard.expectations(chosen)}
            report.console = {"lines": heard.count}
    return Started(directory, report, fault)


def _run(
    remote: Remote,
    take: Callable[[str], None],
    arguments: Sequence[str],
    tick: Callable[[], None],
) -> TargetFailed | None:
    """Run the script; what went wrong with the connection."""
    try:
        remote.run(
            SCRIPT.read_text(),
            arguments,
            name="oejail-session",
            doing="while starting",
            timeout=_LONGEST,
            reader=take,
            tick=tick,
        )
    except TargetFailed as error:
        return error
    return None


class _Late(TargetFailed):
    """A step has had its time."""


def _hurry(since: float, timeout: float) -> None:
    if time.monotonic() - since > timeout:
        raise _Late(f"no answer within {timeout:g} s")


def _names(chosen: CollectedSet) -> list[str]:
    names = [outcome.MODULE, outcome.ENABLE]
    for inmate in chosen.inmates:
        kinds = (outcome.CREATE, outcome.LOAD, outcome.START)
        names += [f"{kind} {inmate.name}" for kind in kinds]
    for inmate in chosen.inmates:
        names += [f"{kind} {inmate.name}" for kind in (outcome.OBSERVE, outcome.RUNNING)]
    return names


class _Heard:
    """What the board said, as it comes."""

    def __init__(self, steps: Sequence[Step], clock: float) -> None:
        self.steps = steps
        self.count = 0
        self.cause = ""
        self.before = "0"
        """Lines that the kernel's log had."""
        self.cut = False
        """The connection was lost, and the board lives on: what it did then is not known."""
        self._at = -1
        self._began = clock
        self._status: int | None = None
        self._whole = False
        self._list: list[str] = []
        self._console: list[str] = []
        self._evidence = Evidence()
        self._story = Story()

    @property
    def open(self) -> bool:
        """A step began and has not ended."""
        return self._at >= 0 and self._status is None

    def hurry(self, timeout: float) -> None:
        """Raise TargetFailed when the step that runs has had its time."""
        _hurry(self._began, timeout)

    def take(self, line: str) -> None:
        """A line of the board's."""
        self.count += 1
        if not line.startswith(_PREFIX) or self.count > _MAX_LINES:
            return
        what, _, text = line.removeprefix(_PREFIX).partition(" ")
        if what == "end":
            self._whole = True
        elif what == "before" and text.isascii() and text.isdigit():
            self.before = text[:9]
        elif what == "boot":
            self._story.hear(text.encode())
        elif what == "list":
            self._list.append(text)
        elif what in ("out", "log", "console"):
            if what == "console":
                self._console.append(text)
            self._out(text) if what == "out" else None
            self._evidence.feed(text.encode() + b"\n")

    def _out(self, text: str) -> None:
        if status := _STATUS.fullmatch(text):
            self._status = int(status[1])
            if self._at >= 0:
                self._close(PASSED if self._status == 0 else FAILED)
            # What follows is no step, and the cells are left alone meanwhile.
            self._began = time.monotonic() + WATCH
        elif begun := _STEP.match(text):
            kind = outcome.MODULE if begun[1] == "insmod" else begun[2]
            for number in range(self._at + 1, len(self.steps)):
                if self.steps[number].name.split()[0] == kind:
                    if self._at >= 0:
                        self._close(PASSED)
                    self._at, self._began = number, time.monotonic()
                    break
        elif self._at >= 0:
            step = self.steps[self._at]
            step.detail = "\n".join([*step.detail.splitlines()[-10:], printable(text, 500)])

    def _close(self, how: str) -> None:
        step = self.steps[self._at]
        step.outcome, step.seconds = how, time.monotonic() - self._began

    def judge(self, chosen: CollectedSet, lost: TargetFailed | None) -> TargetFailed | None:
        """The fault, with the step that had it; None when every cell runs."""
        if self._status is None:
            return self._fault(self._at, None, lost)
        if self._status != 0:
            return self._fault(self._at, self._status, lost)
        if not self._whole:
            self.cause = "no-answer"
            return lost or TargetFailed("no-answer: the board's answer is not whole")
        for inmate in chosen.inmates:
            step = self.steps[self._number(f"{outcome.OBSERVE} {inmate.name}")]
            if self._seen(inmate):
                step.outcome, step.detail = PASSED, f"{inmate.expect!r} came"
            else:
                step.detail = "what it prints is on the board's UART, not seen over ssh"
        # A fault in the hypervisor's console is that of a cell which does not run.
        for inmate in sorted(chosen.inmates, key=lambda inmate: self._state(inmate) == 0):
            number = self._number(f"{outcome.RUNNING} {inmate.name}")
            if fault := self._fault(number, self._state(inmate), lost):
                return fault
        return None

    def _number(self, name: str) -> int:
        return next(n for n, step in enumerate(self.steps) if step.name == name)

    def _state(self, inmate: SetInmate) -> int:
        """What `cell list` says of the cell, as a status of `outcome.STATES`."""
        # A name that fills its column meets the state with no blank between.
        between = r"\s+" if len(inmate.name) < NAME_WIDTH else r"\s*"
        pattern = re.compile(
            rf"\d+\s+{re.escape(inmate.name)}{between}(running/locked|[a-z ]+?)\s*(\d.*)?"
        )
        for line in self._list:
            if match := pattern.fullmatch(line.strip()):
                return _STATES.get(match[1].partition("/")[0], 21)
        return 22

    def _fault(
        self, number: int, status: int | None, lost: TargetFailed | None
    ) -> TargetFailed | None:
        step = self.steps[max(number, 0)]
        kind = step.name.split()[0]
        facts = {"el1"} if self._story.el1 else set()
        verdict = judge(kind, status, self._evidence.seen, facts)
        step.outcome = verdict.outcome
        if verdict.outcome == PASSED:
            return None
        if self.cut and not verdict.said and lost is not None:
            self.cause = "no-answer"
            return TargetFailed(
                f"no-answer: {step.name}: {lost.message}",
                hint=f"{_JAILHOUSE} cell list on the board says what came of it",
                details=lost.details,
            )
        self.cause = verdict.cause
        message, hint = CAUSES[verdict.cause]
        said = f" ({verdict.said})" if verdict.said else ""
        details = step.detail.splitlines()
        if lost is not None:
            details.append(lost.message)
        return TargetFailed(
            f"{verdict.cause}: {step.name}: {message}{said}", hint=hint, details=details
        )

    def _seen(self, inmate: SetInmate) -> int:
        if not inmate.expect:
            return 0
        return sum(line.count(inmate.expect) for line in self._console)

    def expectations(self, chosen: CollectedSet) -> list[dict[str, object]]:
        """For results.json, as `boot` has it; what was not seen is unverified."""
        return [
            {
                "inmate": inmate.name,
                "text": inmate.expect,
                "times": 1,
                "seen": self._seen(inmate),
                "verified": self._seen(inmate) > 0,
            }
            for inmate in chosen.inmates
        ]

    def summary(self, chosen: CollectedSet) -> str:
        """What was seen, and what was not."""
        unseen = [i.name for i in chosen.inmates if not self._seen(i)]
        text = f"{', '.join(i.name for i in chosen.inmates) or 'the root cell'}: running"
        if unseen:
            text += "; what they print is on the board's UART, which is not seen over ssh"
        return text
