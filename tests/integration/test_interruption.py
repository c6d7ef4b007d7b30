# SPDX-License-Identifier: MIT
"""What remains of a build on the host when its watchers are killed, or its terminal is closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.engines import Builder
from tests.support.interruption import (
    background,
    kill_watchers,
    slow,
    wait_until_compiling,
    wait_until_idle,
    working,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """A sample project of this module, built."""
    project = Builder(tmp_path_factory.mktemp("project"), sys.executable, None)
    project.oejail("up", "--sample")
    yield project
    wait_until_idle(project.build_dir, 10)


def test_a_killed_supervisor_is_replaced_by_the_guard(made: Builder) -> None:
    with slow(made), background(made, "up") as process:
        wait_until_compiling(made, process)
        kill_watchers(process, guard=False)
        wait_until_idle(made.build_dir, 10)


def test_what_all_that_was_killed_has_left_is_ended_by_the_next_up(made: Builder) -> None:
    with slow(made), background(made, "up") as process:
        wait_until_compiling(made, process)
        kill_watchers(process, guard=True)
    assert any("bitbake-server" in line for line in working(made.build_dir))
    said = made.oejail("up")
    assert "ending what an interrupted run left: pid " in said.err
    assert working(made.build_dir) == []


def test_a_closed_terminal(made: Builder) -> None:
    """As the kernel does it: SIGHUP, and what is written to the terminal from then on fails."""
    master, slave = os.openpty()
    with slow(made), background(made, "up", terminal=slave) as process:
        os.close(slave)
        wait_until_compiling(made, process)
        os.close(master)
        process.send_signal(signal.SIGHUP)
        wait_until_idle(made.build_dir, 10)
        assert process.wait(10) == 130


def test_ctrl_z_does_not_end_a_build(made: Builder) -> None:
    with slow(made), background(made, "up") as process:
        wait_until_compiling(made, process)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        assert any("sleep 321" in line for line in working(made.build_dir))
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 130
        wait_until_idle(made.build_dir, 10)
