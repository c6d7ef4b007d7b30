# SPDX-License-Identifier: MIT
"""The payload's archive, and what is typed until a guest's shell answers."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from oejail.target import outcome
from oejail.target.arrival import QUIET, Arrival
from oejail.target.cpio import TOP, Member, append
from oejail.target.marker import Shell
from oejail.target.outcome import judge
from oejail.target.signs import Evidence
from tests.support import replay


def archive(directory: Path, paths: list[str], before: bytes = b"") -> bytes:
    members = []
    for number, path in enumerate(paths):
        file = directory / str(number)
        file.write_bytes(path.encode() * 3)
        members.append(Member(path, file, 0o755 if path.startswith("bin/") else 0o4644))
    stream = io.BytesIO()
    stream.write(before)
    append(stream, members)
    return stream.getvalue()


def entries(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Name → mode and bytes, read by the format's rules and not by what wrote it."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701" and at % 4 == 0
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        assert fields[2:4] == [0, 0] and fields[5] == 0  # owner, time
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        body = (at + 110 + fields[11] + 3) // 4 * 4
        at = (body + fields[6] + 3) // 4 * 4
        if name == "TRAILER!!!":
            assert not data[at:].strip(b"\0")
            return found
        found[name] = (fields[1], data[body : body + fields[6]])


def test_everything_lies_below_one_directory(tmp_path: Path) -> None:
    found = entries(archive(tmp_path, ["jailhouse.ko", "bin/jailhouse", "cells/dts/a b.dtb"]))
    assert list(found) == [
        *(TOP, f"{TOP}/bin", f"{TOP}/cells", f"{TOP}/cells/dts", f"{TOP}/bin/jailhouse"),
        *(f"{TOP}/cells/dts/a b.dtb", f"{TOP}/jailhouse.ko"),
    ]
    assert found[f"{TOP}/bin/jailhouse"] == (0o100755, b"bin/jailhouse" * 3)
    assert found[f"{TOP}/jailhouse.ko"][0] == 0o100644
    assert found[TOP] == (0o040755, b"")


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    names = ["b", "a/c", "a/b"]
    first = archive(tmp_path, names)
    assert archive(tmp_path, names) == first
    assert archive(tmp_path, names, b"xyz") == b"xyz" + bytes(5) + first


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "a//b", "", "a\0b", "."])
def test_no_path_leaves_it(path: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leaves oejail"):
        append(io.BytesIO(), [Member(path, tmp_path, 0o644)])


class Typist:
    """A guest that says things, and what is typed into it."""

    def __init__(self, password: str | None = None) -> None:
        self.shell = Shell(0o123456)
        self.arrival = Arrival(self.shell, "root", password)
        self.now = 0.0

    def says(self, data: bytes, wait: float = 2 * QUIET) -> bytes:
        for at in range(0, len(data), 3):
            self.arrival.feed(self.shell.feed(data[at : at + 3]), self.now)
            assert self.arrival.due(self.now) == b""  # never in the midst of something
        self.now += wait
        return self.arrival.due(self.now)


GREETING = Shell(0o123456).greeting()


@pytest.mark.parametrize("prompt", [b"/root # \x1b[6n", b"~ # ", b"\x1b[?2004hroot@openeuler:~# "])
def test_a_shell(prompt: bytes) -> None:
    guest = Typist()
    assert guest.says(b"[    0.1] Booting\r\n") == b""
    assert guest.says(b"Welcome\r\n" + prompt) == GREETING
    assert not guest.arrival.ready
    guest.says(replay.answer(guest.shell, 0))
    assert guest.arrival.ready


def test_a_login_that_the_kernel_tears() -> None:
    guest = Typist()
    assert guest.says(b"openEuler login: [    5.1] random: crng init done\r\n") == b"root\n"
    assert guest.says(b"root\r\nLast login: never\r\nroot@openeuler:~# ") == GREETING


MOTD = (
    b"Linux oe 6.1.0-arm64 #1 SMP aarch64\r\n\r\n\x1b[1;32m  * news\x1b[0m # no prompt: $ \r\n"
    b"login: is a word of this text\r\nLast login: Tue Nov 24 20:17:01 on ttyAMA0\r\n"
)
BASH = (
    b"\x1b]7;file:///root\x07\x1b[?2004h\x1b]0;root@oe: ~\x07\x1b[01;32mroot@oe\x1b[00m:"
    b"\x1b[01;34m~\x1b[00m# \x1b]133;B\x1b\\"
)
STATUS = (
    b"[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mmulti-user.target\x1b[0m.\r\n"
    b"         Starting \x1b[0;1;39msystemd-update-ut\xe2\x80\xa6 Change in UTMP...\r\n"
)


def test_systemd_goes_on_behind_the_login_and_the_password_prompt() -> None:
    guest = Typist("sesame")
    assert guest.says(STATUS + b"\r\nopenEuler 24.03 oe ttyAMA0\r\n\r\noe login: " + STATUS) == (
        b"root\n"
    )
    assert guest.says(b"root\r\nPassword: " + STATUS) == b"sesame\n"
    assert guest.says(b"\r\n" + MOTD) == b""  # no login in that, and no shell
    assert guest.says(BASH) == GREETING
    assert guest.arrival.facts == set()


def test_a_password_that_has_to_be_set_at_the_first_login() -> None:
    ask = b"root\r\nYou are required to change your password immediately.\r\nNew password: "
    guest = Typist("sesame")
    assert guest.says(b"oe login: ") == b"root\n"
    assert guest.says(ask) == b"sesame\n"
    assert guest.says(b"\r\nRetype new password: ") == b"sesame\n"
    for _ in range(2):
        assert guest.says(b"\r\nBAD PASSWORD: too simple\r\nNew password: ") == b"sesame\n"
        assert guest.says(b"\r\nRetype new password: ") == b"sesame\n"
    assert guest.says(b"\r\nNew password: ") == b""
    assert guest.arrival.facts == {"login-refused"}


def test_a_password() -> None:
    guest = Typist("sesame")
    assert guest.says(b"openEuler login: ") == b"root\n"
    assert guest.says(b"root\r\nPassword: ") == b"sesame\n"
    assert guest.says(b"\r\nLogin incorrect\r\n") == b""
    assert guest.arrival.hopeless and "login-refused" in guest.arrival.facts


def test_a_password_that_nobody_gave() -> None:
    guest = Typist()
    assert guest.says(b"login: ") == b"root\n"
    assert guest.says(b"Password: ") == b""
    assert guest.arrival.facts == {"password"}


def test_busyboxs_askfirst_and_a_torn_prompt() -> None:
    guest = Typist()
    assert guest.says(b"\r\nPlease press Enter to activate this console. ") == b"\n"
    assert guest.says(b"/ # [    6.2] EXT4-fs: mounted\r\n") == b""
    assert guest.says(b"", 5.0) == b"\n"
    assert guest.says(b"/ # ") == GREETING


def test_an_initrd_that_linux_cannot_unpack() -> None:
    evidence = Evidence()
    evidence.feed(
        b"[    0.949] Initramfs unpacking failed: compression method zstd not configured\r\n"
        b"[    1.264] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown\r\n"
    )
    verdict = judge(outcome.BOOT, None, evidence.seen)
    assert (verdict.cause, "zstd not configured" in verdict.said) == ("guest-initrd", True)
    # Said of trailing bytes too, in a guest that boots.
    trailing = {"initrd": "Initramfs unpacking failed: junk at the end"}
    assert judge(outcome.BOOT, 0, trailing).outcome == "passed"


def test_silence_is_left_alone() -> None:
    guest = Typist()
    assert guest.says(b"", 100.0) == b""
    assert guest.arrival.facts == {"silent"}


def test_others_read_it(tmp_path: Path) -> None:
    """By another's reader, where the machine has one: BusyBox's or GNU's; else by our own."""
    data = archive(tmp_path, ["a", "b/c"])
    for command in (["busybox", "cpio", "-t"], ["cpio", "-t"]):
        try:
            done = subprocess.run(command, input=data, capture_output=True, check=True)
        except FileNotFoundError:
            continue
        assert done.stdout.decode().split() == list(entries(data))
    assert list(entries(data)) == [TOP, f"{TOP}/b", f"{TOP}/a", f"{TOP}/b/c"]
