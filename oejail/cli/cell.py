# SPDX-License-Identifier: MIT
"""`oejail cell`: the group, and what its verbs share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from oejail.cli.lazy import LazyGroup
from oejail.errors import UsageFault

if TYPE_CHECKING:
    from oejail.cells import Cell, RootCell
    from oejail.checks import FileInput, Machine


class Verbs(LazyGroup):
    """What can be done with configurations."""

    verbs: ClassVar = {
        "show": "Show configurations: CPUs, memory, interrupts, PCI, the machine of a root.",
        "check": "Check a root with its cells, and other files, before anything boots.",
        "map": "Draw the machine's memory, in the terminal or as SVG.",
        "build": "Build a configuration from a source that a person writes.",
        "diff": "Say what changed between two configurations, in meaning.",
        "qemu": "Print the QEMU command line that fits a set.",
    }
    prefix = "oejail.cli.cell_"


app = typer.Typer(
    cls=Verbs,
    help="Read, build, compare, draw and check Jailhouse cell configurations.",
    no_args_is_help=True,
)


@app.callback()
def group() -> None:
    """A group needs a function, for Typer."""


Json = Annotated[bool, typer.Option("--json", help="Report as JSON.")]
Layout = Annotated[
    str | None,
    typer.Option(metavar="FAMILY", help="Read as `upstream` or `openeuler`, when both would fit."),
]


def decode_file(path: Path, layout: str | None, arch: str | None = None) -> Cell | RootCell:
    """The configuration in a file; CellFormatError where there is none."""
    from oejail.cells import MAX_CONFIG_SIZE, decode
    from oejail.files import read_limited

    return decode(read_limited(path, MAX_CONFIG_SIZE), layout, arch=arch, where=str(path))


def identified(path: Path) -> FileInput:
    """A file as the rules see it."""
    from oejail.artifacts.identify import identify
    from oejail.checks import FileInput

    return FileInput(str(path), identify(path), str(path.absolute()))


def size_of(option: str, text: str | None) -> int | None:
    """Bytes of `64M`; UsageFault, naming the option, for what is no size."""
    from oejail.cells.sizes import parse_size

    if text is None:
        return None
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageFault(f"{option}: {error}") from None


def machine_of_options(
    root: FileInput,
    mem: str | None,
    ram: str | None,
    smp: int | None,
    gic: int | None,
    platform: str | None,
    qemu: str | None,
) -> tuple[Machine | None, str | None]:
    """What the machine options say, and the architecture where they name one."""
    sizes = {"mem": size_of("--mem", mem), "ram": size_of("--ram", ram)}
    if smp is not None and smp < 1:
        raise UsageFault(f"--smp {smp}: a machine has at least one CPU")
    if qemu is not None:
        return _machine_of_command(qemu, platform, sizes, smp, gic)
    if platform is None and smp is None and gic is None and not any(sizes.values()):
        return None, None
    from oejail import log
    from oejail.checks import board_of, machine_from_options

    board = board_of(root.root, platform)
    if platform is None:
        log.logger.info("machine: platform %s, whose GIC is the root's", board.name)
    return machine_from_options(board, root.path, **sizes, cpus=smp, gic=gic), board.arch


def _machine_of_command(
    command: str,
    platform: str | None,
    sizes: dict[str, int | None],
    smp: int | None,
    gic: int | None,
) -> tuple[Machine, str | None]:
    """QEMU's machine; the other options win over its command line."""
    from oejail.checks.model import with_options
    from oejail.checks.qemu import parse
    from oejail.platforms import load

    options = parse(command)
    mem, ram = sizes["mem"] or options.mem, sizes["ram"] or options.ram
    machine = with_options(replace(options, mem=mem, ram=ram).machine(), cpus=smp, gic=gic)
    return machine, load(platform).arch if platform else options.arch
