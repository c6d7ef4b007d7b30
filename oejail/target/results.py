# SPDX-License-Identifier: MIT
"""What a run leaves: a directory with transcript, results.json and junit.xml."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from oejail.errors import Interrupted, UsageFault
from oejail.files import (
    MIB,
    atomic_write,
    canonical_json,
    make_directory,
    naming,
    owner_to_keep,
    remove_tree,
)
from oejail.target.console import Line
from oejail.text import harmless

SCHEMA = 1
"""Of results.json."""
KEEP_RUNS = 50
MAX_TRANSCRIPT = 16 * MIB
"""Bytes from a transcript's beginning that are kept; beyond that, its last lines."""

_STAMPED = "[0-9]*T[0-9]*Z*"

TRANSCRIPT, RESULTS, JUNIT = "transcript.txt", "results.json", "junit.xml"

PASSED, FAILED, NO_ANSWER, NOT_RUN = "passed", "failed", "no answer", "not run"


@dataclass
class Step:
    """One step: passed, failed, without an answer, or never reached."""

    name: str
    outcome: str = NOT_RUN
    seconds: float = 0.0
    detail: str = ""


@dataclass
class Results:
    """results.json without its schema version. `outcome` is passed, interrupted, or the name of
    what failed; times in seconds; digests are SHA-256 in hex."""

    outcome: str
    cause: str
    hint: str
    started: str
    """UTC, ISO 8601."""
    seconds: float
    bundle: dict[str, Any]
    booted: list[dict[str, Any]]
    """path, sha256 and size of each file that the machine was given."""
    expect: dict[str, Any]
    console: dict[str, Any]
    qemu: dict[str, Any]
    steps: list[Step] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; times to the millisecond."""
        view = {"schema_version": SCHEMA, **asdict(self)}
        view["seconds"] = round(self.seconds, 3)
        for step in view["steps"]:
            step["seconds"] = round(step["seconds"], 3)
        return view


def runs_directory() -> Path:
    """`.oejail/runs` of the project around the current directory, else `oejail-runs` in it."""
    from oejail.project import find

    try:
        return find() / ".oejail" / "runs"
    except UsageFault:
        return Path.cwd() / "oejail-runs"


def new_run(base: Path, now: float) -> Path:
    """A new directory `base/<UTC stamp>`, with `-2` and so on for another of the same second.

    In a project the oldest beyond KEEP_RUNS are removed; elsewhere they are the user's.
    """
    make_directory(base)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    number = 1
    while True:
        path = base / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            path.mkdir()
            break
        except FileExistsError:
            number += 1
    owner = owner_to_keep(base)
    if owner is not None:
        os.chown(path, *owner, follow_symlinks=False)
    if base.parent.name == ".oejail":
        for old in sorted(base.glob(_STAMPED), key=_age)[:-KEEP_RUNS]:
            with contextlib.suppress(OSError):  # another oejail removes it as well
                remove_tree(old)
    return path


def _age(run: Path) -> tuple[str, int]:
    stamp, _, number = run.name.partition("-")
    return stamp, int(number) if number.isdecimal() else 1


class Transcript:
    """The console's lines with their times, in a file that grows while the machine runs.

    Of more than MAX_TRANSCRIPT bytes the last lines are added at the end, after one that says how
    many are left out. Use as a context manager.
    """

    def __init__(self, path: Path, limit: int = MAX_TRANSCRIPT) -> None:
        self.path = path
        self._room = limit
        self._left_out = 0
        self._last: deque[bytes] = deque(maxlen=200)
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Transcript:
        owner = owner_to_keep(self.path)
        self._stream = self.path.open("xb", buffering=0)
        if owner is not None:
            os.fchown(self._stream.fileno(), *owner)
        return self

    def add(self, lines: Iterable[Line]) -> None:
        """Write lines, as long as there is room."""
        raw = [f"{line.seconds:10.3f}  {line.text}\n".encode() for line in lines]
        size = sum(map(len, raw))
        if self._left_out or size > self._room:
            self._left_out += len(raw)
            self._last.extend(raw)
        elif raw:
            self._room -= size
            self._write(b"".join(raw))

    def __exit__(self, *_: object) -> None:
        assert self._stream is not None
        with self._stream:
            hidden = self._left_out - len(self._last)
            if hidden:
                self._write(f"            … {hidden} lines are left out here …\n".encode())
            self._write(b"".join(self._last))

    def _write(self, data: bytes) -> None:
        assert self._stream is not None
        with naming(self.path):
            while data:
                data = data[self._stream.write(data) or 0 :]


@contextlib.contextmanager
def recorded(report: Results, directory: Path, clock: float) -> Iterator[None]:
    """Write `report` at the end of the block, which boots or starts, however that ends.

    `clock` is when the run began, by time.monotonic. Ctrl-C is raised as Interrupted.
    """
    try:
        yield
    except KeyboardInterrupt:
        report.outcome = "interrupted"
        report.cause = "interrupted: QEMU was stopped"
        raise Interrupted(report.cause, hint="run the same command again") from None
    except OSError as error:  # a full disk, or a reader of stdout that has gone
        report.cause = str(error)
        raise
    finally:
        report.seconds = time.monotonic() - clock
        write(report, directory)


def write(results: Results, directory: Path) -> None:
    """results.json and junit.xml into `directory`."""
    atomic_write(directory / RESULTS, canonical_json(results.to_dict()))
    atomic_write(directory / JUNIT, junit(results))


def junit(results: Results) -> bytes:
    """A JUnit report: one test case a step; one that was never reached is skipped.

    A run that did not pass has a failure, also where it ended between two steps. Characters that
    XML cannot hold are escaped.
    """
    from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

    blamed = [step for step in results.steps if step.outcome in (FAILED, NO_ANSWER)]
    if results.outcome != PASSED and not blamed:
        blamed = [step for step in results.steps if step.outcome == NOT_RUN][:1]
        blamed = blamed or results.steps[-1:]
    suite = TestSuite(f"boot {results.bundle.get('name', '')}".strip())
    for step in results.steps:
        case = TestCase(step.name, classname="oejail.boot", time=round(step.seconds, 3))
        if any(step is one for one in blamed):
            failure = Failure(harmless(results.cause), results.outcome)
            failure.text = harmless("\n".join(part for part in (step.detail, results.hint) if part))
            case.result = [failure]
        elif step.outcome == NOT_RUN:
            case.result = [Skipped(harmless(step.detail) or "never reached")]
        elif step.detail:
            case.system_out = harmless(step.detail)
        suite.add_testcase(case)
    document = JUnitXml()
    document.add_testsuite(suite)
    out = io.BytesIO()
    document.write(out, pretty=True)
    return out.getvalue()
