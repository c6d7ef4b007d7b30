# SPDX-License-Identifier: MIT
"""What a board says while it starts, without a board; with one: tests/system/test_deploy.py."""

from __future__ import annotations

import time

import pytest

from oejail.artifacts.model import CollectedSet, SetInmate
from oejail.errors import TargetFailed
from oejail.target.deploy_start import WATCH, _Heard, _names
from oejail.target.results import Step

HEAD = "ID      Name                    State             Assigned CPUs           Failed CPUs"


def heard(name: str, state: str, *, clock: float = 0.0) -> tuple[_Heard, CollectedSet]:
    """A start that ended with status 0, and `cell list` after it."""
    chosen = CollectedSet("root", "cells/r.cell", (SetInmate(name, "cells/i.cell", "i.bin"),))
    said = _Heard([Step(step) for step in _names(chosen)], clock)
    for line in (
        "out oejail-start: insmod /opt/oejail/0/jailhouse.ko",
        "out oejail-start: /opt/oejail/0/bin/jailhouse enable /opt/oejail/0/cells/r.cell",
        f"out oejail-start: /opt/oejail/0/bin/jailhouse cell start {name}",
        "out oejail-start: status 0",
        f"list {HEAD}",
        f"list {1:<8}{name:<24}{state:<18}{1:<24}{'':<24}",
        "end",
    ):
        said.take(f"oejail:{line}")
    return said, chosen


@pytest.mark.parametrize("name", ["f", "freertos", "x" * 23, "x" * 24, "x" * 31])
@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("running", ""),
        ("running/locked", ""),
        ("shut down", "cell-stopped"),
        ("failed", "cell-failed"),
    ],
)
def test_a_cells_state(name: str, state: str, cause: str) -> None:
    """A name of 24 characters fills its column (Jailhouse allows 31)."""
    said, chosen = heard(name, state)
    fault = said.judge(chosen, None)
    assert (said.cause, fault is None) == (cause, not cause)


def test_the_time_that_cells_are_left_alone_is_no_steps() -> None:
    """`--timeout 1` is for each step; WATCH is longer."""
    said, _ = heard("freertos", "running", clock=time.monotonic() - 60)
    said.hurry(0.1)
    began = said._began
    assert began - time.monotonic() == pytest.approx(WATCH, abs=1)
    said._began = began - WATCH - 0.2
    with pytest.raises(TargetFailed, match=r"no answer within 0\.1 s"):
        said.hurry(0.1)
