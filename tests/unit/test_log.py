# SPDX-License-Identifier: MIT
from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from oejail import log


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("hunter2", "https://me:hunter2@example.org/x.git"),
        ("hunter2", "fetch ssh://hunter2@host/x"),
        ("hunter2", "GITHUB_TOKEN=hunter2 make"),
        ("hunter2", "password: hunter2"),
        ("hunter2", "--api-key hunter2"),
        ("hunter2", "api_key='hunter2'"),
        ("hunter2", 'export SECRET_KEY="hunter2"'),
        ("aHVudGVyMg==", "Authorization: Basic aHVudGVyMg=="),
        ("hunter2hunter2", "authorization: Bearer hunter2hunter2"),
    ],
)
def test_secrets_are_taken_out(secret: str, text: str) -> None:
    assert secret not in log.redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "git@example.org:openeuler/x.git",
        "the token is stale",
        "https://example.org/a@b.git",
        "src/yocto-poky/../yocto-meta-openeuler: layer added",
        "/etc/passwd: No such file or directory",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert log.redact(text) == text


def test_run_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.setup(0)
    path = log.open_run_log(tmp_path, "up")
    log.logger.info("seen https://me:hunter2@host/")
    log.logger.debug("unseen")
    log.close()
    text = path.read_text()
    assert "seen https://***@host/" in text
    assert "unseen" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert capsys.readouterr().err == "seen https://***@host/\n"


@pytest.mark.parametrize(("verbosity", "lines"), [(-1, 1), (0, 2), (1, 3)])
def test_verbosity(verbosity: int, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    log.setup(verbosity)
    log.logger.error("a")
    log.logger.info("b")
    log.logger.debug("c")
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_old_logs_go(tmp_path: Path) -> None:
    for number in range(log.KEEP_LOGS + 5):
        (tmp_path / f"20200101T0000{number:02}Z-up-1.log").touch()
    path = log.open_run_log(tmp_path, "up")
    log.close()
    names = sorted(os.listdir(tmp_path))
    assert len(names) == log.KEEP_LOGS
    assert names[-1] == path.name


def test_what_could_steer_a_terminal_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup(0)
    log.logger.info("a\x1b[31mb\0c\x9b1md\u202e\te\nf")
    assert capsys.readouterr().err == "a\\x1b[31mb\\x00c\\x9b1md\\u202e\te\nf\n"


@pytest.mark.parametrize("where", ["stderr", "log file"])
def test_a_full_disk_is_not_said_by_logging_itself(
    where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log.setup(0)
    if where == "stderr":
        full = Path("/dev/full").open("w")  # noqa: SIM115 (its closing fails)
        monkeypatch.setattr(sys, "stderr", full)
        log.logger.info("a")
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()
    else:
        log.add_log_file(Path("/dev/full"))
        log.logger.debug("a")
    log.close()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("unit", ["a-", "x", "token", "a_token_", "token=", "http://a:", "-", "x:"])
def test_no_line_takes_long_to_be_freed_of_secrets(unit: str) -> None:
    began = time.process_time()
    log.redact((unit * 70_000)[:65_536])
    assert time.process_time() - began < 2
