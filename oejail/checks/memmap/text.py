# SPDX-License-Identifier: MIT
"""A memory map for the terminal."""

from __future__ import annotations

import io

from oejail.cells.sizes import rough_size
from oejail.checks.memmap.model import (
    DEVICE,
    HYPERVISOR,
    KINDS,
    LINUX,
    RAM,
    ROOT,
    SHARED,
    Band,
    Claim,
    MemoryMap,
)
from oejail.text import harmless

_MARKS = {HYPERVISOR: "▓", LINUX: "█", ROOT: "│", RAM: "█", SHARED: "▒", DEVICE: "░"}
_ASCII = {HYPERVISOR: "@", LINUX: "#", ROOT: "|", RAM: "#", SHARED: "=", DEVICE: "."}
_STYLES = {
    HYPERVISOR: "magenta",
    LINUX: "blue",
    ROOT: "blue dim",
    RAM: "green",
    SHARED: "cyan",
    DEVICE: "yellow dim",
}


def lines(drawn: MemoryMap, *, width: int = 100, color: bool = False, ascii: bool = False) -> str:
    """The map as text of at most `width` columns; lowest addresses first.

    `color` adds terminal sequences, `ascii` leaves out all characters that ASCII lacks.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    marks = _ASCII if ascii else _MARKS
    table = Table(box=box.ASCII if ascii else box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    widest = max((len(f"!{band.end:#x}") for band in drawn.bands), default=8)
    table.add_column("from", justify="right", no_wrap=True, min_width=widest)
    table.add_column("size", justify="right", no_wrap=True, min_width=10)
    table.add_column(drawn.columns[0], no_wrap=True, min_width=13)
    for title in drawn.columns[1:]:
        table.add_column(title, no_wrap=True, overflow="crop" if ascii else "ellipsis")
    told: set[Claim] = set()
    for band in drawn.bands:
        if not band.claims:
            what = "unused RAM" if band.ram else "nothing"
            table.add_row("", rough_size(band.size), f"({what})", style="dim")
            continue
        row = [Text(_shown(drawn, band, owner, marks, told)) for owner in range(len(drawn.columns))]
        for owner, cell in enumerate(row):
            top = _topmost(band, owner)
            if top is not None:
                cell.stylize(_STYLES[top.kind])
        style = "bold red" if band.conflict else None
        place = Text(f"{'!' if band.conflict else ''}{band.start:#x}", style or "")
        table.add_row(place, rough_size(band.size), *row)
    if drawn.bands:
        table.add_row(f"{drawn.bands[-1].end:#x}")
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
    )
    console.print(table)
    used = [kind for kind in KINDS if any(claim.kind == kind for claim in drawn.claims)]
    legend = Text("  ")
    for kind in used:
        legend.append(f"{marks[kind]} ", _STYLES[kind])
        legend.append(f"{KINDS[kind]}   ")
    console.print(legend, soft_wrap=True)
    for line in drawn.conflict_lines():
        console.print(Text(f"! conflict {_printable(line)}", "bold red"), soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _topmost(band: Band, owner: int) -> Claim | None:
    """The claim of a column that lies on top."""
    held = [claim for claim in band.claims if claim.owner == owner]
    return max(held, key=lambda claim: claim.rank) if held else None


def _shown(
    drawn: MemoryMap, band: Band, owner: int, marks: dict[str, str], told: set[Claim]
) -> str:
    """The mark of a claim, and its label where it is seen for the first time."""
    claim = _topmost(band, owner)
    if claim is None:
        return ""
    label = "" if claim in told else f" {_printable(claim.label)}"
    told.add(claim)
    return f"{marks[claim.kind] * 2}{label}"


def _printable(text: str) -> str:
    return harmless(text, "")
