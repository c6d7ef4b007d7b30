# SPDX-License-Identifier: MIT
"""Interrupting a build in a real container: BitBake stops, and the next `up` goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oejail.files import sha256_file
from tests.support.engines import Builder, builder, client
from tests.support.interruption import (
    background,
    kill_at_random,
    kill_watchers,
    running_containers,
    slow,
    wait_until_compiling,
    wait_until_idle,
    working,
)
from tests.support.processes import wait_until

UP = ("up", "--engine", "container")


@pytest.fixture(scope="module")
def made(image: str) -> Iterator[Builder]:
    """A project whose sample is built in a container."""
    assert image
    with builder() as new:
        new.oejail(*UP, "--sample")
        yield new


def bundle(project: Builder) -> str:
    (found,) = project.directory.glob("dist/*.zst")
    return sha256_file(found)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_bitbake_in_a_container_stops_and_the_next_up_goes_on(
    number: signal.Signals, made: Builder
) -> None:
    before = bundle(made)
    with slow(made), background(made, *UP) as process:
        wait_until_compiling(made, process)
        assert working(made.build_dir)
        process.send_signal(number)
        wait_until_idle(made.build_dir, 10)
        assert process.wait(10) == (-9 if number == signal.SIGKILL else 130)
        # A clean end: BitBake took its lock and socket away, or nobody holds them.
        if number != signal.SIGKILL:
            assert running_containers(made.directory) == []
    made.oejail(*UP)
    assert bundle(made) == before
    assert running_containers(made.directory) == []


def test_a_second_ctrl_c_ends_it_at_once(made: Builder) -> None:
    with slow(made), background(made, *UP) as process:
        wait_until_compiling(made, process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)  # two keys are not pressed at the same moment
        process.send_signal(signal.SIGINT)
        wait_until_idle(made.build_dir, 2.5)
        assert process.wait(5) == 130


def test_a_closed_terminal(made: Builder) -> None:
    master, slave = os.openpty()
    with slow(made), background(made, *UP, terminal=slave) as process:
        os.close(slave)
        reader = subprocess.Popen(["cat"], stdin=master, stdout=subprocess.DEVNULL)
        wait_until_compiling(made, process)
        reader.kill()
        reader.wait()
        process.send_signal(signal.SIGHUP)  # as the kernel does for a controlling terminal
        os.close(master)
        wait_until_idle(made.build_dir, 10)
        assert process.wait(10) == 130


def guards(build_dir: Path) -> list[int]:
    """Process ids of the guards in the build directory's container."""
    return [int(line.split(":")[0]) for line in working(build_dir) if "/.oejail/guard.py" in line]


def test_what_is_left_when_all_that_watches_is_killed_is_ended_by_the_next_up(
    made: Builder,
) -> None:
    with slow(made), background(made, *UP) as process:
        wait_until_compiling(made, process)
        kill_watchers(process, guard=True, guards=guards(made.build_dir))
        assert wait_until(lambda: not guards(made.build_dir), 5)
    assert any("bitbake-server" in line for line in working(made.build_dir))
    said = made.oejail(*UP)
    assert "ending what an interrupted run left" in said.err
    assert working(made.build_dir) == []


def test_a_bitbake_of_someone_else_in_the_container_is_named(made: Builder) -> None:
    with client() as daemon:
        label = {"label": f"org.oejail.build-dir={made.build_dir}"}
        (found,) = daemon.containers.list(all=True, filters=label)
        found.start()
        init = f". /usr1/openeuler/src/yocto-poky/oe-init-build-env {inside(made)}"
        command = f"{init} >/dev/null && exec bitbake jailhouse-freertos"
        with slow(made):
            found.exec_run(["bash", "-c", command], user="openeuler", detach=True)
            assert wait_until(lambda: list(made.build_dir.glob("tmp/**/compiling")), 30)
            said = made.oejail(*UP, status=7)
        assert re.search(
            rf"another BitBake is at work here, pid \d+ of user \S+ in container {found.short_id} "
            r"since \d{4}-.* \(.*bitbake",
            said.err,
        )
        assert f"docker stop {found.short_id}" in said.err
        found.stop(timeout=0)
    made.oejail(*UP)


def inside(made: Builder) -> str:
    return f"/home/openeuler/build/{made.build_dir.name}"


@pytest.mark.parametrize("engine", ["host", "container"])
def test_kill_9_at_random_moments(engine: str, image: str) -> None:
    """A hundred of them are `make soak`."""
    assert image
    kill_at_random(engine, 2 if engine == "host" else 3)
