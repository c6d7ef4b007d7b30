# SPDX-License-Identifier: MIT
"""How long the last successful build of the same targets took: what the next one may expect.

Kept in `.oejail/durations.json`. A build in which nothing was to be done says nothing about one
that has something to do, and is not kept.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from oejail import files
from oejail.engine.model import BuildResult
from oejail.errors import ConfigError
from oejail.workspace.model import Workspace

FILE = "durations.json"
KEEP = 64
_MAX_SIZE = 256 * 1024
_MAX_SECONDS = 30 * 24 * 3600.0


def expected(ws: Workspace, targets: tuple[str, ...]) -> float | None:
    """Seconds of the last successful build of `targets` in this build directory; None: unknown."""
    seconds = _read(ws).get(_key(ws, targets))
    if isinstance(seconds, (int, float)) and 0 < seconds <= _MAX_SECONDS:
        return float(seconds)
    return None


def remember(ws: Workspace, result: BuildResult) -> None:
    """Keep how long a successful build took. What cannot be written is no reason to fail."""
    if not (result.ok and result.tasks_run):
        return
    builds = _read(ws)
    key = _key(ws, result.targets)
    builds.pop(key, None)
    builds[key] = result.seconds
    builds = dict(list(builds.items())[-KEEP:])
    text = json.dumps({"schema_version": 1, "builds": builds}, indent=1)  # in order: oldest first
    with contextlib.suppress(OSError):
        files.atomic_write(ws.project.state_dir / FILE, text + "\n")


def _key(ws: Workspace, targets: tuple[str, ...]) -> str:
    return " ".join([ws.engine, ws.build_name, *sorted(targets)])


def _read(ws: Workspace) -> dict[str, Any]:
    try:
        raw = json.loads(files.read_limited(ws.project.state_dir / FILE, _MAX_SIZE))
    except (OSError, ValueError, RecursionError, ConfigError):
        return {}
    builds = raw.get("builds") if isinstance(raw, dict) and raw.get("schema_version") == 1 else None
    return builds if isinstance(builds, dict) else {}
