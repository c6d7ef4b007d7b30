# SPDX-License-Identifier: MIT
"""Finding the log of a run and of a task."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oejail import files, oebuild, project
from oejail.engine import Failure, as_json, last_build, logs
from oejail.engine.model import BuildResult
from oejail.errors import UsageFault
from oejail.workspace.model import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    project.init(tmp_path / "p", sample=True)
    here = project.load(tmp_path / "p")
    return Workspace(tmp_path / "ws", here, "q", "host", "sample", oebuild.DEFAULT_PREFIX)


def task_log(ws: Workspace, task: str, pid: int, age: int, recipe: str = "demo") -> Path:
    path = ws.build_dir / f"tmp/work/a57/{recipe}/1.0-r0/temp/log.{task}.{pid}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{task} {pid}\n")
    os.utime(path, (1000 - age, 1000 - age))
    return path


def record(ws: Workspace, *failures: Failure) -> BuildResult:
    result = BuildResult(False, False, ("demo",), 3, 2, failures, 1.5, Path("/l"))
    path = ws.project.state_dir / "last-build.json"
    files.make_directory(path.parent)
    files.atomic_write(path, files.canonical_json(as_json(result)))
    return result


def failure(logfile: str, recipe: str = "demo") -> Failure:
    return Failure(recipe, "do_compile", "/d.bb", logfile, ("x",), "c", "h", "killed")


def test_the_newest_log_of_each_task(ws: Workspace) -> None:
    task_log(ws, "do_compile", 1, 9)
    newest = task_log(ws, "do_compile", 2, 5)
    last = task_log(ws, "do_install", 3, 1)
    (last.parent / "log.do_install").symlink_to(last.name)
    (last.parent / "run.do_install.3").write_text("")
    assert [(log.task, log.path) for log in logs.task_logs(ws, "demo")] == [
        ("do_compile", newest),
        ("do_install", last),
    ]
    assert logs.task_log(ws, "demo") == last
    assert logs.task_log(ws, "demo", "compile") == newest
    assert logs.task_log(ws, "demo", "do_compile") == newest


def test_the_failed_task_comes_before_the_last_one(ws: Workspace) -> None:
    task_log(ws, "do_install", 3, 1)
    failed = task_log(ws, "do_compile", 2, 5)
    record(ws, failure("/other/log.do_x.1", "other"), failure(str(failed)))
    assert logs.task_log(ws, "demo") == failed


def test_a_recorded_path_that_is_no_log_is_not_believed(ws: Workspace) -> None:
    last = task_log(ws, "do_install", 3, 1)
    record(ws, failure("/etc/passwd"))
    assert logs.task_log(ws, "demo") == last


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "*", "-x", "a\0b", "a b"])
def test_a_recipe_is_a_name(ws: Workspace, name: str) -> None:
    with pytest.raises(UsageFault, match="is no recipe's name"):
        logs.task_logs(ws, name)


def test_no_link_leads_out(ws: Workspace, tmp_path: Path) -> None:
    work = ws.build_dir / "tmp/work/a57"
    elsewhere = tmp_path / "elsewhere/1.0/temp"
    elsewhere.mkdir(parents=True)
    (elsewhere / "log.do_compile.1").write_text("secret")
    work.mkdir(parents=True)
    (work / "demo").mkdir()
    (work / "demo/1.0").symlink_to(elsewhere.parent)
    assert logs.task_logs(ws, "demo") == []
    inside = task_log(ws, "do_install", 1, 1)
    inside.unlink()
    inside.symlink_to(elsewhere / "log.do_compile.1")
    assert logs.task_logs(ws, "demo") == []
    with pytest.raises(OSError, match="Too many levels"):
        list(logs.lines(inside))


def test_a_log_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\x1b[2Jb\n\xff\r\n" + b"x" * 70_000)
    lines = list(logs.lines(path))
    assert lines[:2] == [r"a\x1b[2Jb", "\ufffd"]
    assert sum(map(len, lines[2:])) == 70_000
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageFault, match="not a regular file"):
        list(logs.lines(tmp_path / "fifo"))


def test_the_last_build_is_read_back(ws: Workspace) -> None:
    assert last_build(ws.project) is None
    result = record(ws, failure("/x/log.do_compile.1"))
    assert last_build(ws.project) == result


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 2}', '{"schema_version": 1}'])
def test_a_broken_record_is_none(ws: Workspace, text: str) -> None:
    files.make_directory(ws.project.state_dir)
    (ws.project.state_dir / "last-build.json").write_text(text)
    assert last_build(ws.project) is None


def test_passwords_in_urls_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "log.do_fetch.1"
    path.write_text("git clone https://me:s3cr3t@example.com/x\n")
    assert list(logs.lines(path)) == ["git clone https://***@example.com/x"]
