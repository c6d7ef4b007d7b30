# SPDX-License-Identifier: MIT
"""What meta-oejail's appends deployed of a recipe, by its index.

The class oejail-deploy.bbclass writes it: tmp/deploy/images/MACHINE/oejail/RECIPE/oejail-index.json
beside the files that it lists. The build directory is somebody else's, so is the index.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from oejail import jsonfile
from oejail.artifacts.places import MAX_ENTRIES, Places
from oejail.constraints import STRICT, Check, Matches
from oejail.errors import ConfigError
from oejail.files import MIB

INDEX = "oejail-index.json"
SCHEMA = 1

_PART = re.compile(r"[A-Za-z0-9_+~@:%=,.-]{1,255}")


def _bad_path(value: str) -> str | None:
    """What is wrong with `value` as a path below the index's directory; None when nothing is."""
    parts = value.split("/")
    if len(value) > 1024 or any(p in (".", "..") or not _PART.fullmatch(p) for p in parts):
        return f"{value[:80]!r} is no path below its directory"
    return None


@dataclass(frozen=True)
class IndexedFile:
    """A deployed file."""

    __pydantic_config__: ClassVar[Any] = STRICT

    path: Annotated[str, Check(_bad_path)]
    """Below the index's directory; on the target as well, without the leading slash."""
    origin: str
    package: str
    sha256: Annotated[str, Matches(r"[0-9a-f]{64}", "a SHA-256 in hex digits")]
    size: int
    """In bytes."""
    mode: int


@dataclass(frozen=True)
class Index:
    """oejail-index.json."""

    __pydantic_config__: ClassVar[Any] = STRICT

    schema_version: int
    recipe: str
    version: str
    """As in a work directory's name."""
    files: tuple[IndexedFile, ...]


def read_index(places: Places, recipe: str) -> Index | None:
    """The index of `recipe`; None where there is none.

    Raises ConfigError for one that is broken, of another recipe, or leads out of its directory,
    PermissionError where it may not be read.
    """
    path = places.indexed(recipe) / INDEX
    try:
        with places.open(path, 16 * MIB) as stream:
            data = stream.read(16 * MIB)
    except PermissionError:
        raise
    except OSError:
        return None
    except ConfigError:
        if not path.exists():
            return None
        raise
    index = jsonfile.parse(Index, data, str(path), SCHEMA)
    if index.recipe != recipe:
        raise ConfigError(f"{path}: is of recipe {index.recipe!r}, not {recipe!r}")
    if len(index.files) > MAX_ENTRIES:
        raise ConfigError(f"{path}: more than {MAX_ENTRIES} files")
    return index
