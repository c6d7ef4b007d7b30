# SPDX-License-Identifier: MIT
"""`oejail init`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from oejail.cli.output import emit, emit_json, emit_table
from oejail.errors import UsageFault


def command(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The project; made when it is missing.")
    ] = Path(),
    platform: Annotated[
        str | None, typer.Option(metavar="P", help="A board's name, or a platform file.")
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Build the miniature tree that travels with oejail.")
    ] = False,
    workspace: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where oebuild works, or a workspace to adopt."),
    ] = None,
    build: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which build directory of an adopted workspace."),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="Show the platforms and features of the tree instead.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --list: as JSON.")] = False,
) -> None:
    """Write a commented oejail.yaml, or adopt an oebuild workspace.

    A workspace that oebuild made, in DIR itself or given by --workspace, is adopted as it is:
    platform, build directory, engine and sources are read from it. An oejail.yaml that is there
    is never overwritten.

    With --list nothing is written: what the tree of the project in DIR, of an oebuild workspace,
    or else the sample tree offers oebuild, and for what of it oejail has a platform file.
    """
    if listing:
        _list(directory, sample, workspace, as_json)
        return
    if as_json:
        raise UsageFault("--json goes with --list", hint="oejail init --list --json")
    from oejail import project
    from oejail.log import logger

    path = project.init(
        directory, platform=platform, sample=sample, workspace=workspace, build=build
    )
    emit(str(path))
    logger.info("next: oejail -C %s up", shlex.quote(str(path.parent)))


def _list(directory: Path, sample: bool, workspace: Path | None, as_json: bool) -> None:
    from oejail.workspace import listing

    report = listing.report(listing.offer(directory, sample=sample, workspace=workspace))
    if as_json:
        emit_json(report)
        return
    emit(f"tree: {report['tree']} ({report['feature_directory']}, {report['feature_schema']})")
    rows = [("PLATFORM", "OEJAIL", "FEATURES: AUTO")]
    for one in report["platforms"]:
        lacks = "no feature for Jailhouse" if one["known"] else "no platform file"
        known = "supported" if one["supported"] else lacks
        rows.append((one["name"], known, " ".join(one["features"])))
    emit_table(rows)
    rows = [("FEATURE", "OEJAIL", "PLATFORMS")]
    for one in report["features"]:
        taken = "auto" if one["supported"] else "-"
        rows.append((one["name"], taken, " ".join(one["machines"] or ["all"])))
    emit_table(rows)
