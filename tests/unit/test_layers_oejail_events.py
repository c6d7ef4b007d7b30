# SPDX-License-Identifier: MIT
"""The functions of oejail-events.bbclass, which are plain Python, without BitBake around them.

With BitBake they are tested in tests/integration/test_sample_build.py.
"""

from __future__ import annotations

import json
import os
import re
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oejail.resources import data_dir

CLASS = data_dir("layers") / "meta-oejail/classes/oejail-events.bbclass"


class Data(dict[str, str]):
    """As much of BitBake's datastore as the class uses."""

    def getVar(self, name: str) -> str | None:
        return self.get(name)


@pytest.fixture(scope="module")
def functions() -> dict[str, Any]:
    """What the class defines, with its handler as `handle(e, d)`."""
    text = CLASS.read_text()
    body = re.search(r"^python oejail_events\(\) \{\n(.*?)^\}\n", text, re.S | re.M)
    assert body is not None
    helpers = text[body.end() :]
    handler = "def handle(e, d):\n" + textwrap.indent(textwrap.dedent(body[1]), "    ")
    said: list[str] = []
    bb = types.SimpleNamespace(debug=lambda level, message: said.append(message))
    namespace: dict[str, Any] = {"os": os, "bb": bb, "said": said}
    exec(compile(helpers + handler, CLASS, "exec"), namespace)
    return namespace


def event(kind: str, **attributes: Any) -> Any:
    made = type(kind, (), {})()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def lines(path: Path) -> list[dict[str, Any]]:
    raw = path.read_bytes().splitlines(keepends=True)
    assert all(len(line) <= 4000 and line.endswith(b"\n") for line in raw)
    return [json.loads(line) for line in raw]


@pytest.fixture
def handle(functions: dict[str, Any], tmp_path: Path) -> Callable[[Any], list[dict[str, Any]]]:
    """Hand an event to the class and return all lines of its file."""
    path = tmp_path / "oejail-events.jsonl"

    def send(what: Any) -> list[dict[str, Any]]:
        functions["handle"](what, Data(OEJAIL_EVENTS_FILE=str(path)))
        return lines(path) if path.exists() else []

    return send


def test_the_mask_names_whole_classes() -> None:
    """BitBake compares full names: a handler gets no subclass of what it asks for."""
    mask = re.search(r'oejail_events\[eventmask\] = "\\\n(.*?)\n"', CLASS.read_text(), re.S)
    assert mask is not None
    for name in mask[1].replace("\\", "").split():
        assert re.fullmatch(r"bb\.(event|runqueue|build|command)\.\w+", name)


def test_a_task_of_the_queue(handle: Callable[[Any], list[dict[str, Any]]]) -> None:
    stats = event("RunQueueStats", completed=3, failed=0, active=1, total=15, note="not a number")
    path = "mc:pi:virtual:native:/layers/x/recipes/foo-bar_1.2.3.bb"
    (line,) = handle(event("runQueueTaskStarted", taskname="do_x", taskfile=path, stats=stats))
    assert line.pop("t") > 1.6e9 and line.pop("pid") == os.getpid()
    assert line == {
        "v": 1,
        "event": "RunQueueTaskStarted",
        "recipe": "foo-bar",
        "task": "do_x",
        "file": path,
        "setscene": False,
        "noexec": False,
        "stats": {"active": 1, "completed": 3, "failed": 0, "total": 15},
    }


def test_setscene_tasks_have_the_same_names(handle: Callable[[Any], list[dict[str, Any]]]) -> None:
    failed = event(
        "sceneQueueTaskFailed",
        taskname="do_x_setscene",
        taskfile="/x/foo.bb",
        stats=event("S", total=1),
        exitcode=-9,
    )
    (line,) = handle(failed)
    assert (line["event"], line["setscene"], line["exitcode"]) == ("RunQueueTaskFailed", True, -9)
    assert line["recipe"] == "foo"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (event("ParseStarted", total=7), {"event": "ParseStarted", "total": 7}),
        (
            event("BuildCompleted", _failures=2, _interrupted=1, _pkgs=["a:do_build"]),
            {"event": "BuildCompleted", "failures": 2, "interrupted": 1, "targets": ["a:do_build"]},
        ),
        (event("CommandExit", exitcode=1), {"event": "CommandFailed", "exitcode": 1}),
        (event("CommandExit", exitcode=0), {"event": "CommandCompleted", "exitcode": 0}),
        (
            event("NoProvider", _item="x", _reasons=None, _close_matches={"b", "a"}),
            {"event": "NoProvider", "item": "x", "reasons": None, "close_matches": ["a", "b"]},
        ),
    ],
)
def test_other_events(
    handle: Callable[[Any], list[dict[str, Any]]], sent: Any, expected: dict[str, Any]
) -> None:
    (line,) = handle(sent)
    assert expected.items() <= line.items()


def test_an_event_without_its_attributes_breaks_nothing(
    functions: dict[str, Any], handle: Callable[[Any], list[dict[str, Any]]]
) -> None:
    for kind in ("TaskFailed", "BuildStarted", "NoProvider", "ParseCompleted", "CommandFailed"):
        assert handle(event(kind))[-1]["event"] == kind
    assert handle(event("runQueueTaskStarted"))[-1]["stats"] == {}
    before = len(functions["said"])
    functions["handle"](event("BuildStarted"), None)
    functions["handle"](event("BuildStarted"), Data(OEJAIL_EVENTS_FILE="/nowhere/at/all"))
    assert len(functions["said"]) > before


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(max_size=3000), max_size=40),
    st.dictionaries(st.text(max_size=50), st.integers(), max_size=80),
)
def test_every_line_fits(
    functions: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    more: dict[str, int],
) -> None:
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    fields = {"reasons": texts, "item": "".join(texts), "stats": more}
    functions["oejail_event_write"](str(path), "NoProvider", fields)
    (line,) = lines(path)
    assert line["event"] == "NoProvider"


def test_a_long_error_keeps_its_beginning(handle: Callable[[Any], list[dict[str, Any]]]) -> None:
    (line,) = handle(event("CommandFailed", error="because " + "x" * 10_000, exitcode=1))
    assert line["error"].startswith("because xxx") and line["error"].endswith("...")
    assert line["exitcode"] == 1


def test_lines_are_appended_to_whatever_is_there_now(
    handle: Callable[[Any], list[dict[str, Any]]], tmp_path: Path
) -> None:
    handle(event("ParseStarted", total=1))
    (tmp_path / "oejail-events.jsonl").unlink()
    (line,) = handle(event("ParseStarted", total=2))
    assert line["total"] == 2
    assert len(handle(event("ParseStarted", total=3))) == 2
