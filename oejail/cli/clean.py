# SPDX-License-Identifier: MIT
"""`oejail clean`."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    everything: Annotated[
        bool, typer.Option("--all", help="The workspace, bundles and logs too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Even repositories with local changes.")
    ] = False,
) -> None:
    """Remove what oejail made: BitBake's output and the collected files; with --all everything.

    Containers that builds ran in go too. oejail.yaml stays, and so does a workspace or a tree that
    it names by path. Sources and downloads go with --all only; a source repository with local
    changes only with --force.
    """
    from oejail import cleanup, project
    from oejail.cli.output import emit
    from oejail.log import logger
    from oejail.workspace.workspace import open_workspace

    here = project.load()
    with here.lock("clean"):
        workspace = open_workspace(here)
        plan = cleanup.plan(here, workspace, everything)
        for words in plan.keep:
            logger.info("stays: %s", words)
        if not dry_run:
            cleanup.clean(workspace, plan, force)
        did = "would remove" if dry_run else "removed"
        for one in plan.containers:
            emit(f"{did} container {one}")
        for path in plan.remove:
            emit(f"{did} {path}")
