# SPDX-License-Identifier: MIT
"""Recorded consoles played to the session's own parts: steps, their markers, their verdicts.

The recordings (tests/data/transcripts) were made by hand-driven sessions that typed `COMMAND; echo
rc=$?`, or only COMMAND. Header and trailer are stripped; where a status or the next prompt was
recorded, the driver's marker is put, in two halves where the recording tore it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from oejail.target import outcome
from oejail.target.listen import Listener
from oejail.target.marker import ALPHABET, Shell
from oejail.target.outcome import Story, Verdict, judge
from oejail.target.results import NO_ANSWER, PASSED
from oejail.target.signs import Evidence

DATA = Path(__file__).parents[1] / "data"
TRANSCRIPTS = DATA / "transcripts"
_NONCE = 0o123456
_PROMPT = b"/root # "
_TRAILERS = (b"\n--- timings", b"\n--- driver:", b"QEMU: Terminated", b"\x01x")
_FOREIGN = (b"jailhouse cell", b"jailhouse disable", b"use disable", b"kill %", b"(while", b"--- ")

_KINDS = {
    r"(insmod|modprobe)\b": outcome.MODULE,
    r"rmmod\b": outcome.UNLOAD,
    r"jailhouse enable\b": outcome.ENABLE,
    r"jailhouse disable\b": outcome.DISABLE,
    r"jailhouse cell create\b": outcome.CREATE,
    r"(dd .*; )?jailhouse cell load\b": outcome.LOAD,
    r"jailhouse cell start\b": outcome.START,
    r"jailhouse cell shutdown\b": outcome.SHUTDOWN,
    r"jailhouse cell destroy\b": outcome.DESTROY,
}


@dataclass
class Step:
    """An entry of outcomes.yaml. `rc`: the recorded status; None: it was not asked for."""

    run: str = ""
    rc: int | None = None
    outcome: str = PASSED
    cause: str = ""
    said: str = ""
    """Part of the console's line that shows the cause."""
    torn: list[str] = field(default_factory=list)
    """How the recorded status was torn, where it was."""
    observe: str | None = None
    """Instead of `run`: this text is waited for after the start before; empty: any output."""

    @property
    def kind(self) -> str:
        if self.observe is not None:
            return outcome.OBSERVE
        return next((k for r, k in _KINDS.items() if re.match(r, self.run)), outcome.OTHER)

    @property
    def cell(self) -> str:
        match = re.search(r"jailhouse cell \w+ (\S+?)(\.cell)?(;|$| )", self.run)
        name = match[1].rpartition("/")[2] if match else ""
        name = name.removeprefix("qemu-arm64-").removesuffix("-demo")
        return {"inmate": "inmate-demo", "freertos-noload": "noload"}.get(name, name)


@dataclass
class Recording:
    """What outcomes.yaml has of a transcript."""

    name: str
    steps: list[Step]
    root_cpus: int = 4

    @property
    def console(self) -> bytes:
        """The console's bytes, without the command before and the notes behind."""
        data = (TRANSCRIPTS / self.name).read_bytes()
        data = data[data.index(b"\n") :]
        ends = [end for trailer in _TRAILERS if (end := data.find(trailer)) >= 0]
        return data[: min(ends, default=len(data))]


def recordings() -> list[Recording]:
    """Every entry of outcomes.yaml."""
    entries: dict[str, Any] = yaml.safe_load((DATA / "outcomes.yaml").read_text())
    return [
        Recording(name, [Step(**s) for s in entry["steps"]], entry.get("root_cpus", 4))
        for name, entry in entries.items()
    ]


def pieces(recording: Recording) -> Iterator[tuple[Step | None, bytes]]:
    """The console cut at the steps' ends, markers in place; first None with the boot's bytes.

    A step that was never answered comes with all the rest.
    """
    data, shell, at = recording.console, Shell(_NONCE), 0
    runs = [step for step in recording.steps if step.observe is None]
    first = data.find(_PROMPT) if runs[0].run else len(data)
    yield None, data[:first]
    at = first
    for step in runs if runs[0].run else ():
        shell.command("true")
        end, piece = _answered(data, at, step, shell)
        yield step, piece
        at = end
    yield None, data[at:]


