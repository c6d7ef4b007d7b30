# SPDX-License-Identifier: MIT
"""`clean`: what oejail made and can make again, or, with everything, all but oejail.yaml.

An adopted workspace, and a tree that oejail.yaml names by path, are somebody else's: they stay.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from oejail.engine import container
from oejail.engine.container import Container
from oejail.errors import PrerequisiteMissing, UsageFault
from oejail.files import remove_tree
from oejail.project import Project
from oejail.state import DIRTY, git_facts
from oejail.workspace import generate, sources
from oejail.workspace.model import Engine, Workspace


@dataclass(frozen=True)
class Plan:
    """What would go, what stays and why."""

    remove: tuple[Path, ...]
    keep: tuple[str, ...] = ()
    containers: tuple[Container, ...] = ()


def plan(project: Project, ws: Workspace, everything: bool) -> Plan:
    """What `clean` removes: the builds' output and what was collected; with `everything` the
    workspace with its sources and downloads, bundles and logs too. Only what is there is listed.
    """
    # --engine has a build directory of its own for the engine that oejail.yaml does not name.
    others = [f"{project.build_name}-{name}" for name in get_args(Engine)]
    names = [project.build_name, *(name for name in others if generate.known(ws.root, name))]
    builds = [ws.build_dir.parent / name for name in names]
    ours = [build / part for build in builds for part in ("tmp", "cache")]
    ours.append(project.state_dir / "artifacts")
    keep = []
    if everything:
        if project.config.workspace is not None:
            keep.append(f"{ws.root}: workspace: of oejail.yaml names it")
            whole = [build for build in builds if generate.made(ws.root, build.name)]
            ours = [path for path in ours[:-1] if path.parent not in whole] + whole
        else:
            ours = [ws.root]
            if project.workspace_link.is_symlink():
                ours.append(project.workspace_link)
        ours.append(project.dist_dir)
        ours.append(project.state_dir)  # last: the lock that is held lies in it
    else:
        ours.append(project.state_dir / "state.json")
    found: list[Container] = []
    try:
        found = container.of_workspace(ws.root)
    except PrerequisiteMissing as error:
        keep.append(f"the containers of {ws.root}: {error.message}")
    if not everything:
        found = [one for one in found if Path(one.build_dir) in builds]
    return Plan(tuple(path for path in ours if os.path.lexists(path)), tuple(keep), tuple(found))


def changed_repositories(ws: Workspace) -> list[Path]:
    """Repositories below the workspace's own src/ that have local changes."""
    if ws.src.is_symlink() or not ws.src.is_dir():
        return []
    there = sorted(path.parent for path in ws.src.glob("*/.git"))
    # A fetch that failed leaves one without a commit and without a file.
    facts = git_facts(p for p in there if sources.state(p) != "unborn" or os.listdir(p) != [".git"])
    return [path for path, fact in facts.items() if fact.endswith(DIRTY)]


def clean(ws: Workspace, chosen: Plan, force: bool) -> None:
    """Remove what `chosen` lists.

    Raises UsageFault, before anything is removed, when that would lose local changes in a
    repository and not `force`.
    """
    if ws.root in chosen.remove and not force:
        changed = changed_repositories(ws)
        if changed:
            names = ", ".join(path.name for path in changed)
            raise UsageFault(
                f"{ws.src}: {names} has local changes, which would be lost",
                hint="commit and push them, or oejail clean --all --force",
            )
    if chosen.containers:
        container.remove(chosen.containers)
    for path in chosen.remove:
        remove_tree(path)
