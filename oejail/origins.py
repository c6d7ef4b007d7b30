# SPDX-License-Identifier: MIT
"""What the last build was made from, kept beside its record until a bundle says it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from oejail import files, jsonfile
from oejail.bundle.manifest import Sources
from oejail.project import Project

if TYPE_CHECKING:
    from oejail.workspace import settle

SCHEMA = 1


@dataclass(frozen=True)
class _Kept:
    schema_version: int
    sources: Sources


def _file(project: Project) -> Path:
    return project.state_dir / "sources.json"


def keep(project: Project, sources: settle.Sources) -> None:
    """Remember what a build is made from. A file that says so already is left as it is."""
    path = _file(project)
    data = files.canonical_json({"schema_version": SCHEMA, "sources": dataclasses.asdict(sources)})
    try:
        if files.read_limited(path, files.MIB) == data:
            return
    except FileNotFoundError:
        files.make_directory(path.parent)
    files.atomic_write(path, data)


def kept(project: Project) -> Sources | None:
    """What the last build was made from; None when oejail did not build it.

    Raises ConfigError for a file that is not oejail's.
    """
    path = _file(project)
    try:
        data = files.read_limited(path, files.MIB)
    except FileNotFoundError:
        return None
    return jsonfile.parse(_Kept, data, str(path), SCHEMA).sources
