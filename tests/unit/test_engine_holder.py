# SPDX-License-Identifier: MIT
"""Who holds bitbake.lock: asked of the kernel, not of the file's existence."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from pwd import getpwuid

import pytest

from oejail.engine.holder import Holder, holder
from tests.support.processes import wait_until

# Takes the lock as BitBake does. With "hand over", as BitBake hands it to its server: the process
# that took the lock is gone, its child holds it.
LOCKER = """
import fcntl, os, sys, time
stream = open(sys.argv[1], "a+")
fcntl.flock(stream, fcntl.LOCK_EX)
if len(sys.argv) > 3 and os.fork():
    os._exit(0)
if sys.argv[2] == "bitbake-server":
    stream.truncate(0)
    stream.write(f"{os.getpid()}\\n")
    stream.flush()
print(os.getpid(), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def locked(directory: Path, *words: str) -> Iterator[int]:
    script = directory / words[0]
    script.write_text(LOCKER)
    command = [sys.executable, str(script), str(directory / "bitbake.lock"), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        assert process.stdin is not None
        process.stdin.close()


def written(words: tuple[str, ...], pid: int) -> int:
    return pid if words[0] == "bitbake-server" else 0


def test_no_file_and_a_file_left_behind_are_nobody(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    (tmp_path / "bitbake.lock").write_text("1\n")
    assert holder(tmp_path) is None


@pytest.mark.parametrize(
    "words", [("other",), ("bitbake-server",), ("bitbake-server", "hand over")]
)
def test_the_holder_is_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    with locked(tmp_path, *words) as pid:
        found = holder(tmp_path)
        assert found is not None
        assert found.pid == pid
        assert words[0] in found.command
        assert (found.user, found.number) == (getpwuid(os.geteuid()).pw_name, written(words, pid))
        assert abs(found.since - time.time()) < 60
        assert str(found).startswith(f"pid {pid} of user {found.user} since 20")
        assert found.how_to_end == f"kill {pid}"
    assert wait_until(lambda: holder(tmp_path) is None, 10)


def test_a_number_in_the_file_alone_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "bitbake.lock").write_text(f"{os.getpid()}\n")
    with locked(tmp_path, "other") as pid:
        found = holder(tmp_path)
        assert found is not None
        assert found.pid == pid


def test_asking_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bitbake.lock"
    path.write_text("77\n")
    before = path.stat()
    assert holder(tmp_path) is None
    assert path.stat() == before
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    assert holder(tmp_path) is None
    path.unlink()
    os.mkfifo(path)
    assert holder(tmp_path) is None


def test_one_that_cannot_be_seen_is_said_to_be_so() -> None:
    assert "cannot be seen" in str(Holder(0, ""))
