# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from oejail.errors import ConfigError, UsageFault, WorkspaceBusy
from oejail.files import (
    Lock,
    atomic_directory,
    atomic_write,
    canonical_json,
    give,
    make_directory,
    mark_cache,
    naming,
    read_limited,
    relative_inside,
    remove_tree,
    sha256_bytes,
    sha256_file,
)


def test_write_makes_and_replaces(tmp_path: Path) -> None:
    file = tmp_path / "f"
    atomic_write(file, "one")
    assert file.read_text() == "one"
    assert stat.S_IMODE(file.stat().st_mode) & 0o600 == 0o600
    file.chmod(0o640)
    atomic_write(file, b"two")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("two", 0o640)
    atomic_write(file, b"three", mode=0o600)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["f"]


def test_write_keeps_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    atomic_write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_root_leaves_files_to_the_owner(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    if os.geteuid() == 0:
        os.chown(project, 4321, 4322)
    uid, gid = project.stat().st_uid, project.stat().st_gid
    make_directory(project / "a/b")
    atomic_write(project / "a/b/new", "1")
    atomic_write(project / "a/b/new", "2", mode=0o600)
    with Lock(project / "a/lock", "x"):
        pass
    for path in (project / "a", project / "a/b", project / "a/b/new", project / "a/lock"):
        assert (path.stat().st_uid, path.stat().st_gid) == (uid, gid)
    target = tmp_path / "elsewhere"
    target.write_text("")
    (project / "a/link").symlink_to(target)
    give(project, os.geteuid(), os.getegid())
    assert (project / "a/b/new").stat().st_uid == os.geteuid()
    assert target.stat().st_uid == os.geteuid()


def test_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    code = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from pathlib import Path
from oejail.files import atomic_write
atomic_write(Path({str(tmp_path / "f")!r}), b"x" * 5000)
"""
    (tmp_path / "f").write_text("old")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert (tmp_path / "f").read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


def test_directory_replaces_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic_directory(target) as fresh:
        (fresh / "a").write_text("1")
    with atomic_directory(target) as fresh:
        (fresh / "b").write_text("2")
    assert os.listdir(target) == ["b"]
    assert os.listdir(tmp_path) == ["out"]


def test_directory_stays_when_the_block_fails(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic_directory(target) as fresh:
        (fresh / "a").write_text("1")
    with pytest.raises(ZeroDivisionError), atomic_directory(target) as fresh:
        (fresh / "b").write_text("2")
        raise ZeroDivisionError
    assert os.listdir(target) == ["a"]
    assert os.listdir(tmp_path) == ["out"]


def test_directory_recovers_from_a_kill_between_the_renames(tmp_path: Path) -> None:
    (tmp_path / ".out.old").mkdir()
    (tmp_path / ".out.old" / "a").write_text("1")
    (tmp_path / ".out.new-dead").mkdir()
    with pytest.raises(ZeroDivisionError), atomic_directory(tmp_path / "out"):
        raise ZeroDivisionError
    assert (tmp_path / "out" / "a").read_text() == "1"
    assert os.listdir(tmp_path) == ["out"]


def test_read_limited(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    assert read_limited(tmp_path / "f", 5) == b"12345"
    with pytest.raises(ConfigError, match="5 bytes, more than the limit of 4"):
        read_limited(tmp_path / "f", 4)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="not a regular file"):
        read_limited(tmp_path / "fifo", 4)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ConfigError, match="not a regular file"):
        read_limited(tmp_path, 4)
    assert os.listdir("/proc/self/fd") == before, "a descriptor was left open"
    with pytest.raises(ConfigError, match="more than the limit of 4"):
        read_limited(Path("/proc/self/status"), 4)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "a/../../b", "..", "a\0b"])
def test_paths_that_leave_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageFault):
        relative_inside(tmp_path, name)


def test_path_inside(tmp_path: Path) -> None:
    assert relative_inside(tmp_path, "a/b") == tmp_path / "a" / "b"


def test_remove_tree_does_not_follow(tmp_path: Path) -> None:
    (tmp_path / "keep").mkdir()
    (tmp_path / "link").symlink_to("keep")
    remove_tree(tmp_path / "link")
    remove_tree(tmp_path / "nothing")
    assert os.listdir(tmp_path) == ["keep"]


def test_digests_and_json(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "f") == sha256_bytes(b"abc") == expected
    assert canonical_json({"b": 1, "a": "é"}) == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()


def test_a_path_that_is_no_utf_8_can_be_recorded() -> None:
    assert canonical_json({"p": os.fsdecode(b"lat\xe9n")}) == b'{\n  "p": "lat?n"\n}\n'


def test_cache_tag(tmp_path: Path) -> None:
    mark_cache(tmp_path / "c")
    mark_cache(tmp_path / "c")
    assert (tmp_path / "c/CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f")


def test_lock_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / ".oejail" / "lock"
    with Lock(path, "up"):
        with pytest.raises(WorkspaceBusy) as caught, Lock(path, "build"):
            pass
        assert f"pid {os.getpid()}: oejail up" in caught.value.message
        assert str(tmp_path) in caught.value.message
    with Lock(path, "build"):
        pass


def test_lock_is_free_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = f"""
import time
from pathlib import Path
from oejail.files import Lock
with Lock(Path({str(path)!r}), "up"):
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(WorkspaceBusy), Lock(path, "build"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    deadline = time.monotonic() + 5
    while True:
        try:
            with Lock(path, "build"):
                break
        except WorkspaceBusy:
            assert time.monotonic() < deadline


def test_an_error_without_a_file_gets_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, naming(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path)
    with pytest.raises(FileNotFoundError) as other, naming(tmp_path):
        (tmp_path / "none").read_bytes()
    assert other.value.filename == str(tmp_path / "none")


def test_a_failing_write_names_the_file_not_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", ".f.xyz")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(PermissionError) as caught:
        atomic_write(tmp_path / "f", "x")
    assert caught.value.filename == str(tmp_path / "f")
    monkeypatch.undo()

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left on device") as full:
        atomic_write(tmp_path / "f", "x")
    assert full.value.filename == str(tmp_path / "f")
    assert os.listdir(tmp_path) == []
