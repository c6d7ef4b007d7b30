# SPDX-License-Identifier: MIT
"""What a build left: kinds, discovery, and what each file is by its content."""

from oejail.artifacts.collect import collect
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
    "read_index",
]
