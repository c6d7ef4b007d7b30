# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import stat
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
