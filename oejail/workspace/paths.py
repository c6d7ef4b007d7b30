# SPDX-License-Identifier: MIT
"""Where the workspace lies. oebuild uses paths unquoted in shell scripts, so not every one will do.

A project at a path that oebuild cannot bear has its workspace in the user's cache, and a link to
it where the user looks for it.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from oejail.errors import UsageFault
from oejail.files import read_limited
from oejail.process import Identity
from oejail.project import Project
from oejail.project.model import bad_workspace_path

OWNER_FILE = ".oejail-project"
"""In a workspace below the cache: the path of the project that it belongs to."""


@dataclass(frozen=True)
class Location:
    """`root`: the workspace, absolute and resolved. `link`: where a link to it belongs."""

    root: Path
    link: Path | None = None


def locate(project: Project, identity: Identity) -> Location:
    """Find the place of the project's workspace; nothing is made.

    Raises UsageFault when oebuild cannot bear its path, or when it lies inside another workspace.
    """
    declared = project.config.workspace
    if declared is not None:
        location = Location(_resolved(project.path(declared)))
    elif (outside := _outside(project, identity)) is not None:
        location = Location(outside, project.workspace_link)
    else:
        location = Location(_resolved(project.workspace_link))
    wrong = bad_workspace_path(str(location.root))
    if wrong is not None:
        where = "" if location.link is None else " (nor in the project's own path)"
        raise UsageFault(
            f"workspace {location.root}: {wrong}{where}",
            hint="set workspace: in oejail.yaml (or oejail init --workspace DIR) to a path of "
            "letters, digits and . _ / + -",
        )
    for above in location.root.parents:
        if (above / ".oebuild" / "config").is_file():
            raise UsageFault(
                f"workspace {location.root}: lies inside the oebuild workspace {above}, "
                "which oebuild refuses",
                hint=f"oejail init --workspace {above} adopts that one",
            )
    return location


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _outside(project: Project, identity: Identity) -> Path | None:
    """The cache directory of a project whose own path will not do; None when that does."""
    link = project.workspace_link
    if bad_workspace_path(str(_resolved(link))) is None and not _is_ours(link, identity):
        return None
    place = _cache(identity) / _cache_name(project.root)
    if link.is_symlink() and _is_ours(link, identity):
        # A project that was moved keeps its workspace; a copy of a project does not share it.
        there = _resolved(link)
        owner = owner_of(there)
        moved = owner is not None and owner != project.root and not _uses(owner, there)
        if moved or owner == project.root:
            return there
    return place


def _is_ours(link: Path, identity: Identity) -> bool:
    """True for a link into the cache."""
    return link.is_symlink() and _resolved(link).parent == _cache(identity)


def _uses(owner: Path, workspace: Path) -> bool:
    return os.path.realpath(owner / "workspace") == str(workspace)


def owner_of(workspace: Path) -> Path | None:
    """The project that a workspace in the cache was made for."""
    try:
        return Path(os.fsdecode(read_limited(workspace / OWNER_FILE, 8192)).rstrip("\n"))
    except OSError:
        return None


def _cache(identity: Identity) -> Path:
    """Where workspaces lie that cannot lie in their projects: the build user must get there."""
    if identity.kind == "user":
        base = os.path.join(identity.home, ".cache")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not base.startswith("/"):  # unset, or relative, which the specification rules out
            base = os.path.join(Path.home(), ".cache")
    return _resolved(Path(base)) / "oejail" / "workspaces"


def _cache_name(root: Path) -> str:
    """`<name>-<hash>`: readable, of good characters, and no other project's."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", root.name).strip("-")[:40] or "project"
    return f"{name}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"
