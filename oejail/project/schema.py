# SPDX-License-Identifier: MIT
"""The JSON Schema of oejail.yaml, from the model."""

from __future__ import annotations

from typing import Any

from oejail.project.model import Config
from oejail.project.place import FILE


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) for editors and other programs.

    What a schema cannot say (that an RTOS fits the board, that a name is known) oejail checks.
    """
    from pydantic import TypeAdapter

    schema = _without_titles(TypeAdapter(Config).json_schema(mode="validation"))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": FILE,
    }


def _without_titles(value: Any) -> Any:
    """Without the titles that pydantic derives from field names; `title` may be a field, though."""
    if isinstance(value, dict):
        return {
            key: _without_titles(item)
            for key, item in value.items()
            if not (key == "title" and isinstance(item, str))
        }
    if isinstance(value, list):
        return [_without_titles(item) for item in value]
    return value
