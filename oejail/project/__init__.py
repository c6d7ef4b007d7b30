# SPDX-License-Identifier: MIT
"""oejail.yaml: found, checked, written.

The names are loaded when they are used: finding a project must not cost what reading one does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oejail.project.create import init
    from oejail.project.loading import load
    from oejail.project.model import Cells, Config, Inmate
    from oejail.project.place import find
    from oejail.project.project import Project
    from oejail.project.schema import json_schema

__all__ = ["Cells", "Config", "Inmate", "Project", "find", "init", "json_schema", "load"]

_HOMES = {
    "Cells": "model",
    "Config": "model",
    "Inmate": "model",
    "Project": "project",
    "find": "place",
    "init": "create",
    "json_schema": "schema",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
