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
from oejail.log import logger
from oejail.text import printable

if TYPE_CHECKING:
    from oejail.target import Boot
    from oejail.target.console import Line

_MAX_SHOWN = 200
_ROOT = "root"


def command(
    bundle: Annotated[
        Path | None,
        typer.Argument(
            metavar="[BUNDLE|DIR]",
            help="The archive, or what collect left; default: the project's.",
        ),
    ] = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="Run an inmate's image alone: no Jailhouse, no Linux.")
    ] = False,
    inmate: Annotated[
        list[str] | None,
        typer.Option(metavar="CELL", help="Which inmates of the set; default: all of them."),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Wait for TEXT, once, instead of the set's text."),
    ] = None,
    timeout: Annotated[
        int, typer.Option(metavar="S", help="Seconds to wait for each answer.")
    ] = 60,
    kernel: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Kernel image, instead of the bundle's.")
    ] = None,
    initrd: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Root file system, instead of the bundle's.")
    ] = None,
    append: Annotated[
        list[str] | None, typer.Option(metavar="ARG", help="One more argument for the kernel.")
    ] = None,
    qemu_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="ARG", help="One more argument for QEMU; --qemu-arg=-m --qemu-arg=1G"),
    ] = None,
    login: Annotated[
        str, typer.Option(metavar="USER", help="Who logs in where the guest asks.")
    ] = _ROOT,
    password_file: Annotated[
        Path | None, typer.Option(metavar="F", help="The file whose first line is the password.")
    ] = None,
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Leave out shutdown, destroy and disable.")
    ] = False,
    interactive: Annotated[
        bool,
        typer.Option(
            "--interactive", help="Hand the console over once the cells run; Ctrl-] ends."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a JUnit report too.")
    ] = None,
) -> None:
    """Boot a bundle in QEMU and see the RTOS run in its cell.

    The bundle is verified; its kernel and root file system boot on the machine that the set wants,
    always emulated, with the payload at /oejail. Then the module is loaded, the hypervisor enabled,
    each inmate created, loaded, started and watched until it has said what the set expects; in the
    end all is taken down again. With --bare, and for a sample, which has no kernel, the image of
    one inmate runs alone.

    Leaves transcript.txt, results.json and junit.xml in the project's .oejail/runs/STAMP, without a
    project in ./oejail-runs/STAMP. Status 5 when the target fails or stays silent, with the cause's
    name; 3 when the bundle is broken or cannot work so, with the rule's id; 6 without QEMU.
    """
    from oejail.target import Wishes, boot, boot_bare
    from oejail.target.source import is_sample_alone

    if junit is not None:
        _make_way(junit)
    path = _of_project() if bundle is None else bundle
    show = (lambda _: None) if json else _Shown()
    guest = kernel or initrd or append or password_file or keep_running or interactive
    guest = guest or login != _ROOT
    if bare and guest:
        raise UsageFault("--bare: there is no guest that the other options could be for")
    if not bare and not guest and is_sample_alone(path):
        logger.info("%s: a sample has no kernel: its inmate's image runs alone", path)
        bare = True
    if bare:
        if inmate and len(inmate) > 1:
            raise UsageFault("--bare: one inmate runs alone", hint="give --inmate once")
        done = boot_bare(
            path,
            expect=expect,
            timeout=timeout,
            inmate=inmate[0] if inmate else None,
            qemu_args=qemu_arg or (),
            show=show,
        )
    else:
        wishes = Wishes(
            expect=expect,
            timeout=timeout,
            inmates=inmate or (),
            kernel=kernel,
            initrd=initrd,
            append=append or (),
            qemu_args=qemu_arg or (),
            user=login,
            password=_password(password_file),
            keep_running=keep_running,
            interactive=interactive,
        )
        done = boot(path, wishes, show)
    if json:
        emit_json({**done.results.to_dict(), "directory": str(done.directory)})
    else:
        _table(done)
    if junit is not None:
        from oejail.files import atomic_write
        from oejail.target.results import junit as report

        atomic_write(junit, report(done.results))
    if done.fault is not None:
        raise done.fault


def _make_way(report: Path) -> None:
    """Remove an earlier run's report, which would be taken for that of a run that is refused."""
    if not report.parent.is_dir():
        raise UsageFault(f"--junit {report}: {report.parent} is no directory")
    if report.is_dir():
        raise UsageFault(f"--junit {report}: is a directory")
    if report.is_file():
        with naming(report):
            report.resolve().unlink()


def _password(path: Path | None) -> str | None:
    """The first line of the file; never on a command line, where all could read it."""
    if path is None:
        return None
    from oejail.files import read_limited

    try:
        line = read_limited(path, 4096).decode().split("\n")[0].rstrip("\r")
    except (FileNotFoundError, PermissionError) as error:
        raise UsageFault(f"{path}: {error.strerror} (--password-file)") from None
    except UnicodeDecodeError:
        raise UsageFault(f"{path}: no text (--password-file)") from None
    if not line.isprintable():
        raise UsageFault(f"{path}: control characters in its first line (--password-file)")
    return line


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
