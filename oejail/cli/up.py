# SPDX-License-Identifier: MIT
"""`oejail up`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oejail.cli.options import AllowDirty, BuildUser, RtosInImage
from oejail.cli.output import emit
from oejail.errors import UsageFault


def command(
    sample: Annotated[
        bool, typer.Option("--sample", help="Build the miniature tree that travels with oejail.")
    ] = False,
    engine: Annotated[
        str | None, typer.Option(metavar="host|container", help="Where BitBake runs.")
    ] = None,
    build_user: BuildUser = None,
    no_image: Annotated[
        bool, typer.Option("--no-image", help="Leave out image recipes, and boot with them.")
    ] = False,
    rtos_in_image: RtosInImage = False,
    allow_dirty: AllowDirty = False,
    no_boot: Annotated[
        bool, typer.Option("--no-boot", help="Leave out the boot in QEMU at the end.")
    ] = False,
    first: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Begin with STAGE.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--until", metavar="STAGE", help="End with STAGE.")
    ] = None,
    force: Annotated[
        list[str] | None, typer.Option(metavar="STAGE", help="Run STAGE even if up to date.")
    ] = None,
) -> None:
    """From nothing to a checked bundle: every stage that is not up to date.

    The stages are init, update, generate, layers, build, collect, check, bundle, verify and boot,
    the last one where the bundle has a guest and QEMU is installed. A stage is skipped when what it
    read is unchanged and what it wrote is as it left it; while a layer's repository has local
    changes, BitBake decides what to build. With an oejail.lock the repositories are brought to its
    commits; local changes are refused before they could be lost, or with --allow-dirty built and
    recorded in the bundle. After an interruption the same command continues. The last line on
    stdout is `bundle: PATH`.
    """
    from oejail import log, pipeline
    from oejail.files import Lock
    from oejail.project.place import FILE, find

    if sample and not Path(FILE).exists():
        from oejail import project

        project.init(Path.cwd(), sample=True)
    root = find(Path.cwd())
    if sample:
        from oejail import project

        tree = project.load(root).config.tree
        if tree != "sample":
            raise UsageFault(f"{root / FILE}: the tree is {tree}, not sample", hint="oejail up")
    state = root / ".oejail"
    with Lock(state / "lock", "up"):
        log.open_run_log(state / "logs", "up")
        bundle = pipeline.up(
            root,
            pipeline.Options(
                engine,
                build_user,
                not no_image,
                allow_dirty,
                rtos_in_image,
                not no_boot,
                first,
                last,
                frozenset(force or ()),
            ),
        )
    if bundle is not None:
        emit(f"bundle: {bundle}")
