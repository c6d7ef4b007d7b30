# SPDX-License-Identifier: MIT
"""`oejail new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oejail.cli.output import emit

app = typer.Typer(help="Start an RTOS inmate of your own from a template.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Start an RTOS inmate of your own from a template."""


@app.command("inmate")
def inmate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The recipe's and image's name.")],
    rtos: Annotated[str, typer.Option(metavar="KIND", help="What it is made of.")] = "baremetal",
    platform: Annotated[
        str | None,
        typer.Option(metavar="P", help="A board's name, or a platform file.", show_default=False),
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Where to make meta-NAME: the workspace's src/ where there is one, else here.",
        ),
    ] = None,
) -> None:
    """Make a BitBake layer, meta-NAME, with a recipe that builds a bare-metal inmate NAME.bin.

    It is ready to build, in openEuler's tree and in the sample: a program that writes a line to
    the board's console twice a second, to be changed into what your cell is for.
    """
    from oejail.log import logger
    from oejail.workspace.inmate import create

    made = create(name, rtos, directory=directory, platform=platform)
    emit(str(made.layer))
    for line in made.next:
        logger.info("next: %s", line)
