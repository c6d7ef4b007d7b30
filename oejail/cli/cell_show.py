# SPDX-License-Identifier: MIT
"""`oejail cell show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oejail.cli.cell import Json, Layout, decode_file
from oejail.cli.output import emit, emit_json
from oejail.errors import UsageFault


def command(
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
    configs = [(path, decode_file(path, layout, arch)) for path in files]
    if json:
        views = [{"file": str(path), **to_dict(config)} for path, config in configs]
        emit_json({"schema_version": 1, "configurations": views})
        return
    for number, (path, config) in enumerate(configs):
        for line in [*([""] if number else []), str(path), *lines_of(config)]:
            emit(line)
