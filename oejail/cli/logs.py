# SPDX-License-Identifier: MIT
"""`oejail logs`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer


def command(
    recipe: Annotated[str | None, typer.Argument(help="Show the log of a task of RECIPE.")] = None,
    task: Annotated[
        str | None,
        typer.Argument(help="Which one; default: the one that failed, else the last to run."),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="List the logs there are instead of showing one.")
    ] = False,
    path: Annotated[bool, typer.Option("--path", help="Say where the log is.")] = False,
) -> None:
    """Show the log of the last run, or of a task.

    Without RECIPE: oejail's own log of its last run, with all that BitBake said. With RECIPE: what
    BitBake wrote for one of its tasks in the build directory.
    """
    from oejail import project
    from oejail.cli.output import emit, emit_table
    from oejail.engine import logs
    from oejail.workspace.workspace import open_workspace

    here = project.load()
    if recipe is None:
        found = [(log.name, log) for log in logs.run_logs(here)]
        chosen = None if listing else logs.last_run(here)
    else:
        workspace = open_workspace(here)
        found = [(log.task, log.path) for log in logs.task_logs(workspace, recipe)]
        chosen = None if listing else logs.task_log(workspace, recipe, task)
    if chosen is None:
        emit_table([(_when(log), name, str(log)) for name, log in found])
    elif path:
        emit(str(chosen))
    else:
        for line in logs.lines(chosen):
            emit(line)


def _when(log: Path) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(log.stat().st_mtime))
