# SPDX-License-Identifier: MIT
"""`oejail cell`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oejail.cli.output import emit, emit_json
from oejail.errors import FindingsError, UsageFault

if TYPE_CHECKING:
    from oejail.artifacts.identify import Identity
    from oejail.cells import Cell, RootCell
    from oejail.checks import FileInput, Finding, InmateInput, Machine
    from oejail.checks.memmap import MemoryMap

app = typer.Typer(
    help="Read, build, compare, draw and check Jailhouse cell configurations.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="Report as JSON.")]
Layout = Annotated[
    str | None,
    typer.Option(metavar="FAMILY", help="Read as `upstream` or `openeuler`, when both would fit."),
]


@app.command()
def show(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Configurations, *.cell.")],
    layout: Layout = None,
    arch: Annotated[
        str | None,
        typer.Option(metavar="ARCH", help="x86, arm or arm64, where the file does not say."),
    ] = None,
    json: Json = False,
) -> None:
    """Show configurations: CPUs, memory, interrupts, PCI, shared memory, the machine of a root.

    The JSON is complete: every field, flags by name, reserved bytes in hexadecimal.
    """
    from oejail.cells import to_dict
    from oejail.cells.layouts import ARCHITECTURES
    from oejail.cells.show import show as lines_of

    if arch is not None and arch not in ARCHITECTURES:
        raise UsageFault(f"--arch {arch}: not one of {', '.join(ARCHITECTURES)}")
    configs = [(path, _decode(path, layout, arch)) for path in files]
    if json:
        views = [{"file": str(path), **to_dict(config)} for path, config in configs]
        emit_json({"schema_version": 1, "configurations": views})
        return
    for number, (path, config) in enumerate(configs):
        for line in [*([""] if number else []), str(path), *lines_of(config)]:
            emit(line)


@app.command()
def build(
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


@app.command()
def diff(
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

    first, second = (_decode(path, layout) for path in (old, new))
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


@app.command()
def check(
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
    waive: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE=REASON", help="Accept a rule's findings, and say why."),
    ] = None,
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

    root_file = _file(root)
    machine, arch = _machine(root_file, mem, ram, smp, gic, platform, qemu)
    given = SetInput(
        root=root_file,
        inmates=_inmates(cells or [], _pairs("--image", image)),
        module=_file(module) if module else None,
        firmware=_file(firmware) if firmware else None,
        tool=_file(tool) if tool else None,
        kernel=_file(kernel) if kernel else None,
        machine=machine,
        arch=arch,
    )
    findings = check_set(given, dict(_pairs("--waive", waive)))
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


def _decode(path: Path, layout: str | None, arch: str | None = None) -> Cell | RootCell:
    from oejail.cells import MAX_CONFIG_SIZE, decode
    from oejail.files import read_limited

    return decode(read_limited(path, MAX_CONFIG_SIZE), layout, arch=arch, where=str(path))


def _pairs(option: str, given: Sequence[str] | None) -> list[tuple[str, str]]:
    """`A=B` of a repeatable option."""
    pairs = []
    for text in given or []:
        key, sign, value = text.partition("=")
        if not sign or not key or not value:
            raise UsageFault(f"{option} {text}: write {option} A=B")
        pairs.append((key, value))
    return pairs


def _file(path: Path) -> FileInput:
    from oejail.artifacts.identify import identify
    from oejail.checks import FileInput

    identity: Identity = identify(path)
    return FileInput(str(path), identity, str(path.absolute()))


def _inmates(cells: list[Path], images: list[tuple[str, str]]) -> tuple[InmateInput, ...]:
    """The cells with their images; UsageFault for an image of no cell, or of several."""
    from oejail.checks import InmateInput

    files = [_file(path) for path in cells]
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
        InmateInput(file, _file(chosen[number]) if number in chosen else None)
        for number, file in enumerate(files)
    )


def _size(option: str, text: str | None) -> int | None:
    from oejail.cells.sizes import parse_size

    if text is None:
        return None
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageFault(f"{option}: {error}") from None


def _machine(
    root: FileInput,
    mem: str | None,
    ram: str | None,
    smp: int | None,
    gic: int | None,
    platform: str | None,
    qemu: str | None,
) -> tuple[Machine | None, str | None]:
    """What the machine options say, and the architecture where they name one."""
    sizes = {"mem": _size("--mem", mem), "ram": _size("--ram", ram)}
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


def _write_junit(path: Path, name: str, findings: list[Finding]) -> None:
    from oejail.checks import RULES
    from oejail.checks.junit import report
    from oejail.files import atomic_write

    atomic_write(path, report(name, findings, RULES))


@app.command()
def qemu(
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

    root_file = _file(root)
    given = SetInput(
        root=root_file, inmates=tuple(InmateInput(_file(path)) for path in cells or [])
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


@app.command("map")
def draw(
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

    root_file = _file(root)
    machine, _ = _machine(root_file, mem, ram, None, None, platform, qemu)
    configs = [_decode(path, None) for path in (root, *(cells or []))]
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
