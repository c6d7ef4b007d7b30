# SPDX-License-Identifier: MIT
"""Running BitBake through oebuild: start, progress, interruption, true result, diagnosis."""

from oejail.engine.build import (
    as_json,
    attempt,
    build,
    failed,
    last_build,
    redo,
    require_build_dir,
    require_engine,
)
from oejail.engine.complete import complete
from oejail.engine.interactive import bitbake, shell
from oejail.engine.model import BuildResult, Failure

__all__ = [
    "BuildResult",
    "Failure",
    "as_json",
    "attempt",
    "bitbake",
    "build",
    "complete",
    "failed",
    "last_build",
    "redo",
    "require_build_dir",
    "require_engine",
    "shell",
]
