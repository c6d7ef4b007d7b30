# SPDX-License-Identifier: MIT
"""A green build that left no artefact is completed.

From shared state BitBake restores what depends on a package and not the package: the build is
green, and nothing that was asked for lies anywhere. `bitbake -c package RECIPE` brings it back.
"""

from __future__ import annotations

from oejail import artifacts, oebuild
from oejail.artifacts import SetSpec
from oejail.engine.build import run_bitbake
from oejail.engine.text import printable
from oejail.log import logger
from oejail.workspace.model import Workspace


def complete(ws: Workspace, wanted: SetSpec) -> tuple[str, ...]:
    """Have packaged again what `wanted` misses after a build; the recipes for which that was done.

    Raises ArtifactMissing when it still is missing, with the places and the next command, and as
    `run_bitbake` does.
    """
    platform = ws.project.platform
    absent = artifacts.missing(ws.build_dir, platform, wanted)
    if absent is None:
        return ()
    recipes = absent.recipes
    logger.info(
        "build: BitBake is done, but left no %s; packaging %s again",
        ", ".join(absent.names),
        " ".join(recipes),
    )
    result = run_bitbake(ws, ["-c", "package", *recipes])
    for line in () if result.ok else result.stdout[-20:]:
        logger.warning("| %s", printable(oebuild.said(line)[1]))
    absent = artifacts.missing(ws.build_dir, platform, wanted)
    if absent is not None:
        absent.hint = (
            f"bitbake -c package brought them back neither; oejail bitbake -- -f -c compile "
            f"{' '.join(absent.recipes)}, then oejail up, builds them anew"
        )
        raise absent
    return recipes
