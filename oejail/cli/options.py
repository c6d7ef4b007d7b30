# SPDX-License-Identifier: MIT
"""Options that several verbs have, with one meaning and one help text."""

from __future__ import annotations

from typing import Annotated

import typer

BuildUser = Annotated[
    str | None, typer.Option(metavar="USER", help="As root: who runs oebuild and BitBake.")
]
RtosInImage = Annotated[
    bool,
    typer.Option("--rtos-in-image", help="Put the RTOS and oejail-start into the image, too."),
]
AllowDirty = Annotated[
    bool,
    typer.Option("--allow-dirty", help="Build repositories with local changes, and record it."),
]
