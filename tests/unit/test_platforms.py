# SPDX-License-Identifier: MIT
from __future__ import annotations

import re
from pathlib import Path

import pytest

from oejail import platforms
from oejail.errors import ConfigError


def test_names() -> None:
    assert platforms.names() == ["qemu-aarch64", "raspberrypi4-64"]


@pytest.mark.parametrize("name", platforms.names())
def test_each_is_what_its_file_is_called(name: str) -> None:
    board = platforms.load(name)
    assert board.name == name and board.machine == name
    assert board.features.v2 == ("mcs/jailhouse",)


def test_qemu() -> None:
    board = platforms.load("qemu-aarch64")
    assert board.qemu is not None
    (ram,) = board.ram
    # Linux's own share is the lower part; the hypervisor and the inmate lie above it.
    assert ram.start + board.qemu.mem == 0x80000000 < ram.start + board.qemu.ram
    assert board.qemu.smp == board.cpus and board.qemu.ram == ram.size
    assert (board.gic.version, board.gic.gicr, board.gic.gicc) == (3, 0x80A0000, 0)
    assert board.rtos["freertos"].supported and board.rtos["freertos"].cell in board.cells.inmates


def test_raspberry() -> None:
    board = platforms.load("raspberrypi4-64")
    assert board.qemu is None and not board.rtos["freertos"].supported
    assert board.rtos["freertos"].reason and board.cells.inmates == ()
    assert [(s.start, s.start + s.size) for s in board.reservations] == [
        (0x10000000, 0x20000000),
        (0x700FF000, 0x80000000),
    ]


@pytest.mark.parametrize("name", platforms.names())
def test_every_value_has_its_source(name: str) -> None:
    """A number that nobody can trace is a number that nobody dares to change."""
    text = (Path(platforms.__file__).parent / f"{name}.yaml").read_text()
    for line in text.splitlines():
        if re.search(r"0x[0-9a-f]{6,}|machine:|expect:|cpu:|pattern:|root:", line):
            assert "#" in line or "what:" in line, line


def test_unknown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'qemu-arm64' is unknown; did you mean qemu-aarch64"):
        platforms.load("qemu-arm64")
    with pytest.raises(ConfigError, match="known are qemu-aarch64, raspberrypi4-64"):
        platforms.load("x")
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file"):
        platforms.load(str(tmp_path / "none.yaml"))
