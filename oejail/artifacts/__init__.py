# SPDX-License-Identifier: MIT
"""What a build left: kinds, discovery, and what each file is by its content.

What is named here is imported when it is asked for: most of those who want one module of this
room, to identify a file, want none of the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oejail.artifacts.collecting import collect, missing
    from oejail.artifacts.layout import read_index
    from oejail.artifacts.model import (
        Artifact,
        ArtifactConflict,
        ArtifactMissing,
        CollectedSet,
        Collection,
        InmateSpec,
        SetSpec,
    )

__all__ = [
    "Artifact",
    "ArtifactConflict",
    "ArtifactMissing",
    "CollectedSet",
    "Collection",
    "InmateSpec",
    "SetSpec",
    "collect",
    "missing",
    "read_index",
]
_MODULES = {"collect": "collecting", "missing": "collecting", "read_index": "layout"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'model')}"), name)
    globals()[name] = value
    return value
