# SPDX-License-Identifier: MIT
"""`oejail collect`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oejail.cli.output import emit, emit_json, emit_table
from oejail.errors import UsageFault
from oejail.log import logger

if TYPE_CHECKING:
    from oejail.artifacts import Collection


def command(
    build_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A build directory that somebody else built."),
    ] = None,
    platform: Annotated[
        str | None, typer.Option(metavar="P", help="Its platform: a name, or a platform file.")
    ] = None,
    inmate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CELL=IMAGE",
            help="An inmate instead of the platform's own: its configuration, and what runs in it.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Where the files go; replaced as a whole.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Gather what a build left, identified by content.

    In a project: from its own build, to .oejail/artifacts. With --build-dir and --platform: from
    any Yocto build directory, to ./oejail-artifacts; the set of cells is then the platform's own,
    or its root with each --inmate, such as qemu-arm64-inmate-demo=inmates/uart-demo.bin. Nothing in
    the build directory is changed, and tmp/work is never walked.
    """
    if build_dir is None:
        if inmate:
            raise UsageFault("--inmate goes with --build-dir", hint="oejail.yaml has the set here")
        if platform is not None:
            raise UsageFault("--platform goes with --build-dir", hint="oejail.yaml names it here")
        collection, where = _own(out)
    else:
        if platform is None:
            raise UsageFault("--build-dir needs --platform", hint="name the board it was built for")
        collection, where = _foreign(
            build_dir, platform, inmate or (), out or Path("oejail-artifacts")
        )
    if json:
        emit_json({"schema_version": 1, "out": str(where), **asdict(collection)})
        return
    if collection.sample:
        emit("SAMPLE: made from the sample tree, not Jailhouse")
    emit_table([(a.path, str(a.size), a.sha256[:12], a.origin) for a in collection.artifacts])
    if collection.absent:
        emit(f"absent: {', '.join(collection.absent)}")
    emit(f"collected: {where}")


def _own(out: Path | None) -> tuple[Collection, Path]:
    from oejail import project as projects
    from oejail.artifacts import SetSpec, collect
    from oejail.artifacts.places import find_places
    from oejail.workspace.workspace import open_workspace

    project = projects.load()
    where = out or project.state_dir / "artifacts"
    with project.lock("collect"):
        build_dir = open_workspace(project).build_dir
        try:
            find_places(build_dir, project.platform.machine)
        except UsageFault as error:
            error.hint = "oejail build first"
            raise
        return collect(build_dir, project.platform, SetSpec.from_project(project), where), where


def _foreign(
    build_dir: Path, platform: str, inmates: Sequence[str], out: Path
) -> tuple[Collection, Path]:
    from oejail import platforms
    from oejail.artifacts import SetSpec, collect

    board = platforms.load(platform)
    wanted = SetSpec.from_platform(board, chosen=[_pair(text) for text in inmates])
    cells = ", ".join([wanted.root, *(inmate.cell for inmate in wanted.inmates)])
    root = "the root is" if inmates else "the set is"
    logger.info("%s that of platform %s: %s", root, board.name, cells)
    return collect(build_dir, board, wanted, out), out


def _pair(text: str) -> tuple[str, str]:
    """A cell's file stem, and an image; SetSpec looks at the image's name."""
    match = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._+-]*)=(.+)", text)
    if match is None:
        raise UsageFault(
            f"--inmate {text!r}: found no CELL=IMAGE",
            hint="such as --inmate qemu-arm64-inmate-demo=inmates/uart-demo.bin",
        )
    return match[1].removesuffix(".cell"), match[2]
