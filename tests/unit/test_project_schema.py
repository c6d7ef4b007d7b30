# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
import json
from typing import Any

from oejail import project
from oejail.project.model import Config
from tests.unit.test_project_init import same_as_golden


def test_golden() -> None:
    same_as_golden("schema.json", json.dumps(project.json_schema(), indent=2) + "\n")


def test_every_key_is_described() -> None:
    schema = project.json_schema()
    assert schema["additionalProperties"] is False and schema["required"] == ["version"]
    assert set(schema["properties"]) == {field.name for field in dataclasses.fields(Config)}
    for where in (schema, *schema["$defs"].values()):
        for name, item in where["properties"].items():
            undescribed = {"compression", "release", "root", "inmates", "bundle", "cells"}
            assert "description" in item or name in undescribed, name


def test_no_titles_made_from_names() -> None:
    def titles(value: Any) -> int:
        if isinstance(value, dict):
            own = isinstance(value.get("title"), str)
            return own + sum(titles(item) for item in value.values())
        return sum(map(titles, value)) if isinstance(value, list) else 0

    assert titles(project.json_schema()) == 1
