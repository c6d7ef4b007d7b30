# SPDX-License-Identifier: MIT
"""What is known of a build that has ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Failure:
    """Why a build failed: a task, or (with empty `recipe` and `task`) the build as a whole."""

    recipe: str
    task: str
    file: str
    """The recipe's file."""
    logfile: str
    """The task's log; empty without one."""
    lines: tuple[str, ...]
    """The first real error, in the words of the program that found it."""
    cause: str
    """What it probably means."""
    hint: str
    """What to do next."""
    id: str = ""
    """The cause's name in `causes.CAUSES`; empty when none fits."""


@dataclass(frozen=True)
class BuildResult:
    """How a build ended. `ok` is BitBake's own word, never an exit status alone."""

    ok: bool
    interrupted: bool
    targets: tuple[str, ...]
    tasks_total: int
    tasks_run: int
    failures: tuple[Failure, ...]
    seconds: float
    log: Path
    """The whole output: this run's log, or oebuild.log in the build directory."""
    schema_version: Literal[1] = 1
