# SPDX-License-Identifier: MIT
"""What the engine makes of how oebuild ended; that it really runs is tested on the sample tree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oejail import engine, log, oebuild, project
from oejail.errors import BuildFailed, ChildFailed, ConfigError, Interrupted, UsageFault
from oejail.process import Result
from oejail.workspace.model import Workspace

DONE = ('{"v":1,"t":1,"event":"BuildCompleted","failures":0,"interrupted":0}\n'
        '{"v":1,"t":1,"event":"CommandCompleted"}\n')  # fmt: skip
ERROR = "2026-11-22 06:55:25,342 - INFO - ERROR: Nothing PROVIDES 'x'"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    log.setup()
    project.init(tmp_path / "p", sample=True)
    here = project.load(tmp_path / "p")
    ws = Workspace(tmp_path / "ws", here, "q", "host", "sample", oebuild.DEFAULT_PREFIX)
    ws.build_dir.mkdir(parents=True)
    ws.compile_yaml.write_text("build_in: host\n")
    return ws


@pytest.fixture
def runs(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Let oebuild's runs end as told: (status, events, line) each; returns what it was told."""

    def tell(*endings: tuple[int, str, str]) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def run(directory: Path, args: list[str], **settings: Any) -> Result:
            status, events, line = endings[len(calls)]
            with (ws.build_dir / "oejail-events.jsonl").open("a") as stream:
                stream.write(events)
            settings["tick"]()
            settings["reader"]("stdout", line)
            record = json.loads((ws.project.state_dir / "last-build.json").read_text())
            calls.append({"directory": directory, "args": args, "record": record, **settings})
            return Result(("oebuild",), status, (line,))

        monkeypatch.setattr(oebuild, "run", run)
        return calls

    return tell


def test_both_words_make_a_success(ws: Workspace, runs: Any) -> None:
    calls = runs((0, DONE, "x"))
    result = engine.build(ws, ["a", "b:do_c", "mc:x:virtual/kernel"])
    assert result.ok
    assert calls[0]["args"] == [
        "bitbake",
        "'--oejail-guard=1.8'",
        "'a'",
        "'b:do_c'",
        "'mc:x:virtual/kernel'",
    ]
    assert calls[0]["directory"] == ws.build_dir
    # What a killed oejail would have left.
    assert (calls[0]["record"]["ok"], calls[0]["record"]["interrupted"]) == (False, True)
    assert not result.interrupted
    assert engine.last_build(ws.project) == result


@pytest.mark.parametrize(
    ("status", "events", "line", "said"),
    [
        (0, "", ERROR, "no layer of the build has a recipe for x"),
        (0, "", "can not use oebuild in root", "refuse to run as root"),
        (1, DONE, ERROR, "no layer of the build has a recipe for x"),
        (1, DONE, "all well", "BitBake built what was asked for, but logged an error"),
        (0, DONE.replace('"failures":0', '"failures":1'), "x", "the build did not succeed"),
        (0, DONE.splitlines()[0] + "\n", "x", "the build did not succeed"),
        (-9, DONE, "x", "logged an error (died of SIGKILL)"),
    ],
)
def test_anything_less_is_a_failure(
    ws: Workspace, runs: Any, status: int, events: str, line: str, said: str
) -> None:
    runs((status, events, line))
    with pytest.raises(BuildFailed) as caught:
        engine.build(ws, ["a"])
    assert said in caught.value.message
    last = engine.last_build(ws.project)
    assert last is not None
    assert not last.ok
    assert len(last.failures) == 1


def test_events_of_an_earlier_run_do_not_count(ws: Workspace, runs: Any) -> None:
    (ws.build_dir / "oejail-events.jsonl").write_text(DONE)
    runs((0, "", "x"))
    with pytest.raises(BuildFailed, match="without a word"):
        engine.build(ws, ["a"])


def test_a_bitbake_that_says_nothing_is_asked_again(ws: Workspace, runs: Any) -> None:
    calls = runs((1, "", "quiet"), (1, "", ERROR))
    with pytest.raises(BuildFailed, match="has a recipe for x"):
        engine.build(ws, ["a"])
    assert len(calls) == 2
    calls = runs((1, "", "quiet"), (1, "", "quiet"))
    with pytest.raises(BuildFailed, match="without a word"):
        engine.build(ws, ["a"])
    assert len(calls) == 2
    calls = runs((-9, "", "quiet"))
    with pytest.raises(BuildFailed, match="died of SIGKILL"):
        engine.build(ws, ["a"])
    assert len(calls) == 1


def test_an_interruption_is_recorded(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> Result:
        raise Interrupted("interrupted: python was stopped")

    monkeypatch.setattr(oebuild, "run", run)
    with pytest.raises(Interrupted, match="build interrupted: BitBake"):
        engine.build(ws, ["a"])
    last = engine.last_build(ws.project)
    assert last is not None
    assert last.interrupted


def test_a_path_that_is_no_utf_8_does_not_stop_a_build(
    ws: Workspace, runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "run_log", Path("/lat\udce9n/x.log"))
    runs((0, DONE, "x"))
    assert engine.build(ws, ["a"]).ok
    last = engine.last_build(ws.project)
    assert last is not None and str(last.log) == "/lat?n/x.log"


def test_a_defect_in_the_run_is_no_success(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> Result:
        raise RuntimeError("defect")

    monkeypatch.setattr(oebuild, "run", run)
    with pytest.raises(RuntimeError):
        engine.build(ws, ["a"])
    last = engine.last_build(ws.project)
    assert last is not None
    assert not last.ok


def test_the_events_file_may_be_anything(ws: Workspace, runs: Any, tmp_path: Path) -> None:
    """A link there is removed, not what it points to."""
    precious = tmp_path / "precious"
    precious.write_text("x")
    (ws.build_dir / "oejail-events.jsonl").symlink_to(precious)
    runs((0, DONE, "x"))
    assert engine.build(ws, ["a"]).ok
    assert precious.read_text() == "x"


def test_bitbakes_words_are_told_from_oebuilds(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = {"status": 0, "started": True}

    def run(*_: Any, **settings: Any) -> Result:
        lines = ["Fetching into x", "### Shell environment"]
        lines += ["oejail: bitbake starts", "NOTE: one"] * bool(ending["started"])
        for line in lines:
            settings["reader"]("stdout", f"2026-11-22 06:55:25,342 - INFO - {line}")
        return Result(("oebuild",), int(ending["status"]))

    monkeypatch.setattr(oebuild, "run", run)
    said: list[str] = []
    engine.bitbake(ws, ["-e"], said.append)
    assert said == ["NOTE: one"]
    ending["started"] = False
    with pytest.raises(ChildFailed, match="-e: did not start") as caught:
        engine.bitbake(ws, ["-e"], said.append)
    assert "Fetching into x" in caught.value.details


def test_only_with_a_build_directory(ws: Workspace) -> None:
    import dataclasses

    with pytest.raises(ConfigError, match=r"no docker_param.*"):
        engine.build(dataclasses.replace(ws, engine="container"), ["a"])
    ws.compile_yaml.unlink()
    for verb in (
        lambda: engine.build(ws, ["a"]),
        lambda: engine.bitbake(ws, ["-e"], print),
        lambda: engine.shell(ws),
    ):
        with pytest.raises(UsageFault, match=r"no compile\.yaml"):
            verb()
    assert engine.last_build(ws.project) is None
