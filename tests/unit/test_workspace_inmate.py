# SPDX-License-Identifier: MIT
"""The inmate's templates, and `oejail new inmate`."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oejail import platforms
from oejail.errors import Exit, UsageFault
from oejail.workspace import inmate
from oejail.workspace.inmate import Inmate

QEMU = platforms.load("qemu-aarch64")
PI = platforms.load("raspberrypi4-64")


def test_a_layer_is_whole() -> None:
    layer = inmate.layer(Inmate.named("blinky", QEMU))
    assert sorted(layer) == [
        "README.md",
        "conf/layer.conf",
        "recipes-rtos/blinky/blinky_1.0.bb",
        "recipes-rtos/blinky/files/inmate.c",
        "recipes-rtos/blinky/files/inmate.lds",
        "recipes-rtos/blinky/files/start.S",
    ]
    for path, text in layer.items():
        assert text.endswith("\n") and not text.endswith("\n\n"), path
        assert "SPDX-License-Identifier: MIT" in text.splitlines()[0], path
        assert "{{" not in text and "{%" not in text, path
        assert all(line == line.rstrip() for line in text.splitlines()), path
    conf = layer["conf/layer.conf"]
    assert 'BBFILE_COLLECTIONS += "blinky"' in conf
    assert 'LAYERSERIES_COMPAT_blinky = "hardknott kirkstone scarthgap"' in conf
    recipe = layer["recipes-rtos/blinky/blinky_1.0.bb"]
    assert 'COMPATIBLE_MACHINE = "qemu-aarch64"' in recipe
    assert "/usr/share/jailhouse/inmates/blinky.bin" in recipe
    assert "cell: qemu-arm64-freertos-demo" in layer["README.md"]


def test_the_licence_checksum_is_that_of_the_line(tmp_path: Path) -> None:
    layer = inmate.layer(Inmate.named("blinky", QEMU))
    line = layer["recipes-rtos/blinky/files/inmate.c"].splitlines(keepends=True)[0]
    expected = hashlib.md5(line.encode(), usedforsecurity=False).hexdigest()
    assert f"beginline=1;endline=1;md5={expected}" in layer["recipes-rtos/blinky/blinky_1.0.bb"]


def test_the_console_is_the_boards() -> None:
    here = inmate.sources(Inmate.named("blinky", QEMU))["inmate.c"]
    there = inmate.sources(Inmate.named("blinky", PI))["inmate.c"]
    assert "#define UART_BASE 0x9000000UL" in here and "/* PL011 */" in here
    assert "#define UART_BASE 0xfe215040UL" in there and "/* 8250," in there
    assert 'print("blinky: tick ");' in here


def test_rendering_is_one_atomic_step_and_never_over_something(tmp_path: Path) -> None:
    target = tmp_path / "below" / "meta-blinky"
    made = inmate.render_inmate("blinky", "baremetal", target)
    assert sorted(made) == sorted(path for path in target.rglob("*") if path.is_file())
    assert [path.name for path in target.parent.iterdir()] == ["meta-blinky"]
    before = {path: path.read_bytes() for path in made}
    with pytest.raises(UsageFault, match="exists already"):
        inmate.render_inmate("blinky", "baremetal", target)
    assert {path: path.read_bytes() for path in made} == before
    link = tmp_path / "meta-dangling"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageFault, match="exists already"):
        inmate.render_inmate("dangling", "baremetal", link)


MALFORMED = ["", "A", "a_b", "-a", "a-", "a--b", "1a", "a/b", "../a", "a b", "a\n", "é", "a" * 65]
TAKEN = ["core", "jailhouse", "x-native", "nativesdk-x", "lib32-x", "pn-x", "x-dev", "linux"]


@pytest.mark.parametrize("name", [*MALFORMED, *TAKEN])
def test_names_that_cannot_be(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="inmate name"):
        inmate.render_inmate(name, "baremetal", tmp_path / "layer")
    assert list(tmp_path.iterdir()) == []


@given(st.text(max_size=70))
def test_an_accepted_name_is_safe_everywhere(name: str) -> None:
    try:
        inmate.check_name(name)
    except UsageFault:
        return
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,63}", name)


def test_an_unknown_rtos(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="--rtos zephyr: not one of baremetal"):
        inmate.render_inmate("blinky", "zephyr", tmp_path / "layer")


def test_outside_a_project_it_is_made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = inmate.create("blinky", "baremetal")
    assert made.layer == tmp_path / "meta-blinky"
    assert made.next == (f"oejail layers add {tmp_path}/meta-blinky", "oejail build blinky")


def test_in_a_project_it_is_made_in_src_for_its_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "oejail.yaml").write_text(
        "version: 1\ntree: sample\nplatform: raspberrypi4-64\nrtos: null\n"
    )
    monkeypatch.chdir(tmp_path)
    assert inmate.create("early", "baremetal").layer == tmp_path / "meta-early"
    (tmp_path / "workspace/src").mkdir(parents=True)
    made = inmate.create("blinky", "baremetal")
    assert made.layer == tmp_path / "workspace/src/meta-blinky"
    recipe = made.layer / "recipes-rtos/blinky/blinky_1.0.bb"
    assert 'COMPATIBLE_MACHINE = "raspberrypi4-64"' in recipe.read_text()


def test_the_command(tmp_path: Path) -> None:
    def oejail(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "oejail.cli.main", "-C", str(tmp_path), "new", "inmate", *args],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
        )

    made = oejail("blinky")
    assert made.returncode == 0, made.stderr
    assert made.stdout == f"{tmp_path}/meta-blinky\n"
    assert "next: oejail layers add" in made.stderr
    again = oejail("blinky")
    assert again.returncode == Exit.USAGE
    assert again.stderr.count("\n") == 1 and "exists already" in again.stderr
    assert oejail("blinky2", "--platform", "nonsense").returncode == Exit.USAGE
    assert oejail("blinky2", "--dir", "elsewhere").stdout == f"{tmp_path}/elsewhere/meta-blinky2\n"