def _answered(data: bytes, at: int, step: Step, shell: Shell) -> tuple[int, bytes]:
    if step.outcome == NO_ANSWER:
        return len(data), data[at:]
    marker = answer(shell, step.rc or 0)
    if step.torn:
        before, after = (re.escape(part.encode()) for part in step.torn)
        torn = re.compile(before + rb"(?s:(.{1,400}?))" + after).search(data, at)
        assert torn is not None, step
        half = len(marker) // 2
        return torn.end(), data[at : torn.start()] + marker[:half] + torn[1] + marker[half:]
    if step.rc is not None:
        found = re.compile(rb"rc=%d" % step.rc).search(data, at)
        assert found is not None, step
        return found.end(), data[at : found.start()] + marker
    echo = data.index(step.run[:20].encode(), at)
    end = data.find(_PROMPT, echo)
    end = len(data) if end < 0 else end
    return end, data[at:end] + marker


def answer(shell: Shell, status: int) -> bytes:
    """What a guest's shell would print, by the greeting's own printf."""
    text = re.search(r'printf "(.*?)"', Shell(_NONCE).greeting().decode())
    assert text is not None

    def value(match: re.Match[str]) -> str:
        number = shell.number if match[1] == "n" else status
        return str(number // int(match[2]) % 8)

    escapes = re.sub(r"\$\(\((\w)/(\d+)%8\)\)", value, text[1])
    return bytes(int(code, 8) for code in re.findall(r"\\(0\d\d)", escapes))


def play(
    recording: Recording, chunks: Callable[[bytes], Iterable[bytes]]
) -> list[tuple[Step, Verdict]]:
    """The verdict on each step in turn, the bytes fed in the pieces that `chunks` makes."""
    story, shell = Story(recording.root_cpus), Shell(_NONCE)
    verdicts: list[tuple[Step, Verdict]] = []
    script = list(pieces(recording))
    for number, (step, data) in enumerate(script):
        if step is not None:
            shell.command("true")
        evidence = Evidence()
        for chunk in chunks(data):
            text = shell.feed(chunk)
            evidence.feed(text)
            story.hear(text)
        if step is None:
            if not recording.steps[0].run and number == 0:
                verdict = judge(outcome.BOOT, None, evidence.seen)
                verdicts.append((recording.steps[0], verdict))
            continue
        verdict = judge(step.kind, shell.status, evidence.seen, story.facts(step.cell))
        story.took(step.kind, verdict, step.cell, {"elf"} if ".elf" in step.run else ())
        verdicts.append((step, verdict))
        following = recording.steps[_place(recording.steps, step) + 1 :][:1]
        if following and following[0].observe is not None:
            after = script[number + 1][1]
            ends = [end for foreign in _FOREIGN if (end := after.find(foreign)) >= 0]
            heard = data + after[: min(ends, default=len(after))]
            watched = _observed(
                following[0], heard.translate(None, ALPHABET), chunks, story.facts(step.cell)
            )
            verdicts.append((following[0], watched))
    return verdicts


def _place(steps: list[Step], step: Step) -> int:
    return next(number for number, other in enumerate(steps) if other is step)


def _observed(
    step: Step, data: bytes, chunks: Callable[[bytes], Iterable[bytes]], facts: set[str]
) -> Verdict:
    listener, evidence = Listener(step.observe or None), Evidence()
    for chunk in chunks(data):
        listener.feed(chunk)
        evidence.feed(chunk)
    facts |= {"silent"} if listener.silent else set()
    return judge(outcome.OBSERVE, 0 if listener.met else None, evidence.seen, facts)
