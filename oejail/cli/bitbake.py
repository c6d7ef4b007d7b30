# SPDX-License-Identifier: MIT
"""`oejail bitbake`."""

from __future__ import annotations

from typing import Annotated

import typer

from oejail.cli.options import AllowDirty, BuildUser

context_settings = {"ignore_unknown_options": True}


def command(
    args: Annotated[
        list[str] | None, typer.Argument(metavar="-- ARGS...", help="Arguments of bitbake.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(metavar="host|container", help="Where BitBake runs.")
    ] = None,
    build_user: BuildUser = None,
    allow_dirty: AllowDirty = False,
) -> None:
    """Run bitbake with arguments of your own, as oejail would.

    For example `oejail bitbake -- -e jailhouse` or `oejail bitbake -- -c clean jailhouse`. Its
    output goes to stdout, its exit status decides oejail's (0 or 4). For what needs a terminal
    (devshell, menuconfig) use `oejail shell`.
    """
    from oejail import engine as engines
    from oejail import log, project
    from oejail.cli.output import emit
    from oejail.workspace import settle
    from oejail.workspace.workspace import open_workspace

    here = project.load()
    with here.lock("bitbake"):
        log.open_run_log(here.state_dir / "logs", "bitbake")
        workspace = open_workspace(here, engine, build_user=build_user, allow_dirty=allow_dirty)
        engines.require_build_dir(workspace)
        settle.prepare(workspace)
        engines.bitbake(workspace, args or [], emit)
