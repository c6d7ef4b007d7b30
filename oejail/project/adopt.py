# SPDX-License-Identifier: MIT
"""Read what an oebuild workspace says of itself, to write an oejail.yaml that fits it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oejail import platforms
from oejail.errors import UsageFault
from oejail.log import logger
from oejail.project.model import BUILD_NAME, META_OPENEULER, bad_ref, bad_url
from oejail.yamltext import read_mapping

OEBUILD_KEY = META_OPENEULER.replace("-", "_")
"""How .oebuild/config calls the repository yocto-meta-openeuler."""


@dataclass(frozen=True)
class Adopted:
    """What was found; None where the workspace does not say."""

    platform: str | None = None
    build_name: str | None = None
    engine: str | None = None
    url: str | None = None
    branch: str | None = None


def is_workspace(directory: Path) -> bool:
    """True when oebuild made `directory`."""
    return (directory / ".oebuild" / "config").is_file()


def adopt(workspace: Path, platform: str | None = None, build: str | None = None) -> Adopted:
    """Read `workspace`. `platform` and `build` choose among several build directories.

    Raises UsageFault when they do not decide, or name what is not there; ConfigError for a file
    of the workspace that cannot be read.
    """
    repositories = _mapping(read_mapping(workspace / ".oebuild" / "config").get("basic_repo"))
    main = _mapping(repositories.get(OEBUILD_KEY))
    url, branch = main.get("remote_url"), main.get("branch")
    chosen = _choose(workspace, _builds(workspace), platform, build)
    return Adopted(
        platform=_platform_of(chosen[1]) if chosen else platform,
        build_name=chosen[0] if chosen else None,
        engine=_engine_of(chosen[1]) if chosen else None,
        url=url if isinstance(url, str) and bad_url(url) is None else None,
        branch=branch if isinstance(branch, str) and bad_ref(branch) is None else None,
    )


def _builds(workspace: Path) -> list[tuple[str, dict[str, Any]]]:
    """Build directories that oejail can work in: name and compile.yaml, sorted."""
    found = []
    for path in sorted((workspace / "build").glob("*/compile.yaml")):
        name = path.parent.name
        if re.fullmatch(BUILD_NAME, name) is None:
            logger.warning("%s: passed over; a build name is of a-z, 0-9, _ -", path.parent)
            continue
        data = read_mapping(path)
        if _platform_of(data) is None:
            logger.warning("%s: passed over; machine %s is unknown", path, data.get("machine"))
            continue
        found.append((name, data))
    return found


def _choose(
    workspace: Path,
    builds: list[tuple[str, dict[str, Any]]],
    platform: str | None,
    build: str | None,
) -> tuple[str, dict[str, Any]] | None:
    fitting = [
        (name, data)
        for name, data in builds
        if build in (None, name) and platform in (None, _platform_of(data))
    ]
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(f"{name} ({_platform_of(data)})" for name, data in builds) or "none"
    if build is not None:
        raise UsageFault(
            f"{workspace}: no build directory {build}"
            + (f" for {platform}" if platform else "")
            + f"; there are: {listed}",
            hint="give one of them to --build",
        )
    if len(fitting) > 1:
        raise UsageFault(
            f"{workspace}: several build directories: {listed}", hint="choose one with --build NAME"
        )
    return None


def _platform_of(data: dict[str, Any]) -> str | None:
    machine = data.get("machine")
    return next((n for n in platforms.names() if platforms.load(n).machine == machine), None)


def _engine_of(data: dict[str, Any]) -> str:
    return "host" if data.get("build_in") == "host" else "container"


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
