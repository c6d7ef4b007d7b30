# SPDX-License-Identifier: MIT
"""`oejail layers`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Show, add or remove BitBake layers.")

Paths = Annotated[
    list[str], typer.Argument(metavar="PATH…", help="Directories, relative to here or to src/.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")]
Engine = Annotated[
    str | None, typer.Option(metavar="host|container", help="Whose build directory.")
]


@app.command()
def show(
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
    engine: Engine = None,
) -> None:
    """The layers of the build in BitBake's order, and which file names each."""
    from oejail import project
    from oejail.cli.output import emit_json, emit_table
    from oejail.workspace import layers
    from oejail.workspace.workspace import open_workspace

    views = layers.show(open_workspace(project.load(), engine))
    if json:
        rows = []
        for view in views:
            row = asdict(view)
            if view.conf is not None:
                row["conf"]["path"] = str(view.conf.path)
            rows.append(row)
        emit_json({"schema_version": 1, "layers": rows})
        return
    table = [("LAYER", "COLLECTION", "PRIORITY", "SERIES", "IN")]
    for view in views:
        conf = view.conf
        table.append(
            (
                view.path,
                " ".join(conf.collections) if conf else view.problem,
                "" if conf is None or conf.priority is None else str(conf.priority),
                " ".join(conf.series) if conf else "",
                ", ".join(view.where) or "the tree's sample",
            )
        )
    emit_table(table)


@app.command()
def add(paths: Paths, dry_run: DryRun = False, engine: Engine = None) -> None:
    """Add layers to compile.yaml and, where it is there, conf/bblayers.conf.

    Each is checked first: conf/layer.conf, LAYERSERIES_COMPAT, LAYERDEPENDS, collections.
    """
    _change("add", paths, dry_run, engine)


@app.command()
def remove(paths: Paths, dry_run: DryRun = False, engine: Engine = None) -> None:
    """Take layers out of compile.yaml and conf/bblayers.conf, however they are spelled there."""
    _change("remove", paths, dry_run, engine)


def _change(verb: str, paths: list[str], dry_run: bool, engine: str | None) -> None:
    from oejail import project
    from oejail.cli.output import emit
    from oejail.workspace import layers
    from oejail.workspace.workspace import open_workspace

    here = project.load()
    with here.lock(f"layers {verb}"):
        workspace = open_workspace(here, engine)
        change = layers.add if verb == "add" else layers.remove
        emit(change(workspace, paths, dry_run=dry_run).reason)
