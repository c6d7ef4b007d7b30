# SPDX-License-Identifier: MIT
"""From a failed build to its first real error, a probable cause and the next command."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from oejail.engine import causes
from oejail.engine.model import Failure
from oejail.engine.text import printable
from oejail.engine.track import TaskFailure, Track
from oejail.errors import BuildFailed

MAX_LINES = 12
_MAX_WIDTH = 300
_MAX_SEARCHED = 2000
_MAX_LOG = 64 << 20
_MAX_SHOWN = 5

LOG_NAME = re.compile(r"log\.do_[A-Za-z0-9_-]+(?:\.\d+)?")

_ERROR = re.compile(
    r"(?:^|[\s:\]])(?:fatal |internal compiler )?error(?: [\w-]+)?: "  # gcc, clang, ld, as, rustc
    r"|undefined reference to|undefined symbol"
    r"|^(?:CRITICAL|FATAL|fatal|E): |^CMake Error|^Exception: |^\w+Error: "
    r"|\*\*\* .*(?:Error \d|Stop\.)"
    r"|No space left on device|Killed\b|command not found|: not found$|Permission denied"
    r"|QA Issue: |Checksum mismatch|Fetcher failure",
    re.IGNORECASE,
)
# BitBake says of every failed task that it failed: true, and no help.
_NOISE = re.compile(
    r"^(?:DEBUG: |NOTE: |Log data follows|Summary: |WARNING: (?:exit code|.*/run\.do_\w+)"
    r"|ERROR: (?:Execution of '.*/run\.|Error executing a python function"
    r"|Logfile of failure stored|Task \(.*\) failed with exit code)"
    r"|ERROR: \S+ do_\w+: (?:Execution of|ExecutionError\(|Error executing a python function)"
    r"|The stack trace of python calls|File: '.*', lineno: |\s*$)"
)


def diagnose(
    track: Track, output: Sequence[str], ending: str, *, owner: int, log: Path
) -> tuple[Failure, ...]:
    """Why the build that `track` and `output` (BitBake's lines) are of has failed.

    `ending` says how oebuild ended, `owner` is the user id that BitBake ran as: a log that belongs
    to another is not read. At least one failure is returned.
    """
    if track.failures:
        return tuple(_task(failure, owner) for failure in track.failures)
    lines = tuple(first_errors(output))
    known = [_no_provider(event.item, event.reasons) for event in track.no_providers]
    found = causes.find("\n".join([*known, *lines])) or causes.find(
        "\n".join(line[:_MAX_SEARCHED] for line in output if not line.startswith("NOTE: "))
    )
    if found is None:
        found = _unexplained(track, ending)
    if not lines:
        lines = tuple(printable(line, _MAX_WIDTH) for line in output if line.strip())[-3:]
    hint = found.hint
    matches = [match for event in track.no_providers for match in event.close_matches]
    if matches and found.id == "no-provider":
        hint = f"did you mean {', '.join(matches[:3])}?"
    return (Failure("", "", "", str(log), lines, found.text, hint, found.id),)


def _no_provider(item: str, reasons: Sequence[str]) -> str:
    return "\n".join([f"Nothing PROVIDES '{item}'", *reasons])


def _unexplained(track: Track, ending: str) -> causes.Found:
    if track.seen == 0:
        return causes.Found(
            "no-events",
            f"BitBake ended without a word to oejail ({ending}): it did not start, or its"
            " configuration lacks the layer meta-oejail",
            "oejail generate, oejail layers show",
        )
    if track.build is None:
        return causes.Found(
            "no-end", f"BitBake ended before it had built ({ending})", "oejail logs shows all"
        )
    return causes.Found("", f"the build did not succeed ({ending})", "oejail logs shows all")


def _task(failure: TaskFailure, owner: int) -> Failure:
    where = [failure.recipe, failure.task] if failure.recipe else []
    show = f"oejail logs {shlex.join(where)} shows the whole log"
    lines: tuple[str, ...] = ()
    if failure.logfile:
        lines = tuple(first_errors(read_log(Path(failure.logfile), owner)))
    text = "\n".join(lines)
    if failure.exitcode in (-9, 137):
        text = f"Killed\n{text}"
    found = causes.find(text)
    if found is None:
        status = "" if failure.exitcode is None else f" with exit status {failure.exitcode}"
        found = causes.Found("", f"{failure.task} ended{status}", show)
    else:
        found = causes.Found(found.id, found.text, f"{found.hint}; {show}")
    return Failure(
        failure.recipe,
        failure.task,
        failure.file,
        failure.logfile,
        lines,
        found.text,
        found.hint,
        found.id,
    )


def read_log(path: Path, owner: int) -> Iterator[str]:
    """The lines of a task's log, the first 64 MiB of it; none when it is not to be trusted.

    The path comes from an event: only a regular file of that name pattern is read, and only one
    of the user who builds, so that as root nobody else's file can be shown.
    """
    if not LOG_NAME.fullmatch(path.name):
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return
    with os.fdopen(descriptor, "rb") as stream:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != owner:
            return
        left = _MAX_LOG
        while left > 0 and (raw := stream.readline(65536)):
            left -= len(raw)
            yield raw.decode("utf-8", "replace").rstrip("\r\n")


def first_errors(lines: Iterable[str]) -> list[str]:
    """The first error with what follows it, else the last lines; at most MAX_LINES.

    BitBake's own frame (that a task failed, where its log lies) is left out.
    """
    found: list[str] = []
    last: deque[str] = deque(maxlen=MAX_LINES)
    for line in lines:
        line = line.removeprefix("| ")  # a task's log, repeated in BitBake's output
        if _NOISE.search(line):
            continue
        line = printable(line.rstrip(), _MAX_WIDTH)
        if found or _ERROR.search(line):
            found.append(line)
            if len(found) == MAX_LINES:
                break
        else:
            last.append(line)
    return found or list(last)[-3:]


def error(failures: Sequence[Failure]) -> BuildFailed:
    """The exception that tells the user of `failures` (at least one)."""
    first = failures[0]
    said = next((line for line in first.lines if _ERROR.search(line)), "")
    said = said.removeprefix("ERROR: ") or first.cause
    what = f"{first.recipe}: {first.task}" if first.recipe else "build"
    details = list(first.lines)
    details.append(f"probable cause: {first.cause}")
    if first.logfile:
        details.append(f"log: {first.logfile}")
    more = failures[1:]
    details += [f"also failed: {f.recipe}: {f.task}: {f.cause}" for f in more[:_MAX_SHOWN]]
    if len(more) > _MAX_SHOWN:
        details.append(f"and {len(more) - _MAX_SHOWN} more")
    return BuildFailed(f"{what} failed: {said}", hint=first.hint, details=details)
