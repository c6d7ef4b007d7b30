# SPDX-License-Identifier: MIT
"""`oejail cell qemu`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oejail.cli.cell import Json, identified
from oejail.cli.output import emit, emit_json
from oejail.errors import FindingsError

if TYPE_CHECKING:
    from oejail.checks import Finding


def command(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The root's configuration.")],
    cells: Annotated[
        list[Path] | None, typer.Argument(metavar="CELL", help="The cells beside it.")
    ] = None,
    platform: Annotated[
        str | None, typer.Option(metavar="NAME", help="The board; default: the root's GIC decides.")
    ] = None,
    json: Json = False,
) -> None:
    """Print the QEMU command line that fits a set: machine, CPUs, RAM, and Linux's mem=.

    Add the kernel, the root file system and what else the boot needs. Status 3 where no machine
    fits, with the findings.
    """
    from oejail.checks import InmateInput, SetInput, board_of, check_set
    from oejail.checks.qemu import parse, plan

    root_file = identified(root)
    given = SetInput(
        root=root_file, inmates=tuple(InmateInput(identified(path)) for path in cells or [])
    )
    _refuse(root, check_set(given))
    config = root_file.root
    assert config is not None  # else a finding said so
    board = board_of(config, platform)
    wanted = plan(config, [cell for _, cell in given.cells], board, named=str(root))
    options = parse(wanted.line())
    _refuse(root, check_set(replace(given, machine=options.machine(), arch=options.arch)))
    if json:
        fields = {name: getattr(wanted, name) for name in ("machine", "cpu", "smp", "ram", "mem")}
        emit_json({"schema_version": 1, **fields, "command": wanted.line()})
    else:
        emit(wanted.line())


def _refuse(root: Path, findings: list[Finding]) -> None:
    """FindingsError, with each of them, where one is an error."""
    lines = [finding.line() for finding in findings if finding.fails]
    if lines:
        plural = "" if len(lines) == 1 else "s"
        raise FindingsError(
            f"{root}: {len(lines)} finding{plural} of severity error",
            hint="oejail explain RULE says what one means",
            details=lines,
        )
