# SPDX-License-Identifier: MIT
"""The one error hierarchy and the documented exit statuses.

Every failure that oejail foresees is an `OejailError`: it says what is wrong and where, with both
values, and its hint is the next command to type. `cli/main.py` is the only place that prints one
and turns it into an exit status; everything else that escapes is a defect (status 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses, as documented in README.md; a number once published keeps its meaning."""

    OK = 0
    DEFECT = 1
    USAGE = 2
    FINDINGS = 3
    CHILD_FAILED = 4
    TARGET_FAILED = 5
    PREREQUISITE = 6
    BUSY = 7
    INTERRUPTED = 130


class OejailError(Exception):
    """Root of all foreseen failures.

    `message` is one line: what, where, both values. `hint` is what to type or change next.
    `details` are further lines worth showing (a compiler's words, each configuration error).
    """

    exit_code: Exit = Exit.DEFECT

    def __init__(
        self, message: str, *, hint: str | None = None, details: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = tuple(details)

    def lines(self) -> list[str]:
        """The lines to print: the message with its hint, then the details."""
        head = self.message if self.hint is None else f"{self.message}; {self.hint}"
        return [head, *self.details]


class UsageFault(OejailError):
    """The command line asks for something that cannot be."""

    exit_code = Exit.USAGE


class ConfigError(OejailError):
    """A file that the user writes (oejail.yaml, bblayers.conf, a platform) is wrong."""

    exit_code = Exit.USAGE


class FindingsError(OejailError):
    """Checks found at least one finding of severity error."""

    exit_code = Exit.FINDINGS


class BuildFailed(OejailError):
    """BitBake ran, or should have, and did not do what was asked."""

    exit_code = Exit.CHILD_FAILED


class ChildFailed(OejailError):
    """A program that oejail runs (oebuild, git, …) failed or lied."""

    exit_code = Exit.CHILD_FAILED


class TargetFailed(OejailError):
    """The target (QEMU or a board) failed or stayed silent."""

    exit_code = Exit.TARGET_FAILED


class PrerequisiteMissing(OejailError):
    """Something that must be installed or set up is not; `oejail doctor` names it."""

    exit_code = Exit.PREREQUISITE


class WorkspaceBusy(OejailError):
    """Another oejail holds the project."""

    exit_code = Exit.BUSY


class Interrupted(OejailError):
    """Ctrl-C or SIGTERM; the same command continues."""

    exit_code = Exit.INTERRUPTED
