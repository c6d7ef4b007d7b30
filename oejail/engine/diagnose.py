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
from oejail.log import redact

MAX_LINES = 12
_MAX_WIDTH = 300
_MAX_HEAD = 160
_MAX_SEARCHED = 2000
_TAIL = 500
_MAX_LOG = 64 << 20
_MAX_SHOWN = 5

_TELL = (
    *("killed", "disk-full", "noexec", "fetch", "no-network", "checksum", "license-checksum"),
    *("overlap", "qa"),
)
"""Causes whose own words say more than the first line of the error."""

ASKED = "oejail: its configuration, parsed once more"
"""The line that build.bash and container.bash put before what configuration.py says."""

LOG_NAME = re.compile(r"log\.do_[A-Za-z0-9_-]+(?:\.\d+)?")

_ERROR = re.compile(
    r"(?:^|[\s:\].])(?:fatal |internal compiler )?error(?: [\w-]+)?: "  # gcc, clang, ld, as, rustc
    r"|undefined reference to|undefined symbol"
    r"|^(?:CRITICAL|FATAL|fatal|E): |^CMake Error|^Exception: |^\w+Error: "
    r"|\*\*\* .*(?:Error \d|Stop\.)"
    r"|No space left on device|Killed\b|command not found|: not found$|Permission denied"
    r"|QA Issue: |Checksum mismatch|Fetcher failure",
    re.IGNORECASE,
)
# BitBake says of every failed task that it failed: true, and no help.
_NOISE = re.compile(
    # The fourth is oebuild's remark.
    r"^(?:DEBUG: |NOTE: |oejail: |.*nativesdk (?:init|not |sysroot|dir)"
    r"|Log data follows|Summary: |WARNING: (?:exit code|.*/run\.do_\w+)"
    r"|ERROR: Parsing halted due to errors"
    r"|ERROR: (?:Execution of '.*/run\.|Error executing a python function"
    r"|Logfile of failure stored|Task \(.*\) failed with exit code)"
    r"|ERROR: \S+ do_\w+: (?:Execution of|ExecutionError\(|Error executing a python function)"
    r"|The stack trace of python calls|File: '.*', lineno: | (?: {4}|\*{3} )\d{4}:|\s*$)"
)
_SUMMARY = re.compile(r"^NOTE: Tasks Summary: .{0,200}\band (\d+) failed")
# What BitBake prints without an end of line before an error comes in between.
_UNFINISHED = re.compile(r"^(?:Loading cache|Parsing recipes|Initialising tasks)\.\.\.(?=\w+: )")


def diagnose(
    track: Track, output: Sequence[str], ending: str, *, owner: int, log: Path
) -> tuple[Failure, ...]:
    """Why the build that `track` and `output` (BitBake's lines) are of has failed.

    `ending` says how oebuild ended, `owner` is the user id that BitBake ran as: a log that belongs
    to another is not read. At least one failure is returned.
    """
    if track.failures:
        return tuple(_task(failure, output, owner) for failure in track.failures)
    lines, rest = scan(_configuration(output))
    known = [_no_provider(event.item, event.reasons) for event in track.no_providers]
    found = _cause([*known, *lines], rest)
    if found is None:
        found = _unexplained(track, output, ending)
    hint = found.hint
    matches = [match for event in track.no_providers for match in event.close_matches]
    if matches and found.id == "no-provider":
        hint = f"did you mean {', '.join(matches[:3])}?"
    return (Failure("", "", "", str(log), lines, found.text, hint, found.id),)


def _cause(lines: Sequence[str], rest: Sequence[str]) -> causes.Found | None:
    """What the error says, else what the lines around it say; there a warning is no cause."""
    return causes.find("\n".join(lines)) or causes.find(
        "\n".join(line for line in rest if not line.startswith("WARNING: "))
    )


def _configuration(output: Sequence[str]) -> Sequence[str]:
    """Of `output` what configuration.py found, which is complete; all of it when that is nothing.

    Of what its server says of a broken configuration BitBake's front end may lose any part.
    """
    if ASKED in output:
        asked = output[output.index(ASKED) + 1 :]
        if any(line.startswith("ERROR: ") for line in asked):
            return asked
    return output


def _no_provider(item: str, reasons: Sequence[str]) -> str:
    return "\n".join([f"Nothing PROVIDES '{item}'", *reasons])


def _unexplained(track: Track, output: Sequence[str], ending: str) -> causes.Found:
    if track.seen == 0:
        return causes.Found(
            "no-events",
            f"BitBake ended without a word to oejail ({ending}): it did not start, or its"
            " configuration lacks the layer meta-oejail",
            "oejail generate, oejail layers show",
        )
    summaries = [match for line in output if (match := _SUMMARY.search(line))]
    if summaries:  # a worker that did not start: no event says so
        return causes.Found(
            "",
            f"tasks failed without an event: {summaries[-1][1]} ({ending})",
            "oejail logs shows all",
        )
    if track.succeeded:
        return causes.Found(
            "errors-logged",
            f"BitBake built what was asked for, but logged an error ({ending})",
            "mend what it names, or see why it is no error",
        )
    if track.build is None:
        return causes.Found(
            "no-end", f"BitBake ended before it had built ({ending})", "oejail logs shows all"
        )
    return causes.Found("", f"the build did not succeed ({ending})", "oejail logs shows all")


