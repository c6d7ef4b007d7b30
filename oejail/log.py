# SPDX-License-Identifier: MIT
"""What oejail says while it works: to stderr by verbosity, and all of it to a log file a run.

Secrets are taken out at the one place where every record passes. Data that a verb was asked for
goes to stdout by `cli/output.py`, never through here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import time
from pathlib import Path
from typing import TextIO

from oejail.files import make_directory, owner_to_keep
from oejail.text import harmless

logger = logging.getLogger("oejail")
logger.setLevel(logging.DEBUG)
logger.propagate = False

KEEP_LOGS = 50

# Compiled where they are used first (re keeps them): most runs say nothing.
# No word may be begun twice and no repetition be open at its start: a build's line is long at will.
_URL_SECRET = r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]{0,30}://)[^/\s@]*@"
_NAMED_SECRET = (
    r"(?i)(?<![\w/-])(?P<name>[\w-]{0,200}(?:token|passw(?:or)?d|secret|api[_-]?key|private[_-]?key)[\w-]*)"
    r"(?P<separator>\s*[=:]\s*|\s+)(?P<value>\"[^\"]*\"|'[^']*'|[^\s&;,\"']+)"
)
_BEARER = r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"


def redact(text: str) -> str:
    """`text` without credentials: URL user parts, NAME=value of secret names, bearer tokens."""
    text = re.sub(_URL_SECRET, r"\g<scheme>***@", text)
    text = re.sub(_BEARER, r"\1 ***", text)
    return re.sub(_NAMED_SECRET, _mask, text)


def _mask(match: re.Match[str]) -> str:
    # Prose such as "the token is stale" has no separator sign: only = and : mark a value there.
    if match["separator"].strip() == "" and not match["name"].startswith("-"):
        return match[0]
    return f"{match['name']}{match['separator']}***"


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _Stderr(logging.Handler):
    """Writes to whatever sys.stderr is now (tests and progress bars replace it)."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            write_stderr(self.format(record))
        except Exception:
            self.handleError(record)


class _File(logging.StreamHandler[TextIO]):
    """A log file that cannot be written (a full disk) must not drown what the run itself says."""

    def handleError(self, record: logging.LogRecord) -> None:
        del record


def write_stderr(text: str) -> None:
    """`text` and a newline to stderr; what could steer the terminal or its encoding lacks is
    escaped. A stderr that is closed, or goes to a full disk, is fine.
    """
    stream = sys.stderr
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "ascii"
    safe = harmless(text).encode(encoding, "backslashreplace").decode(encoding)
    with contextlib.suppress(OSError, ValueError):
        stream.write(safe + "\n")
        stream.flush()


def setup(verbosity: int = 0) -> None:
    """Send records to stderr: -1 errors only, 0 information, 1 and more everything."""
    for handler in [h for h in logger.handlers if isinstance(h, _Stderr)]:
        logger.removeHandler(handler)
    handler = _Stderr()
    handler.setLevel(
        logging.ERROR if verbosity < 0 else logging.INFO if verbosity == 0 else logging.DEBUG
    )
    handler.setFormatter(_Formatter("%(message)s"))
    logger.addHandler(handler)


def shows(level: int) -> bool:
    """Whether records of `level` go to stderr (as -q and -v have it)."""
    return any(isinstance(h, _Stderr) and h.level <= level for h in logger.handlers)


def open_run_log(directory: Path, verb: str) -> Path:
    """Begin this run's log file `<directory>/<UTC stamp>-<verb>-<pid>.log` (mode 0600); return it.

    The oldest files beyond KEEP_LOGS are removed. Records of all levels go into it.
    """
    make_directory(directory)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    global run_log
    path = run_log = directory / f"{stamp}-{verb}-{os.getpid()}.log"
    add_log_file(path)
    for old in sorted(directory.glob("*.log"))[:-KEEP_LOGS]:
        old.unlink(missing_ok=True)
    return path


def add_log_file(path: Path) -> None:
    """Write all records to `path` too (created with mode 0600)."""
    owner = None if path.exists() else owner_to_keep(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    if owner is not None:
        os.fchown(descriptor, *owner)
    stream: TextIO = os.fdopen(descriptor, "w", encoding="utf-8", errors="replace")
    handler = _File(stream)
    formatter = _Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    _files.append(handler)


_files: list[logging.StreamHandler[TextIO]] = []

run_log: Path | None = None
"""This run's log file, where there is one."""


def close() -> None:
    """Drop our handlers and close their files."""
    global run_log
    run_log = None
    for handler in [h for h in logger.handlers if isinstance(h, _Stderr)]:
        logger.removeHandler(handler)
    while _files:
        file = _files.pop()
        logger.removeHandler(file)
        file.close()
        # A disk that is full at this point must not hide how the run itself ended.
        with contextlib.suppress(OSError):
            file.stream.close()
