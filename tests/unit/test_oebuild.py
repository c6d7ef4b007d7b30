# SPDX-License-Identifier: MIT
from __future__ import annotations

import logging
from pathlib import Path

import pytest

from oejail import oebuild
from oejail.errors import Exit, PrerequisiteMissing
from oejail.process import Result


def result(*lines: str, code: int = 0) -> Result:
    return Result(("oebuild",), code, lines)


LOG = "2026-11-22 06:55:25,342 - {} - {}"


def test_what_a_line_says() -> None:
    assert oebuild.said(LOG.format("INFO", "NOTE: x - y")) == ("INFO", "NOTE: x - y")
    assert oebuild.said("plain") == ("", "plain")


def test_its_complaint() -> None:
    lines = (LOG.format("ERROR", "fetch failed"), LOG.format("INFO", "bye"))
    assert oebuild.complaint(result(*lines)) == "fetch failed"
    assert oebuild.complaint(result("Traceback", "KeyError: x", "")) == "KeyError: x"
    assert oebuild.complaint(result()) == "no output"


def test_a_run_that_left_nothing() -> None:
    error = oebuild.failed(result(LOG.format("ERROR", "can not use oebuild in root")), "w: nothing")
    assert error.exit_code == Exit.CHILD_FAILED
    assert error.message == "w: nothing: oebuild says: can not use oebuild in root (exit status 0)"


def program(path: Path, words: str) -> tuple[str]:
    path.write_text(f"#!/bin/sh\necho '{words}'\n")
    path.chmod(0o755)
    return (str(path),)


def test_the_pinned_version_is_installed() -> None:
    assert oebuild.require() == oebuild.PINNED


def test_versions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("oejail").propagate = True
    try:
        prefix = program(tmp_path / "newer", "Oebuild version: v0.2.9")
        assert oebuild.require(prefix) == "0.2.9"
        assert "oebuild 0.2.9: oejail was tested with 0.2.1.3" in caplog.text
    finally:
        logging.getLogger("oejail").propagate = False
    for words, message in (
        ("Oebuild version: v0.1.0.8", "oebuild 0.1.0.8 at .*: oejail works with 0.2.x"),
        ("can not use oebuild in root", "does not say its version .*can not use oebuild in root"),
    ):
        with pytest.raises(PrerequisiteMissing, match=message) as caught:
            oebuild.require(program(tmp_path / "other", words))
        assert "set oebuild: in oejail.yaml" in (caught.value.hint or "")
    with pytest.raises(PrerequisiteMissing, match="no such program"):
        oebuild.require((str(tmp_path / "none"),))


def test_oebuild_needs_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrerequisiteMissing, match="git: no such program"):
        oebuild.require()
