# SPDX-License-Identifier: MIT
"""What boards say of themselves, as recorded and as somebody hostile might, and what that means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from oejail import platforms
from oejail.bundle import manifest
from oejail.bundle.manifest import Manifest
from oejail.checks.ranges import Range
from oejail.errors import TargetFailed, UsageFault
from oejail.target import preflight, ssh
from oejail.target.preflight import Board, Mount
from oejail.target.preflight_rules import RULES
from tests.conftest import repository

# Debian's arm64 kernel in QEMU's virt machine, BusyBox, root on the initrd, mem=1G.
QEMU = """\
Welcome to the board
oejail:machine aarch64
oejail:release 5.10.0-openeuler
oejail:uid 0
oejail:cpus 0-3
oejail:cmdline console=ttyAMA0 loglevel=8 mem=1G
oejail:board linux,dummy-virt
oejail:hypervisor
oejail:iomem 08000000-0800ffff : GICD
oejail:iomem 09000000-09000fff : pl011@9000000
oejail:iomem   09000000-09000fff : 9000000.pl011 pl011@9000000
oejail:iomem 40000000-7fffffff : System RAM
oejail:iomem   40210000-4157ffff : Kernel code
oejail:iomem   7fa00000-7fffffff : reserved
oejail:iomem 4010000000-401fffffff : PCI ECAM
oejail:mount rootfs / rootfs rw,size=234972k,nr_inodes=58743 0 0
oejail:mount proc /proc proc rw,relatime 0 0
oejail:place /opt/oejail
oejail:space rootfs                  234972      5184    229788   2% /
oejail:current 0123456789abcdef
oejail:version 0123456789abcdef fedcba9876543210
oejail:version fedcba9876543210
oejail:init rc5.d
oejail:link /etc/rc5.d/S90oejail /opt/oejail/current/oejail.init
oejail:end
"""


def parsed(text: str = QEMU) -> Board:
    return preflight.parse(text.splitlines())


@pytest.fixture
def head() -> Manifest:
    path = repository() / "tests" / "data" / "bundle" / "manifest.json"
    return replace(manifest.parse(path.read_bytes(), "manifest.json"), sample=False)


def rules(board: Board, head: Manifest, **options: bool) -> list[tuple[str, str]]:
    platform = platforms.load("qemu-aarch64")
    found = preflight.check(board, head, platform, "root@board", **options)
    return [(finding.rule, finding.severity) for finding in found]


def test_a_board_as_recorded(head: Manifest) -> None:
    assert parsed() == Board(
        machine="aarch64",
        release="5.10.0-openeuler",
        uid=0,
        cpus=4,
        cmdline="console=ttyAMA0 loglevel=8 mem=1G",
        compatible=("linux,dummy-virt",),
        hypervisor=False,
        linux=(Range(0x40000000, 0x80000000),),
        mount=Mount("/", "rootfs", ("rw", "size=234972k", "nr_inodes=58743")),
        free=229788 * 1024,
        lacks=(),
        current="0123456789abcdef",
        versions={"0123456789abcdef": "fedcba9876543210", "fedcba9876543210": ""},
        init="rc5.d",
        links={"/etc/rc5.d/S90oejail": "/opt/oejail/current/oejail.init"},
    )
    assert rules(parsed(), head) == [("deploy-ram-disk", "warning")]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("machine aarch64", "machine aarch64_be", []),
        ("machine aarch64", "machine armv7l", [("deploy-architecture", "error")]),
        ("machine aarch64", "machine", [("deploy-architecture", "error")]),
        ("release 5.10.0", "release 6.6.0", [("deploy-kernel", "error")]),
        ("uid 0", "uid 1000", [("deploy-root", "error")]),
        ("uid 0", "uid x", [("deploy-root", "error")]),
        ("40000000-7fffffff", "00000000-00000000", [("deploy-memory", "warning")]),
        ("hypervisor", "hypervisor 1", [("deploy-hypervisor", "warning")]),
        ("hypervisor", "hypervisor 0", []),
        ("mount rootfs / rootfs rw", "mount x / ext4 ro", [("deploy-read-only", "error")]),
        ("229788   2%", "100   2%", [("deploy-space", "error")]),
        ("229788   2%", "-5   2%", []),
        ("board linux,dummy-virt", "board raspberrypi,4-model-b", [("deploy-board", "error")]),
        ("board linux,dummy-virt", "board acme,board", []),
        ("oejail:end", "oejail:lacks tar\noejail:end", [("deploy-tools", "error")]),
    ],
)
def test_findings(head: Manifest, old: str, new: str, expected: list[tuple[str, str]]) -> None:
    assert old in QEMU
    board = parsed(QEMU.replace(old, new, 1))
    found = [row for row in rules(board, head) if row[0] != "deploy-ram-disk"]
    assert found == expected
    assert all(RULES[rule] for rule, _ in found)


def test_what_the_options_make_of_it(head: Manifest) -> None:
    board = replace(parsed(), hypervisor=True, init="", mount=None)
    assert rules(board, head, start=True, enable=True) == [
        ("deploy-hypervisor", "error"),
        ("deploy-init", "error"),
    ]


def test_the_raspberry_pi(head: Manifest) -> None:
    pi = platforms.load("raspberrypi4-64")
    board = replace(parsed(), compatible=("raspberrypi,4-model-b", "brcm,bcm2711"), mount=None)
    reason = pi.rtos["freertos"].reason
    [finding] = preflight.check(board, head, platforms.load("qemu-aarch64"), "pi")
    assert (finding.rule, reason in finding.message) == ("deploy-board", True)
    # For that board, with nothing to run there, and with an image of somebody's own.
    own = replace(head, platform=pi.name)
    none = replace(own, set=replace(own.set, inmates=()))
    [finding] = preflight.check(board, none, pi, "pi")
    assert (finding.rule, reason in finding.message) == ("deploy-rtos", True)
    assert list(preflight.check(board, own, pi, "pi")) == []


def test_mounts_that_cover_each_other() -> None:
    lines = ["/dev/a / ext4 ro 0 0", "tmpfs /opt tmpfs rw 0 0", "x /opt/oe ext4 rw 0 0", "bad"]
    text = "oejail:machine x\noejail:place /opt/oejail\noejail:end\n"
    text += "".join(f"oejail:mount {line}\n" for line in lines)
    assert parsed(text).mount == Mount("/opt", "tmpfs", ("rw",))
    text += "oejail:mount /dev/b /opt ext4 rw,noexec 0 0\n"
    assert parsed(text).mount == Mount("/opt", "ext4", ("rw", "noexec"))


@pytest.mark.parametrize("text", ["", "sh: syntax error\n", QEMU.replace("oejail:end\n", "")])
def test_an_answer_that_is_not_whole(text: str) -> None:
    with pytest.raises(TargetFailed, match="not whole"):
        parsed(text)


def test_hostile_answers() -> None:
    text = "oejail:machine \033[2J" + "x" * 100_000 + "\n"
    text += "oejail:current ../../etc\noejail:version ../../etc x\noejail:cpus 0-99999999999\n"
    text += "oejail:uid " + "9" * 5000 + "\noejail:space " + "9" * 9999 + "\noejail:cpus ,\n"
    text += "oejail:iomem ffffffffffffffffff-1 : System RAM\noejail:link x\noejail:end\n"
    board = parsed(text)
    assert "\033" not in board.machine and len(board.machine) < 5000
    assert (board.current, board.versions, board.cpus, board.uid) == ("", {}, None, None)
    assert (board.free, board.linux) == (None, ())


def test_the_machine_for_the_rules() -> None:
    machine = preflight.machine(parsed(), "root@board")
    assert (machine.cpus, machine.linux) == (4, (Range(0x40000000, 0x80000000),))
    assert machine.linux_because == "System RAM in the board's /proc/iomem, mem=1G"


@pytest.mark.parametrize(
    ("text", "user", "host"),
    [
        ("root@192.168.0.10", "root", "192.168.0.10"),
        ("board", None, "board"),
        ("a.b-c@x.y-z", "a.b-c", "x.y-z"),
        ("root@[fe80::1%eth0]", "root", "fe80::1%eth0"),
        ("root@::1", "root", "::1"),
    ],
)
def test_destinations(text: str, user: str | None, host: str) -> None:
    found = ssh.parse(text)
    assert (found.user, found.host) == (user, host)


@pytest.mark.parametrize(
    "text",
    ["", "@x", "root@", "-x", "root@-x", "a b", "x;y", "$(x)", "x\n", "a@b@c", "x`y`", "host:22"],
)
def test_no_destinations(text: str) -> None:
    with pytest.raises(UsageFault, match="not USER@HOST"):
        ssh.parse(text)


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    key = tmp_path / "a key"
    key.write_text("")
    remote = ssh.Remote(ssh.parse("root@board", port=2222, identity=key))
    argv = remote.argv("the command")
    assert argv[-3:] == ["--", "board", "the command"]
    assert argv[argv.index("-i") + 1] == str(key)
    assert (argv[argv.index("-p") + 1], argv[argv.index("-l") + 1]) == ("2222", "root")
    assert {"StrictHostKeyChecking=yes", "BatchMode=yes"} <= set(argv)
    lost = remote.lost("while x", "", ["@@@", "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!"])
    assert "ssh-keygen -R '[board]:2222'" in (lost.hint or "")
