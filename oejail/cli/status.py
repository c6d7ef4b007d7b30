# SPDX-License-Identifier: MIT
"""`oejail status`."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Where the project stands: workspace, each stage of `up`, the last build, the bundle.

    Nothing is changed, and no lock is taken: it may be asked while a build runs.
    """
    from oejail import pipeline, project
    from oejail.cli.output import emit, emit_json, emit_table

    here = project.load()
    report = pipeline.status(here)
    if as_json:
        emit_json({"schema_version": 1, **report})
        return
    emit_table(
        [
            ["project", str(here.root)],
            ["platform", here.platform.name],
            ["tree", here.config.tree],
            ["engine", here.config.engine],
            ["workspace", report["workspace"] or "not made yet"],
            ["bundle", report["bundle"] or "none yet"],
            ["working", report["holder"] or "nobody"],
            *(["container", words] for words in report["containers"]),
        ]
    )
    emit()
    emit_table([[stage["name"], stage["stale"] or "up to date"] for stage in report["stages"]])
