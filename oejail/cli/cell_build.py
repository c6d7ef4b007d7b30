# SPDX-License-Identifier: MIT
"""`oejail cell build`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from oejail.cli.output import emit


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A YAML file, the name of a shipped source, or - for standard input.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The configuration to write.")
    ],
    revision: Annotated[
        int | None,
        typer.Option(metavar="N", help="12, 13 or 14; default: the source's own, else 13."),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(metavar="FAMILY", help="`upstream` or `openeuler` (the fork's)."),
    ] = None,
) -> None:
    """Build a configuration from a source that a person writes, or from `cell show --json`.

    docs/cells.md describes sources. Errors name file, line and column.
    """
    from oejail import files
    from oejail.cells import RootCell, sources

    name = sources.find(source)
    piped = sys.stdin.buffer.read(sources.MAX_SOURCE + 1) if name == "-" else None
    built = sources.load(name, piped)
    data = built.encode(layout, revision)
    files.atomic_write(output, data)
    kind = "root" if isinstance(built.config, RootCell) else "cell"
    emit(f"{output}: {kind} {built.config.name!r}, {len(data)} bytes")
