# SPDX-License-Identifier: MIT
"""`oejail cell map`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oejail.cli.cell import Json, decode_file, identified, machine_of_options
from oejail.cli.output import emit, emit_json
from oejail.errors import UsageFault

if TYPE_CHECKING:
    from oejail.checks.memmap import MemoryMap


def command(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The root's configuration.")],
    cells: Annotated[
        list[Path] | None, typer.Argument(metavar="CELL", help="The cells beside it.")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Draw an SVG instead.")
    ] = None,
    mem: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Linux's share, its argument mem=.")
    ] = None,
    ram: Annotated[str | None, typer.Option(metavar="SIZE", help="The machine's RAM.")] = None,
    platform: Annotated[
        str | None, typer.Option(metavar="NAME", help="The board; default: the root's GIC decides.")
    ] = None,
    qemu: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="The command line that starts QEMU.")
    ] = None,
    json: Json = False,
) -> None:
    """Draw the machine's memory: hypervisor, Linux, each cell, what is shared, gaps, conflicts.

    Without a machine option, what Linux takes of the root's RAM is not known.
    """
    from oejail.cells import Cell, RootCell
    from oejail.checks.memmap import memory_map

    root_file = identified(root)
    machine, _ = machine_of_options(root_file, mem, ram, None, None, platform, qemu)
    configs = [decode_file(path, None) for path in (root, *(cells or []))]
    first, rest = configs[0], [config for config in configs[1:] if isinstance(config, Cell)]
    if not isinstance(first, RootCell) or len(rest) != len(configs) - 1:
        raise UsageFault("a map wants a root's configuration first, then cells")
    drawn = memory_map(first, rest, machine)
    if json:
        emit_json({"schema_version": 1, **asdict(drawn)})
    elif svg is not None:
        from oejail.checks.memmap.svg import svg as svg_of
        from oejail.files import atomic_write

        names = [path.name.removesuffix(".cell") for path in (root, *(cells or []))]
        atomic_write(svg, svg_of(drawn, " + ".join(names)))
        count = len(drawn.conflicts)
        plural = "" if count == 1 else "s"
        emit(f"{svg}: {len(drawn.claims)} regions, {count} conflict{plural}")
    else:
        _print_map(drawn)


def _print_map(drawn: MemoryMap) -> None:
    import shutil

    from oejail.checks.memmap.text import lines
    from oejail.cli.context import context

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((120, 24)).columns if terminal else 120
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    emit(lines(drawn, width=width, color=terminal and context.color, ascii=not utf8))
