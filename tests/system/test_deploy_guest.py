# SPDX-License-Identifier: MIT
"""`oejail deploy` to a real AArch64 Linux in QEMU, with BusyBox's shell and dropbear.

One boot; each test leaves /opt as it found it: empty.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import bundles, foreign_build, guest
from tests.support.board import Made, keygen
from tests.support.cli import OEJAIL, Said, oejail
from tests.support.sshguest import SshGuest


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    """Two bundles of a foreign build, their module's vermagic the guest's kernel."""
    found = []
    for number in range(2):
        top = tmp_path_factory.mktemp("made")
        image = foreign_build.FREERTOS + bytes([number]) * 2_000_000 * number
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(foreign_build, "FREERTOS", image)
            out = guest.collected(top)
        found.append(Made.of(bundles.packed(out, top / "b.tar.zst").path))
    return found


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshGuest]:
    machine = SshGuest(tmp_path_factory.mktemp("guest") / "g")
    try:
        machine.start()
        yield machine
    finally:
        machine.stop()


@pytest.fixture
def board(booted: SshGuest) -> Iterator[SshGuest]:
    yield booted
    booted.run("umount /opt 2>/dev/null; rm -rf /opt/* /opt/.[a-z]* /etc/init.d/*")


def deploy(board: SshGuest, *words: str | Path, status: int = 0, host: str = "board") -> Said:
    argv = ["deploy", *map(str, words), host, "--ssh-config", str(board.config)]
    return oejail(board.top, *argv, status=status)


def current(board: SshGuest) -> str:
    """What is current there, when every file of it is whole."""
    said = board.run("cd /opt/oejail/current/ && pwd -P && find . -type f -exec sha256sum {} +")
    place, *lines = said.splitlines()
    files = {line[68:]: line[:64] for line in lines if ".previous" not in line}
    assert files == board.expected[place.rpartition("/")[2]]
    return place.rpartition("/")[2]


@pytest.fixture(autouse=True)
def expected(booted: SshGuest, made: list[Made]) -> None:
    booted.expected = {version.digest: version.files for version in made}


def test_install_upgrade_rollback(board: SshGuest, made: list[Made]) -> None:
    one, two = made
    report = json.loads(deploy(board, one.path, "--unsigned", "--dry-run", "--json").out)
    assert [f["rule"] for f in report["findings"]] == ["deploy-ram-disk"]
    assert board.run("ls -A /opt") == ""
    said = deploy(board, one.path, "--unsigned", "--enable")
    assert f"current: {one.digest} (was nothing)" in said.out
    assert current(board) == one.digest
    assert board.run("readlink -f /etc/init.d/S90oejail").strip() == (
        f"/opt/oejail/{one.digest}/oejail.init"
    )
    deploy(board, two.path, "--unsigned")
    assert current(board) == two.digest
    assert deploy(board, "--rollback").out == f"current: {one.digest} (was {two.digest})\n"
    assert current(board) == one.digest
    deploy(board, "--disable")
    assert board.run("ls /etc/init.d") == ""


def test_a_real_kernel_refuses_the_stand_in(board: SshGuest, made: list[Made]) -> None:
    """insmod is BusyBox's own, and the module an ELF file without a program in it."""
    said = deploy(board, made[0].path, "--unsigned", "--start", status=5)
    assert "oejail: error: module-format: module: " in said.err
    assert current(board) == made[0].digest


def test_lost_and_killed_in_the_middle(board: SshGuest, made: list[Made]) -> None:
    one, two = made
    deploy(board, one.path, "--unsigned")
    for limit in (5_000, 1_000_000):
        board.limit.write_text(str(limit))
        said = deploy(board, two.path, "--unsigned", status=5, host="cut")
        assert "the connection was lost while" in said.err
        assert current(board) == one.digest
    words = ["deploy", str(two.path), "--unsigned", "board", "--ssh-config", str(board.config)]
    process = subprocess.Popen([*OEJAIL, *words], cwd=board.top, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "sending" in line:
            break
    time.sleep(0.5)  # wherever it is by now: each place is right
    process.kill()
    process.wait()
    process.stderr.close()
    assert current(board) in (one.digest, two.digest)
    deadline = time.monotonic() + 30
    while "busy" in board.run("ls -A /opt/oejail"):
        assert time.monotonic() < deadline
    deploy(board, two.path, "--unsigned")
    assert current(board) == two.digest
    left = set(board.run("ls -A /opt/oejail").split())
    assert left == {"current", one.digest, two.digest}


def test_the_boards_disk(board: SshGuest, made: list[Made]) -> None:
    one, two = made
    board.run("mount -t tmpfs -o size=1m tmpfs /opt")
    deploy(board, one.path, "--unsigned")
    said = deploy(board, two.path, "--unsigned", status=3)
    assert "nothing was touched: deploy-space" in said.err
    board.run("mount -o remount,ro /opt")
    said = deploy(board, two.path, "--unsigned", status=3)
    assert "deploy-read-only" in said.err
    assert current(board) == one.digest


def test_another_host_key(board: SshGuest, made: list[Made]) -> None:
    known = board.top / "known"
    right = known.read_text()
    keygen(board.top / "other")
    key = (board.top / "other.pub").read_text()
    known.write_text(f"[127.0.0.1]:{board.port} {key}")
    said = deploy(board, made[0].path, "--unsigned", status=5)
    known.write_text(right)
    assert "its host key is not the one that is known" in said.err
    assert board.run("ls -A /opt") == ""
