# SPDX-License-Identifier: MIT
"""`oejail build`."""

from __future__ import annotations

from typing import Annotated

import typer

from oejail.cli.options import AllowDirty, BuildUser


def command(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TARGET]...", help="Default: the targets of oejail.yaml."),
    ] = None,
    no_image: Annotated[
        bool, typer.Option("--no-image", help="Leave out image recipes (*-image-*).")
    ] = False,
    engine: Annotated[
        str | None, typer.Option(metavar="host|container", help="Where BitBake runs.")
    ] = None,
    build_user: BuildUser = None,
    allow_dirty: AllowDirty = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Build the targets with BitBake, and say what really happened.

    Progress goes to stderr: a bar on a terminal, plain lines elsewhere. A failure names the recipe
    and task, shows the first real error, and says what it probably means and what to do next. Where
    the targets of oejail.yaml are built and yet left something out that the project collects (from
    shared state BitBake need not restore packages), that is packaged again.
    Ctrl-C stops BitBake and all that it started; the same command continues.
    """
    from oejail import engine as engines
    from oejail import log, origins, project
    from oejail.artifacts import SetSpec
    from oejail.cli.output import emit, emit_json
    from oejail.workspace import layers, settle
    from oejail.workspace.workspace import open_workspace

    here = project.load()
    with here.lock("build"):
        log.open_run_log(here.state_dir / "logs", "build")
        workspace = open_workspace(here, engine, build_user=build_user, allow_dirty=allow_dirty)
        engines.require_build_dir(workspace)
        layers.ensure(workspace)
        origins.keep(here, settle.prepare(workspace))
        result = engines.attempt(workspace, tuple(targets or here.targets(not no_image)))
        if result.ok and not targets:
            engines.complete(workspace, SetSpec.from_project(here))
    if as_json:
        emit_json(engines.as_json(result))
    if not result.ok:
        raise engines.failed(result)
    if not as_json:
        emit(f"built: {' '.join(result.targets)}")
        ran = f"{result.tasks_run} of {result.tasks_total} tasks run"
        log.logger.info("build: %s in %.1f s", ran, result.seconds)
