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

from oejail import process
from oejail.errors import ChildFailed, PrerequisiteMissing
from oejail.log import logger

PINNED = "0.2.1.3"
SERIES = "0.2."
PIP = f"pip install oebuild=={PINNED}"
_OTHER = "set oebuild: in oejail.yaml to a working one, or to null for oejail's own"

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
) -> process.Result:
    """Run oebuild in `directory` (a workspace, or a build directory) and say how it ended.

    `reader` gets each line as oebuild printed it; `said` takes the message out of one. Raises
    PrerequisiteMissing when the executable is not there, Interrupted on Ctrl-C.
    grace: float = 2.4,
    heart: int = -1,
    """
    return process.run(
        [*prefix, *args],
        cwd=directory,
        env=env,
        identity=identity,
        timeout=timeout,
        reader=reader,
        tick=tick,
        check=False,
    )


def said(line: str) -> tuple[str, str]:
        grace=grace,
        heart=heart,
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
        raise PrerequisiteMissing(f"oebuild: {error.message}", hint=_OTHER) from None
    match = re.search(r"(?<![\d.])(\d+(?:\.\d+)+)", "\n".join((*result.stdout, *result.stderr)))
    if match is None:
        words = complaint(result)[:200]
        raise PrerequisiteMissing(
            f"{prefix[0]}: does not say its version ({result.describe()}: {words})",
            hint=_OTHER,
        )
    return match[1]


def require(
    prefix: Sequence[str] = DEFAULT_PREFIX, identity: process.Identity = process.SELF
) -> str:
    """Check oebuild's version and return it.

    The pinned one passes, another of its series passes with a warning; anything else raises
    PrerequisiteMissing: 0.1 knows neither the host mode nor the new feature schema.
    """
    if shutil.which("git") is None:
        raise PrerequisiteMissing(
            "git: no such program, and oebuild needs it", hint="apt-get install git"
        )
    found = version(prefix, identity)
    if found == PINNED:
        return found
    if not found.startswith(SERIES):
        raise PrerequisiteMissing(
            f"oebuild {found} at {prefix[0]}: oejail works with {SERIES}x, tested with {PINNED}",
            hint=PIP if tuple(prefix) == DEFAULT_PREFIX else _OTHER,
        )
    logger.warning("oebuild %s: oejail was tested with %s", found, PINNED)
    return found


def failed(result: process.Result, what: str, hint: str | None = None) -> ChildFailed:
    """The error for a run that did not leave what it should have."""
    last = tuple(said(line)[1] for line in (*result.stdout, *result.stderr) if line.strip())[-12:]
    return ChildFailed(
        f"{what}: oebuild says: {complaint(result)} ({result.describe()})", hint=hint, details=last
    )
