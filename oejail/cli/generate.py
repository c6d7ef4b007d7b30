# SPDX-License-Identifier: MIT
"""`oejail generate`."""

from __future__ import annotations

from typing import Annotated

import typer

from oejail.cli.options import AllowDirty, BuildUser, RtosInImage


def command(
    engine: Annotated[
        str | None, typer.Option(metavar="container|host", help="Where BitBake is to run.")
    ] = None,
    build_user: BuildUser = None,
    rtos_in_image: RtosInImage = False,
    allow_dirty: AllowDirty = False,
) -> None:
    """Make the oebuild workspace and its build directory: init, update, generate.

    What is there and right stays as it is. A build directory's tmp/, downloads/ and conf/ are
    never touched; where compile.yaml has to be made again, layers and lines that were added to it
    by hand stay.
    """
    from oejail import project
    from oejail.cli.output import emit
    from oejail.log import logger, open_run_log
    from oejail.workspace.workspace import (
        ensure_generated,
        ensure_init,
        ensure_sources,
        open_workspace,
    )

    here = project.load()
    with here.lock("generate"):
        open_run_log(here.state_dir / "logs", "generate")
        workspace = open_workspace(
            here,
            engine,
            build_user=build_user,
            allow_dirty=allow_dirty,
            rtos_in_image=rtos_in_image,
        )
        for name, verb in (
            ("init", ensure_init),
            ("update", ensure_sources),
            ("generate", ensure_generated),
        ):
            logger.info("%s: %s", name, verb(workspace).reason)
    emit(str(workspace.build_dir))
