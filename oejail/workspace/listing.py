# SPDX-License-Identifier: MIT
"""What a tree offers, for `oejail init --list`: platforms, features, and what oejail knows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from oejail import oebuild, platforms, project
from oejail.errors import ConfigError, UsageFault
from oejail.platforms import Platform
from oejail.project.adopt import is_workspace
from oejail.project.model import META_OPENEULER
from oejail.project.place import FILE
from oejail.resources import data_dir
from oejail.workspace import features
from oejail.workspace import identity as who
from oejail.workspace.features import Offer


def offer(directory: Path, *, sample: bool = False, workspace: Path | None = None) -> Offer:
    """What the tree offers that belongs to `directory`: a project, or an oebuild workspace.

    `workspace` is one elsewhere; without any it is the sample tree, which travels with oejail.
    Raises UsageFault where the sources are not there yet, ConfigError as `features.read`.
    """
    version, src, config = oebuild.PINNED, None, None
    if workspace is None and (directory / FILE).exists():
        here = project.load(directory)
        if here.config.oebuild is not None:
            version = oebuild.version((str(here.path(here.config.oebuild)),), who.choose(here))
        tree = here.config.tree
        root = Path(os.path.realpath(here.path(here.config.workspace or "workspace")))
        sample = sample or here.is_sample
        src = root / "src" if tree == "openeuler" else here.path(tree)
        config = root / ".oebuild" / "config"
    elif workspace is not None or is_workspace(directory):
        root = workspace or directory
        if not is_workspace(root):
            raise UsageFault(f"{root}: no oebuild workspace", hint="oejail init --list --sample")
        src, config = root / "src", root / ".oebuild" / "config"
    if sample or src is None:
        return features.read(data_dir("samples") / META_OPENEULER / ".oebuild")
    described = Path(os.path.abspath(src)) / META_OPENEULER / ".oebuild"
    if not described.is_dir():
        raise UsageFault(
            f"{described}: not there yet",
            hint="oejail up --until update, or oejail init --list --sample",
        )
    chosen = features.feature_root(config) if config is not None and config.is_file() else None
    return features.read(described, chosen, oebuild.schemas(version))


def report(found: Offer) -> dict[str, Any]:
    """`found` as plain values, `schema_version` first."""
    boards = [platforms.load(name) for name in platforms.names()]
    chosen = {board.name: _auto(found, board) for board in boards}
    return {
        "schema_version": 1,
        "tree": str(found.root.parent),
        "feature_schema": found.schema,
        "feature_directory": found.directory,
        "platforms": [
            {
                "name": name,
                "known": name in chosen,
                "supported": bool(chosen.get(name)),
                "features": list(chosen.get(name) or ()),
            }
            for name in found.platforms
        ],
        "features": [
            {
                "name": feature.name,
                "aliases": list(feature.aliases),
                "machines": list(feature.machines) if feature.machines else None,
                "supported": [name for name, taken in chosen.items() if feature.name in taken],
                "place": feature.place,
            }
            for feature in sorted(found.features.values(), key=lambda feature: feature.name)
        ],
    }


def _auto(found: Offer, board: Platform) -> tuple[str, ...]:
    """What `features: auto` takes for a board; nothing where the tree has not all of it."""
    try:
        return features.wanted(found, board, "auto")
    except ConfigError:
        return ()
