# SPDX-License-Identifier: MIT
"""Finding logs: oejail's own, a run each, and those of BitBake's tasks."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oejail.engine import diagnose
from oejail.engine.build import last_build
from oejail.engine.text import printable
from oejail.errors import UsageFault
from oejail.log import redact
from oejail.project import Project
from oejail.workspace.model import Workspace

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*")
_TASK_LOG = re.compile(r"log\.(?P<task>do_[A-Za-z0-9_-]+)\.\d+")


@dataclass(frozen=True)
class TaskLog:
    """The log of one run of one task."""

    recipe: str
    task: str
    path: Path
    time: float
    """When it was last written, Unix seconds."""


def run_logs(project: Project) -> list[Path]:
    """oejail's own logs, the newest last."""
    return sorted((project.state_dir / "logs").glob("*.log"))


def last_run(project: Project) -> Path:
    """The log of the last run. Raises UsageFault without one."""
    found = run_logs(project)
    if not found:
        raise UsageFault(f"{project.root}: no logs yet", hint="oejail build")
    return found[-1]


def task_logs(ws: Workspace, recipe: str) -> list[TaskLog]:
    """The newest log of each of a recipe's tasks, the newest last.

    Looks at `tmp/work/*/RECIPE/*/temp` only: a real tmp/work has a million files.
    """
    found: dict[str, TaskLog] = {}
    for path, modified in _temp_files(ws.build_dir / "tmp" / "work", _checked(recipe)):
        match = _TASK_LOG.fullmatch(path.name)
        if match is None:
            continue
        known = found.get(match["task"])
        if known is None or known.time < modified:
            found[match["task"]] = TaskLog(recipe, match["task"], path, modified)
    return sorted(found.values(), key=lambda log: log.time)


def task_log(ws: Workspace, recipe: str, task: str | None = None) -> Path:
    """The log of a task; without `task`, of the one that failed last, else of the last one to run.

    Raises UsageFault when there is none.
    """
    wanted = None if task is None else task if task.startswith("do_") else f"do_{task}"
    if wanted is None:
        last = last_build(ws.project)
        for failure in last.failures if last else ():
            path = Path(failure.logfile)
            if failure.recipe == recipe and diagnose.LOG_NAME.fullmatch(path.name):
                return path
    logs = [log for log in task_logs(ws, recipe) if wanted in (None, log.task)]
    if not logs:
        what = f"{recipe} {wanted}" if wanted else recipe
        raise UsageFault(
            f"{what}: no log below {ws.build_dir / 'tmp' / 'work'}",
            hint=f"oejail logs {recipe} --list" if wanted else "oejail build, or check the name",
        )
    return logs[-1].path


def lines(path: Path) -> Iterator[str]:
    """The lines of a log, without secrets and fit for a terminal.

    Raises OSError, UsageFault for what is no regular file; a link is refused.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageFault(f"{path}: not a regular file")
    with os.fdopen(descriptor, "rb") as stream:
        while raw := stream.readline(65536):
            yield printable(redact(raw.decode("utf-8", "replace").rstrip("\r\n")), 65536)


def _checked(recipe: str) -> str:
    if not _NAME.fullmatch(recipe):
        raise UsageFault(f"{recipe!r} is no recipe's name")
    return recipe


def _temp_files(work: Path, recipe: str) -> Iterator[tuple[Path, float]]:
    for tune in _directories(work):
        for version in _directories(tune / recipe):
            try:
                entries = list(os.scandir(version / "temp"))
            except OSError:
                continue
            for entry in entries:
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(info.st_mode):
                    yield Path(entry.path), info.st_mtime


def _directories(path: Path) -> list[Path]:
    try:
        return [Path(e.path) for e in os.scandir(path) if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
