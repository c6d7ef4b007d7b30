# SPDX-License-Identifier: MIT
"""What every test gets: a home of its own, no identity, no proxies, no credentials."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from oejail import log

# A loaded machine is slow; that is no fault of the code.
settings.register_profile("oejail", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("oejail")


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's git configuration nor environment reaches a test, nor theirs the user."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        foreign = name.lower().endswith("_proxy") or name.startswith(("GIT_", "OEJAIL_", "XDG_"))
        if foreign and not name.startswith("OEJAIL_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    # Whatever tries to reach the network ends at a closed port at once.
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.fixture(autouse=True)
def quiet_log() -> None:
    """No handler of one test writes into the next one's files."""
    log.close()


def repository() -> Path:
    """The checkout's root."""
    return Path(__file__).resolve().parent.parent
