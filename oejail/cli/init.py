# SPDX-License-Identifier: MIT
"""`oejail init`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from oejail.cli.output import emit


def command(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The project; made when it is missing.")
    ] = Path(),
    platform: Annotated[
        str | None, typer.Option(metavar="P", help="A board's name, or a platform file.")
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Build the miniature tree that travels with oejail.")
    ] = False,
    workspace: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where oebuild works, or a workspace to adopt."),
    ] = None,
    build: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which build directory of an adopted workspace."),
    ] = None,
) -> None:
    """Write a commented oejail.yaml, or adopt an oebuild workspace.

    A workspace that oebuild made, in DIR itself or given by --workspace, is adopted as it is:
    platform, build directory, engine and sources are read from it. An oejail.yaml that is there
    is never overwritten.
    """
    from oejail import project
    from oejail.log import logger

    path = project.init(
        directory, platform=platform, sample=sample, workspace=workspace, build=build
    )
    emit(str(path))
    logger.info("next: oejail -C %s up", shlex.quote(str(path.parent)))
