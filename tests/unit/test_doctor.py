# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from oejail import doctor, oebuild, process
from oejail.doctor import Line
from oejail.errors import Interrupted


def line(directory: Path, name: str) -> Line:
    return next(line for line in doctor.examine(directory) if line.name == name)


def project(directory: Path, named: Path | str) -> Path:
    (directory / "oejail.yaml").write_text(f"version: 1\noebuild: {named}\n")
    return directory


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_every_line_that_is_not_fine_has_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    lines = doctor.examine(tmp_path)
    assert {"git", "QEMU"} <= {line.name for line in lines if line.state != "ok"}
    assert all(line.fix for line in lines if line.state != "ok")


def test_oebuild_is_the_one_that_the_project_names(tmp_path: Path) -> None:
    assert line(tmp_path, "oebuild") == Line("oebuild", "ok", oebuild.PINNED, required=True)
    silent = script(tmp_path / "silent", "exit 0")
    old = script(tmp_path / "old", "echo oebuild 0.1.9")
    near = script(tmp_path / "near", "echo 0.2.9")
    for named, state, words in (
        (tmp_path / "none", "missing", "no such program"),
        (silent, "missing", "does not say its version"),
        (old, "missing", f"0.1.9 at {old}"),
        (near, "note", f"0.2.9 at {near}"),
    ):
        found = line(project(tmp_path, named), "oebuild")
        assert (found.state, words in found.detail) == (state, True)
        assert "oebuild: in oejail.yaml" in found.fix


def test_a_broken_project_does_not_hide_the_machine(tmp_path: Path) -> None:
    (tmp_path / "oejail.yaml").write_text("version: [")
    assert line(tmp_path, "oebuild").state == "ok"


def test_an_interruption_is_none_of_the_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> process.Result:
        raise Interrupted("interrupted")

    monkeypatch.setattr(process, "run", run)
    with pytest.raises(Interrupted):
        doctor.examine(tmp_path)
