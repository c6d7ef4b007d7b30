# SPDX-License-Identifier: MIT
"""Find and read platform files."""

from __future__ import annotations

import difflib
from pathlib import Path

from oejail import configfile
from oejail.errors import ConfigError
from oejail.platforms.model import Platform

_HERE = Path(__file__).parent


def names() -> list[str]:
    """The platforms that oejail brings, sorted."""
    return sorted(path.stem for path in _HERE.glob("*.yaml"))


def file_of(name_or_path: str, base: Path | None = None) -> Path:
    """The file of a platform's name, or of a path (relative to `base`; it has a `/` or `.yaml`).

    Raises ConfigError for a name that oejail does not know.
    """
    if "/" in name_or_path or name_or_path.endswith((".yaml", ".yml")):
        return (base or Path()) / Path(name_or_path).expanduser()
    if name_or_path in names():
        return _HERE / f"{name_or_path}.yaml"
    near = difflib.get_close_matches(name_or_path, names(), 1)
    guess = f"did you mean {near[0]}?" if near else f"known are {', '.join(names())}"
    raise ConfigError(f"platform {name_or_path!r} is unknown; {guess} (or give a file's path)")


def load(name_or_path: str, base: Path | None = None) -> Platform:
    """Read a platform. Raises ConfigError with every error of the file."""
    return configfile.read(file_of(name_or_path, base), Platform)
