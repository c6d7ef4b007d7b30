# SPDX-License-Identifier: MIT
"""`oejail boot`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oejail.cli.output import emit, emit_json, emit_table
from oejail.errors import UsageFault
from oejail.files import naming
from oejail.text import printable

if TYPE_CHECKING:
    from oejail.target import Boot
    from oejail.target.console import Line

_MAX_SHOWN = 200


def command(
    bundle: Annotated[
        Path | None,
        typer.Argument(metavar="[BUNDLE]", help="The archive; default: the project's."),
    ] = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="Run an inmate's image alone: no Jailhouse, no Linux.")
    ] = False,
    expect: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Wait for TEXT, once, instead of the set's text."),
    ] = None,
    timeout: Annotated[
        int, typer.Option(metavar="S", help="Seconds to wait for each answer.")
    ] = 60,
    inmate: Annotated[
        str | None, typer.Option(metavar="CELL", help="Which one, where the set has several.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a JUnit report too.")
    ] = None,
    qemu_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="ARG", help="One more argument for QEMU; --qemu-arg=-m --qemu-arg=1G"),
    ] = None,
) -> None:
    """Boot a bundle in QEMU and see the RTOS run.

    Today with --bare only: the bundle is verified, and the image of one inmate runs alone on QEMU's
    virt machine (emulated; KVM where the host is an AArch64 one that has it) until its console has
    shown the text that the set expects, twice where it is to be repeated.

    Leaves transcript.txt, results.json, junit.xml and the image in the project's
    .oejail/runs/STAMP, without a project in ./oejail-runs/STAMP. Status 5 when the machine stays
    silent, says something else, dies or never answers; 3 when the bundle is broken; 6 without QEMU.
    """
    if not bare:
        raise UsageFault(
            "booting a whole set is not there yet",
            hint="oejail boot --bare runs one inmate's image alone",
        )
    from oejail.target import boot_bare

    done = boot_bare(
        _of_project() if bundle is None else bundle,
        expect=expect,
        timeout=timeout,
        inmate=inmate,
        qemu_args=qemu_arg or (),
        show=(lambda _: None) if json else _Shown(),
    )
    if junit is not None:
        from oejail.files import atomic_write
        from oejail.target.results import junit as report

        atomic_write(junit, report(done.results))
    if json:
        emit_json({**done.results.to_dict(), "directory": str(done.directory)})
    else:
        _table(done)
    if done.fault is not None:
        raise done.fault


def _of_project() -> Path:
    from oejail import project as projects

    project = projects.load()
    return project.bundle


class _Shown:
    """Shows the console's first lines as they come; the transcript has them all."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, line: Line) -> None:
        self.count += 1
        if self.count > _MAX_SHOWN + 1:
            return
        try:
            if self.count <= _MAX_SHOWN:
                emit(f"{line.seconds:8.3f}  {printable(line.text)}")
            else:
                emit("       …  more is in the transcript")
            if sys.stdout is not None:
                with naming(Path("standard output")):
                    sys.stdout.flush()
        except BrokenPipeError:
            # The reader (head, grep -q) has seen enough; the verdict is wanted all the same.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def _table(done: Boot) -> None:
    if done.results.bundle["sample"]:
        emit("SAMPLE: made from the sample tree, not Jailhouse")
    rows = [
        (step.name, step.outcome, f"{step.seconds:.1f} s", printable(step.detail.split("\n")[0]))
        for step in done.results.steps
    ]
    emit_table([row if row[1] == "passed" else (*row[:3], "") for row in rows])
    emit(f"results: {done.directory}")