def _task(failure: TaskFailure, output: Sequence[str], owner: int) -> Failure:
    where = [failure.recipe, failure.task] if failure.recipe else []
    show = f"oejail logs {shlex.join(where)} shows the whole log"
    lines, rest = scan(read_log(Path(failure.logfile), owner) if failure.logfile else ())
    # How a task's shell ended stands in BitBake's output only.
    said = [line[:_MAX_SEARCHED] for line in output if f" {failure.task}: Exec" in line]
    if failure.exitcode in (-9, 137):
        said.append("died of SIGKILL")
    found = _cause(lines, [*rest, *said])
    if found is None and failure.logfile and _full(Path(failure.logfile).parent):
        found = causes.find("No space left on device")  # in which its log had no place either
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


def _full(directory: Path) -> bool:
    """Whether the file system of a directory has no block left for a file."""
    try:
        return os.statvfs(directory).f_bavail == 0
    except (OSError, ValueError):
        return False


def read_log(path: Path, owner: int) -> Iterator[str]:
    """The lines of a task's log, the last 64 MiB of it; none when it is not to be trusted.

    The path comes from an event: only a regular file of that name pattern is read, and only one
    of the user who builds, so that as root nobody else's file can be shown.
    """
    if not LOG_NAME.fullmatch(path.name):
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode) or info.st_uid != owner:
        os.close(descriptor)
        return
    with os.fdopen(descriptor, "rb") as stream:
        left = _MAX_LOG
        if info.st_size > _MAX_LOG:  # the error is more often at the end
            stream.seek(info.st_size - _MAX_LOG)
        while left > 0 and (raw := stream.readline(65536)):
            left -= len(raw)
            yield raw.decode("utf-8", "replace").rstrip("\r\n")


def scan(lines: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The first error with what follows it (else the last lines), and the last lines of all.

    Of the first at most MAX_LINES, to be shown; of the second some hundreds, to be searched.
    BitBake's own frame (that a task failed, where its log lies, tracebacks) is left out.
    """
    found: list[str] = []
    last: deque[str] = deque(maxlen=_TAIL)
    traceback = False
    for line in lines:
        line = line[:_MAX_SEARCHED].removeprefix("| ")  # a task's log, repeated in the output
        if line.startswith("Traceback (most recent call last)"):
            traceback = True
            continue
        traceback = traceback and line.startswith(" ")
        if traceback or _NOISE.search(line):
            continue
        line = _UNFINISHED.sub("", line)
        last.append(line)
        # OE-core's checks warn in the same words in which they fail, and fetchers of a mirror.
        begins = not line.startswith("WARNING: ") and _ERROR.search(line)
        if len(found) < MAX_LINES and (found or begins):
            found.append(line)
    shown = found or list(last)[-3:]
    told = tuple(printable(redact(line.rstrip()), _MAX_WIDTH) for line in shown)
    return told, tuple(last)


def silent(track: Track, output: Sequence[str]) -> bool:
    """True when neither an event nor a line of the output says why BitBake failed."""
    lines, rest = scan(output)
    said = any(_ERROR.search(line) for line in lines) or causes.find("\n".join(rest)) is not None
    return track.seen == 0 and not said


def error(failures: Sequence[Failure]) -> BuildFailed:
    """The exception that tells the user of `failures` (at least one).

    Its line gives a task's error in the words of the program that found it, and the cause where
    the build as a whole failed; the rest is in the details.
    """
    first = failures[0]
    what = f"{first.recipe}: {first.task}" if first.recipe else "build"
    said = first.cause
    details = list(first.lines)
    if first.recipe:
        words = next((line for line in first.lines if _ERROR.search(line)), first.cause)
        words = words.removeprefix("ERROR: ").removeprefix("Exception: ").strip(" :")
        if first.id not in _TELL and len(words) <= _MAX_HEAD:
            said = words
        details.append(f"probable cause: {first.cause}")
    if first.id:
        details.append(f"oejail explain {first.id} says more")
    if first.logfile:
        details.append(f"log: {first.logfile}")
    more = failures[1:]
    details += [f"also failed: {f.recipe}: {f.task}: {f.cause}" for f in more[:_MAX_SHOWN]]
    if len(more) > _MAX_SHOWN:
        details.append(f"and {len(more) - _MAX_SHOWN} more")
    return BuildFailed(f"{what} failed: {said}", hint=first.hint, details=details)
