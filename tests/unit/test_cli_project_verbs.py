# SPDX-License-Identifier: MIT
"""`oejail init`, `schema` and `generate` as typed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from oejail import project
from oejail.cli import main


def test_init(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main._run(["init", "--sample", str(tmp_path / "a b")]) == 0
    out, err = capfd.readouterr()
    assert out == f"{tmp_path / 'a b' / 'oejail.yaml'}\n"
    assert err.startswith("next: oejail -C ") and f"{tmp_path / 'a b'}" in err
    assert project.load(tmp_path / "a b").is_sample
    assert main._run(["init", str(tmp_path / "a b")]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("oejail: error: ") and err.count("\n") == 1
    assert main._run(["init", str(tmp_path / "c"), "--platform", "qemu"]) == 2
    assert main._run(["init", str(tmp_path / "d"), "--workspace", str(tmp_path / "w s")]) == 2
    assert sorted(os.listdir(tmp_path)) == ["a b"]


def test_init_in_a_directory_that_is_shut(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert main._run(["init", str(tmp_path / "file" / "p")]) == 2


def test_schema(capfd: pytest.CaptureFixture[str]) -> None:
    assert main._run(["schema"]) == 0
    assert json.loads(capfd.readouterr().out) == project.json_schema()


def test_generate_without_a_project(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main._run(["generate"]) == 2
    assert "no oejail.yaml in" in capfd.readouterr().err


def test_every_error_of_a_file_is_a_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "oejail.yaml").write_text("version: 1\nreleas: 1\nengine: hots\n")
    assert main._run(["generate"]) == 2
    assert capfd.readouterr().err.splitlines() == [
        "oejail: error: oejail.yaml: 2 errors",
        "  oejail.yaml:2:1: releas: unknown key; did you mean release?",
        "  oejail.yaml:3:1: engine: 'hots' is not container or host; did you mean host?",
    ]
    assert main._run(["generate", "--engine", "x"]) == 2
