# SPDX-License-Identifier: MIT
"""How long the last build took."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from oejail import oebuild, project
from oejail.engine import durations
from oejail.engine.model import BuildResult
from oejail.workspace.model import Workspace

DONE = BuildResult(True, False, ("b", "a"), 9, 5, (), 187.0, Path("/log"))


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    project.init(tmp_path / "p", sample=True)
    here = project.load(tmp_path / "p")
    here.state_dir.mkdir(exist_ok=True)
    return Workspace(tmp_path / "ws", here, "q", "host", "sample", oebuild.DEFAULT_PREFIX)


def test_the_last_successful_build_of_the_same_targets(ws: Workspace) -> None:
    assert durations.expected(ws, ("a", "b")) is None
    durations.remember(ws, DONE)
    assert durations.expected(ws, ("a", "b")) == 187
    assert durations.expected(ws, ("a",)) is None
    assert durations.expected(dataclasses.replace(ws, build_name="r"), ("a", "b")) is None
    for other in ({"ok": False}, {"tasks_run": 0}):
        durations.remember(ws, dataclasses.replace(DONE, seconds=1.0, **other))
    assert durations.expected(ws, ("a", "b")) == 187


def test_old_ones_are_dropped(ws: Workspace) -> None:
    for number in range(durations.KEEP + 3):
        durations.remember(ws, dataclasses.replace(DONE, targets=(str(number),)))
    assert durations.expected(ws, ("2",)) is None
    assert durations.expected(ws, ("3",)) == 187


@pytest.mark.parametrize(
    "text",
    ["", "[", "[]", "7", '{"schema_version": 2, "builds": {}}', '{"schema_version": 1}', "[" * 9999]
    + [json.dumps({"schema_version": 1, "builds": {"host q a b": bad}})
       for bad in ("x", -1, 0, 1e99, None, [1], {"a": 1})],
)  # fmt: skip
def test_a_file_that_says_nothing_useful_is_none(ws: Workspace, text: str) -> None:
    (ws.project.state_dir / durations.FILE).write_text(text)
    assert durations.expected(ws, ("a", "b")) is None
    durations.remember(ws, DONE)
    assert durations.expected(ws, ("a", "b")) == 187


def test_a_place_that_cannot_be_written_is_no_reason_to_fail(ws: Workspace) -> None:
    os.rmdir(ws.project.state_dir)
    durations.remember(ws, DONE)
    assert durations.expected(ws, ("a", "b")) is None
