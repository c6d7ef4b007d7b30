# SPDX-License-Identifier: MIT
"""`oejail cell diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oejail.cli.cell import Json, Layout, decode_file
from oejail.cli.output import emit, emit_json
from oejail.errors import FindingsError


def command(
    old: Annotated[Path, typer.Argument(metavar="A", help="A configuration.")],
    new: Annotated[Path, typer.Argument(metavar="B", help="The one to compare it with.")],
    layout: Layout = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with status 3 where the two differ.")
    ] = False,
    json: Json = False,
) -> None:
    """Say what changed from A to B in meaning, across layouts and revisions too."""
    from oejail.cells.diff import diff as changes_between

    first, second = (decode_file(path, layout) for path in (old, new))
    changes = changes_between(first, second)
    if json:
        rows = [{"where": change.where, "what": change.what} for change in changes]
        emit_json({"schema_version": 1, "same": not changes, "changes": rows})
    else:
        for change in changes:
            emit(change.line())
        if not changes:
            emit("no change in meaning")
    if changes and exit_code:
        plural = "" if len(changes) == 1 else "s"
        raise FindingsError(f"{old} and {new}: {len(changes)} change{plural}")
