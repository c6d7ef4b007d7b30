# SPDX-License-Identifier: MIT
"""`oejail cell check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oejail.cli.cell import Json, identified, machine_of_options
from oejail.cli.options import Waive, pairs
from oejail.cli.output import emit, emit_json
from oejail.errors import FindingsError, UsageFault

if TYPE_CHECKING:
    from oejail.checks import Finding, InmateInput


def command(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The root's configuration.")],
    cells: Annotated[
        list[Path] | None, typer.Argument(metavar="CELL", help="The cells beside it.")
    ] = None,
    mem: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Linux's share, its argument mem=.")
    ] = None,
    ram: Annotated[str | None, typer.Option(metavar="SIZE", help="The machine's RAM.")] = None,
    smp: Annotated[int | None, typer.Option(metavar="N", help="The machine's CPUs.")] = None,
    gic: Annotated[
        int | None, typer.Option(metavar="N", help="Version of the interrupt controller.")
    ] = None,
    platform: Annotated[
        str | None, typer.Option(metavar="NAME", help="The board; default: the root's GIC decides.")
    ] = None,
    qemu: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="The command line that starts QEMU.")
    ] = None,
    kernel: Annotated[Path | None, typer.Option(metavar="FILE", help="Kernel image.")] = None,
    module: Annotated[Path | None, typer.Option(metavar="FILE", help="jailhouse.ko.")] = None,
    firmware: Annotated[Path | None, typer.Option(metavar="FILE", help="jailhouse.bin.")] = None,
    tool: Annotated[Path | None, typer.Option(metavar="FILE", help="The tool jailhouse.")] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(metavar="CELL=FILE", help="What a cell runs; CELL is its name or file stem."),
    ] = None,
    waive: Waive = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a JUnit report too.")
    ] = None,
    json: Json = False,
) -> None:
    """Check a root with its cells, and whatever else is named, before anything boots.

    Every finding, worst first; status 3 where one is an error. Without machine options (--mem,
    --ram, --smp, --gic, --platform, --qemu) only what the files decide is checked; with --qemu the
    machine is the one that the command line makes, else it is the platform, and the other options
    say what differs.
    """
    from oejail.checks import SetInput, any_fails, check_set

    root_file = identified(root)
    machine, arch = machine_of_options(root_file, mem, ram, smp, gic, platform, qemu)
    given = SetInput(
        root=root_file,
        inmates=_inmates(cells or [], pairs("--image", image)),
        module=identified(module) if module else None,
        firmware=identified(firmware) if firmware else None,
        tool=identified(tool) if tool else None,
        kernel=identified(kernel) if kernel else None,
        machine=machine,
        arch=arch,
    )
    findings = check_set(given, dict(pairs("--waive", waive)))
    if junit is not None:
        _write_junit(junit, f"cell check {root}", findings)
    if json:
        emit_json(
            {
                "schema_version": 1,
                "ok": not any_fails(findings),
                "machine": machine.name if machine else None,
                "findings": [finding.to_dict() for finding in findings],
            }
        )
    else:
        for finding in findings:
            emit(finding.line())
        if not findings:
            told = f", {machine.name}" if machine else ", files alone"
            emit(f"no finding: {1 + len(given.inmates)} configurations{told}")
    if any_fails(findings):
        count = sum(finding.fails for finding in findings)
        raise FindingsError(
            f"{root}: {count} finding{'' if count == 1 else 's'} of severity error",
            hint="oejail explain RULE says what one means",
        )


def _inmates(cells: list[Path], images: list[tuple[str, str]]) -> tuple[InmateInput, ...]:
    """The cells with their images; UsageFault for an image of no cell, or of several."""
    from oejail.checks import InmateInput

    files = [identified(path) for path in cells]
    chosen: dict[int, Path] = {}
    for key, value in images:
        fits = [
            number
            for number, (path, file) in enumerate(zip(cells, files, strict=True))
            if key in (path.name.removesuffix(".cell"), file.cell.name if file.cell else None)
        ]
        if len(fits) != 1:
            known = ", ".join(path.name.removesuffix(".cell") for path in cells) or "none"
            raise UsageFault(f"--image {key}: fits {len(fits)} of the cells ({known})")
        chosen[fits[0]] = Path(value)
    return tuple(
        InmateInput(file, identified(chosen[number]) if number in chosen else None)
        for number, file in enumerate(files)
    )


def _write_junit(path: Path, name: str, findings: list[Finding]) -> None:
    from oejail.checks import RULES
    from oejail.checks.junit import report
    from oejail.files import atomic_write

    atomic_write(path, report(name, findings, RULES))
