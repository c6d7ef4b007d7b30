# SPDX-License-Identifier: MIT
"""Options that several verbs have, with one meaning and one help text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from oejail.errors import UsageFault

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
Waive = Annotated[
    list[str] | None,
    typer.Option(metavar="RULE=REASON", help="Accept a rule's findings, and say why."),
]


def pairs(option: str, given: Sequence[str] | None) -> list[tuple[str, str]]:
    """`A=B` of a repeatable option."""
    found = []
    for text in given or []:
        key, sign, value = text.partition("=")
        if not sign or not key or not value:
            raise UsageFault(f"{option} {text}: write {option} A=B")
        found.append((key, value))
    return found
