# SPDX-License-Identifier: MIT
"""`oejail layers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from oejail.workspace.layers import View

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
    """The layers of the build in BitBake's order, what names each, and what is wrong with it."""
    from oejail import project
    from oejail.cli.output import emit, emit_json, emit_table
    from oejail.workspace import layers
    from oejail.workspace.workspace import open_workspace

    views = layers.show(open_workspace(project.load(), engine))
    if json:
        emit_json({"schema_version": 1, "layers": [_as_json(view) for view in views]})
        return
    table = [("LAYER", "COLLECTION", "PRIORITY", "SERIES", "IN")]
    for view in views:
        collections = view.conf.collections if view.conf else ()
        priorities = [c.priority for c in collections if c.priority is not None]
        series = dict.fromkeys(s for c in collections for s in c.series)
        table.append(
            (
                view.path,
                " ".join(c.name for c in collections) or "-",
                " ".join(map(str, priorities)) or "-",
                " ".join(series) or "-",
                ", ".join(view.where),
            )
        )
    emit_table(table)
    for view in views:
        for problem in view.problems:
            emit(f"problem: {view.path}: {problem}")


def _as_json(view: View) -> dict[str, Any]:
    conf = view.conf
    collections = [
        {
            "name": collection.name,
            "priority": collection.priority,
            "version": collection.version,
            "series": list(collection.series),
            "depends": [str(dependency) for dependency in collection.depends],
        }
        for collection in (conf.collections if conf else ())
    ]
    return {
        "path": view.path,
        "directory": str(conf.path) if conf else None,
        "collections": collections,
        "where": list(view.where),
        "problems": list(view.problems),
    }


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
