# SPDX-License-Identifier: MIT
"""A real container daemon for tests, and an ordinary user who builds in its containers.

`.ci/run services -- make test-system` brings both. As root, `oejail` runs as the user oejail-ci,
who is in the group of the daemon's socket; OEJAIL_TEST_PYTHON names a Python with oejail that this
user can get at, where the test's own lies in a place that is shut.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from oejail import containers
from tests.support import cli, container_image
from tests.support.cli import Said
from tests.support.sample_build import exclusively

USER = "oejail-ci"


@dataclass(frozen=True)
class Builder:
    """Runs oejail as an ordinary user, in a directory that is theirs."""

    directory: Path
    python: str
    user: str | None

    def oejail(self, *arguments: str, status: int | None = 0, **env: str) -> Said:
        """`oejail ARGUMENTS` as the user."""
        home = {"HOME": str(self.directory)} | ({"USER": self.user} if self.user else {})
        return cli.oejail(
            self.directory,
            *arguments,
            status=status,
            python=self.python,
            user=self.user,
            **(home | env),
        )

    @property
    def build_dir(self) -> Path:
        """The only build directory of the workspace."""
        (found,) = (self.directory / "workspace/build").glob("[a-z]*")
        return found


@contextmanager
def client() -> Iterator[Any]:
    """A client of the daemon that DOCKER_HOST names; the test fails without one."""
    if not os.environ.get("DOCKER_HOST"):
        pytest.fail("DOCKER_HOST is not set: .ci/run services -- make test-system")
    with containers.connect() as found:
        yield found


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of openEuler's name is there, with the machine's cross gcc; its id."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with exclusively(shared / "image.lock"), client() as daemon:
        return container_image.ensure(daemon, cross=True)


@contextmanager
def builder() -> Iterator[Builder]:
    """A directory of the ordinary user's; it goes with the containers of its builds."""
    python = os.environ.get("OEJAIL_TEST_PYTHON", sys.executable)
    user = USER if os.geteuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix="oejail-test-"))
    try:
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(directory, entry.pw_uid, entry.pw_gid)
            reach = subprocess.run([python, "-c", ""], user=user, check=False, capture_output=True)
            if reach.returncode:
                pytest.fail(f"{user} cannot run {python}: set OEJAIL_TEST_PYTHON to another one")
        yield Builder(directory, python, user)
        Builder(directory, python, user).oejail("clean", "--all", "--force", status=None)
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def build(image: str) -> Iterator[Builder]:
    """A builder of the test's own, with the image at hand."""
    assert image
    with builder() as made:
        yield made


def left(directory: Path) -> list[str]:
    """Ids of the containers that belong to build directories below `directory`."""
    with client() as daemon:
        return [
            str(one["Id"])[:12]
            for one in daemon.api.containers(all=True, filters={"label": "org.oejail.build-dir"})
            if str(directory) in one["Labels"]["org.oejail.build-dir"]
        ]
