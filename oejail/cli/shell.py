# SPDX-License-Identifier: MIT
"""`oejail shell`."""

from __future__ import annotations

from typing import Annotated

import typer

from oejail.cli.options import AllowDirty, BuildUser


def command(
    engine: Annotated[
        str | None, typer.Option(metavar="host|container", help="Where BitBake runs.")
    ] = None,
    build_user: BuildUser = None,
    allow_dirty: AllowDirty = False,
) -> None:
    """An interactive shell in BitBake's environment.

    bash in the build directory, with bitbake on PATH. What it started ends with it. The project
    stays locked meanwhile, so that no build comes in between.
    """
    from oejail import engine as engines
    from oejail import project
    from oejail.workspace import settle
    from oejail.workspace.workspace import open_workspace

    here = project.load()
    with here.lock("shell"):
        workspace = open_workspace(here, engine, build_user=build_user, allow_dirty=allow_dirty)
        engines.require_build_dir(workspace)
        settle.prepare(workspace)
        engines.shell(workspace)
