# SPDX-License-Identifier: MIT
"""The nativesdk of oejail.yaml: the tools that openEuler's container brings, for the host engine.

oebuild sources its environment-setup-… before BitBake starts and writes its sysroot's path into
conf/local.conf; one that it does not like it passes over without a word (0.2.1.1 and later). So it
is looked at here, by oebuild's own criteria (`local_conf.py`, `util.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from oejail import oebuild
from oejail.errors import ConfigError, PrerequisiteMissing
from oejail.files import MIB, read_limited
from oejail.project.model import bad_workspace_path
from oejail.workspace.model import Workspace

_SYSROOT = re.compile(r"x86_64-[a-zA-Z0-9]+-linux")
_SETTING = "export OECORE_NATIVE_SYSROOT="
_HINT = "set nativesdk: in oejail.yaml to where the nativesdk's own script installed it, or to null"


@dataclass(frozen=True)
class NativeSdk:
    """A nativesdk that oebuild takes."""

    directory: Path
    environment: Path
    """The script that puts its tools on PATH."""


def declared(ws: Workspace) -> NativeSdk | None:
    """The nativesdk of oejail.yaml, for the host engine. Raises ConfigError for an unfit one."""
    value = ws.project.config.nativesdk
    if value is None or ws.engine != "host":
        return None
    # As it is written there: its scripts name the place where they were installed.
    return look_at(ws.project.path(value))


def in_use(ws: Workspace) -> NativeSdk | None:
    """The one of oejail.yaml, else that in oebuild's default place where oebuild takes it."""
    found = declared(ws)
    if found is not None or ws.engine != "host" or ws.project.config.nativesdk is not None:
        return found
    try:
        return look_at(Path(oebuild.NATIVESDK))
    except ConfigError:
        return None


def require(ws: Workspace, version: str) -> None:
    """Raise PrerequisiteMissing where this oebuild's host mode ends for want of a nativesdk."""
    if ws.engine == "host" and oebuild.needs_nativesdk(version) and in_use(ws) is None:
        raise PrerequisiteMissing(
            f"oebuild {version}: its host mode needs a nativesdk, and {oebuild.NATIVESDK} is none",
            hint=f"set nativesdk: in oejail.yaml, or use oebuild {oebuild.PINNED} (oebuild: null)",
        )


def look_at(directory: Path) -> NativeSdk:
    """A nativesdk as oebuild wants it. Raises ConfigError saying what it lacks."""
    wrong = bad_workspace_path(str(directory))
    if wrong is not None:
        raise ConfigError(f"nativesdk {directory}: {wrong}", hint=_HINT)
    if not directory.is_dir():
        raise ConfigError(f"nativesdk {directory}: no such directory", hint=_HINT)
    scripts = [
        path
        for path in sorted(directory.glob("environment-setup-*"))
        if path.is_file() and not path.is_symlink()
    ]
    if not scripts:
        raise ConfigError(f"nativesdk {directory}: no environment-setup-… in it", hint=_HINT)
    sysroots = directory / "sysroots"
    if not any(p.is_dir() and _SYSROOT.fullmatch(p.name) for p in sysroots.glob("*")):
        raise ConfigError(f"nativesdk {directory}: no sysroots/x86_64-…-linux in it", hint=_HINT)
    for script in scripts:
        text = read_limited(script, MIB).decode("utf-8", "replace")
        for line in text.splitlines():
            place = line.removeprefix(_SETTING).strip('"')
            if line.startswith(_SETTING) and not place.startswith(str(directory)):
                raise ConfigError(
                    f"{script}: it was installed at {place}, not at {directory}", hint=_HINT
                )
    if len(scripts) > 1:
        raise ConfigError(
            f"nativesdk {directory}: {scripts[0].name} and {scripts[1].name}: oebuild takes any",
            hint="keep one of them",
        )
    return NativeSdk(directory, scripts[0])
