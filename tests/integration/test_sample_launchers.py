# SPDX-License-Identifier: MIT
"""BitBake's launchers and the small programs of the sample tree, on their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sample_build import SampleBuild


def bare_python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run this Python without site-packages, user site and environment."""
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    return subprocess.run(
        [sys.executable, "-I", "-S", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def poky(sample_build: SampleBuild) -> Path:
    return sample_build.src / "yocto-poky"


def test_bitbake_needs_nothing_that_is_installed(poky: Path) -> None:
    result = bare_python(poky / "bitbake/bin/bitbake", "--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "BitBake Build Tool version 2.19.0\n"


@pytest.mark.parametrize("name", ["bitbake-server", "bitbake-worker"])
@pytest.mark.parametrize("arguments", [[], ["deadbeef"]])
def test_the_servers_parts_are_not_for_hands(poky: Path, name: str, arguments: list[str]) -> None:
    result = bare_python(poky / "bitbake/bin" / name, *arguments)
    assert result.returncode == 1
    assert result.stderr == f"{name} is started by bitbake only\n"


def test_outside_a_build_directory_bitbake_says_so(poky: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-I", "-S", poky / "bitbake/bin/bitbake", "jailhouse"],
        cwd=tmp_path,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "conf/bblayers.conf" in result.stdout + result.stderr


def test_a_missing_compiler_is_said_once_with_its_remedy(sample_copy: SampleBuild) -> None:
    conf = sample_copy.build_dir / "conf/local.conf"
    conf.write_text(conf.read_text() + 'CC = "no-such-gcc"\nCC:toolchain-zig = "no-such-gcc"\n')
    result = sample_copy.bitbake("jailhouse")
    assert result.returncode == 1
    said = [line for line in (*result.stdout, *result.stderr) if "no-such-gcc" in line]
    assert len(said) == 1
    assert "pipx install 'oejail[sample,cross]'" in said[0]
    events = sample_copy.events()
    assert events[-1]["event"] == "CommandFailed"


def test_services_that_the_wheel_lacks_are_refused(sample_copy: SampleBuild) -> None:
    conf = sample_copy.build_dir / "conf/local.conf"
    text = conf.read_text()
    for line, words in (
        ('PRSERV_HOST = "localhost:0"', "PRSERV_HOST: the sample tree has no PR service"),
        ('BB_HASHSERVE = "auto"', "BB_HASHSERVE: the sample tree has no hash equivalence"),
    ):
        conf.write_text(f"{text}{line}\n")
        result = sample_copy.bitbake("jailhouse")
        assert result.returncode == 1
        # BitBake's front end may end before it reads what its server says so early.
        log = (sample_copy.build_dir / "bitbake-cookerdaemon.log").read_text()
        assert words in "\n".join((*result.stdout, *result.stderr, log))
        assert f"ERROR: {words}" in log


class TestElfToFlat:
    @pytest.fixture
    def elf(self, sample_build: SampleBuild, tmp_path: Path) -> Path:
        source = sample_build.work("jailhouse-freertos") / "Jailhouse_FreeRTOS_demo/FreeRTOS.elf"
        return Path(shutil.copy(source, tmp_path / "x.elf"))

    def flatten(self, poky: Path, elf: Path) -> subprocess.CompletedProcess[str]:
        program = poky / "scripts/elf-to-flat"
        return bare_python(program, "-O", "binary", elf, elf.with_suffix(".bin"))

    def test_it_gives_what_the_build_has(
        self, sample_build: SampleBuild, poky: Path, elf: Path
    ) -> None:
        assert self.flatten(poky, elf).returncode == 0
        assert (
            elf.with_suffix(".bin").read_bytes()
            == sample_build.packaged("FreeRTOS.bin").read_bytes()
        )

    @pytest.mark.parametrize(
        ("offset", "value", "complaint"),
        [
            (0, b"no ELF", "no little-endian ELF64 file"),
            (5, b"\2", "no little-endian ELF64 file"),
            (32, b"\xff" * 8, "the program headers lie beyond the file's end"),
            (56, b"\0\0", "nothing to load in it"),
            (64 + 32, b"\0\0\0\0\0\0\0\1", "lies beyond the file's end"),
        ],
    )
    def test_a_broken_file_is_refused(
        self, poky: Path, elf: Path, offset: int, value: bytes, complaint: str
    ) -> None:
        data = bytearray(elf.read_bytes())
        data[offset : offset + len(value)] = value
        elf.write_bytes(data)
        result = self.flatten(poky, elf)
        assert result.returncode == 1
        assert complaint in result.stderr and "Traceback" not in result.stderr
        assert list(elf.parent.iterdir()) == [elf]
