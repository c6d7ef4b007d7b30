# SPDX-License-Identifier: MIT
"""The one place that runs oebuild, always as a subprocess.

Imported as a library it would add a root log handler, call sys.exit and depend on the current
directory. Its exit status is no evidence: as root it does nothing and ends with 0, a failed fetch
ends with 0. Callers look at what a run left.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from oejail import process
from oejail.errors import ChildFailed, PrerequisiteMissing
from oejail.log import logger

PINNED = "0.2.1.3"
SERIES = "0.2."
OLDEST = (0, 2, 1)
PIP = f"pip install oebuild=={PINNED}"
OTHER = "set oebuild: in oejail.yaml to a working one, or to null for oejail's own"
SINCE_0_2_1_1 = (0, 2, 1, 1)
NATIVESDK = "/opt/buildtools/nativesdk"
"""Where oebuild looks for a nativesdk when it is given none."""

# -P keeps out modules that lie where it runs; -I would hide a user's site directory as well.
DEFAULT_PREFIX = (sys.executable, "-P", "-m", "oebuild")

_LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - (?P<level>[A-Z]+) - (?P<text>.*)$")


def run(
    directory: Path,
    args: Sequence[str],
    *,
    prefix: Sequence[str] = DEFAULT_PREFIX,
    identity: process.Identity = process.SELF,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    reader: process.Reader | None = None,
    tick: Callable[[], None] | None = None,
    grace: float = 2.4,
    heart: int = -1,
) -> process.Result:
    """Run oebuild in `directory` (a workspace, or a build directory) and say how it ended.

    `reader` gets each line as oebuild printed it; `said` takes the message out of one. Raises
    PrerequisiteMissing when the executable is not there, Interrupted on Ctrl-C.
    """
    return process.run(
        [*prefix, *args],
        cwd=directory,
        env=env,
        identity=identity,
        timeout=timeout,
        reader=reader,
        tick=tick,
        grace=grace,
        heart=heart,
        check=False,
    )


def said(line: str) -> tuple[str, str]:
    """Level (`INFO`, `ERROR`, … or empty) and text of a line that oebuild printed."""
    match = _LOG_LINE.match(line)
    return (match["level"], match["text"]) if match else ("", line)


def complaint(result: process.Result) -> str:
    """What oebuild gave as its reason: its last ERROR line, else its last words."""
    lines = [said(line) for line in (*result.stdout, *result.stderr) if line.strip()]
    errors = [text for level, text in lines if level == "ERROR" and text.strip()]
    words = errors or [text for _, text in lines]
    return words[-1].strip() if words else "no output"


def version(
    prefix: Sequence[str] = DEFAULT_PREFIX, identity: process.Identity = process.SELF
) -> str:
    """oebuild's version. Raises PrerequisiteMissing when it is not installed or does not run."""
    if tuple(prefix) == DEFAULT_PREFIX:
        from importlib import metadata

        try:
            return metadata.version("oebuild")
        except metadata.PackageNotFoundError:
            raise PrerequisiteMissing("oebuild is not installed", hint=PIP) from None
    try:
        result = process.run([*prefix, "--version"], identity=identity, timeout=30, check=False)
    except PrerequisiteMissing as error:
        raise PrerequisiteMissing(f"oebuild: {error.message}", hint=OTHER) from None
    match = re.search(r"(?<![\d.])(\d+(?:\.\d+)+)", "\n".join((*result.stdout, *result.stderr)))
    if match is None:
        words = complaint(result)[:200]
        raise PrerequisiteMissing(
            f"{prefix[0]}: does not say its version ({result.describe()}: {words})",
            hint=OTHER,
        )
    return match[1]


def require(
    prefix: Sequence[str] = DEFAULT_PREFIX, identity: process.Identity = process.SELF
) -> str:
    """Check oebuild's version and return it.

    The pinned one passes, another of its series passes with a warning; anything else raises
    PrerequisiteMissing: up to 0.2.0 `generate` knows nothing of the feature schema v2, nor of a
    host mode without nativesdk.
    """
    if shutil.which("git") is None:
        raise PrerequisiteMissing(
            "git: no such program, and oebuild needs it", hint="apt-get install git"
        )
    found = version(prefix, identity)
    if found == PINNED:
        return found
    if not fits(found):
        raise PrerequisiteMissing(
            f"oebuild {found} at {prefix[0]}: oejail works with {SERIES}x from 0.2.1.0 on, "
            f"tested with {PINNED}{_older(found)}",
            hint=PIP if tuple(prefix) == DEFAULT_PREFIX else OTHER,
        )
    logger.warning("oebuild %s: oejail was tested with %s", found, PINNED)
    return found


def fits(found: str) -> bool:
    """True for a version that oejail works with."""
    return found.startswith(SERIES) and numbers(found) >= OLDEST


def _older(found: str) -> str:
    if numbers(found) >= OLDEST:
        return ""
    return " (older ones know the feature schema v1 only, and no host mode without nativesdk)"


def numbers(found: str) -> tuple[int, ...]:
    """A version as numbers, to compare."""
    return tuple(int(word) for word in found.split("."))


def schemas(found: str) -> tuple[Literal["v1", "v2"], ...]:
    """The feature schemas that version `found` of the series reads: 0.2.1.0 v2 alone."""
    return ("v1", "v2") if numbers(found) >= SINCE_0_2_1_1 else ("v2",)


def needs_nativesdk(found: str) -> bool:
    """True for a version whose host mode ends with 1 where there is no nativesdk: 0.2.1.0."""
    return numbers(found) < SINCE_0_2_1_1


def failed(result: process.Result, what: str, hint: str | None = None) -> ChildFailed:
    """The error for a run that did not leave what it should have."""
    last = tuple(said(line)[1] for line in (*result.stdout, *result.stderr) if line.strip())[-12:]
    return ChildFailed(
        f"{what}: oebuild says: {complaint(result)} ({result.describe()})", hint=hint, details=last
    )
