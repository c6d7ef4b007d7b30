# SPDX-License-Identifier: MIT
"""The sample's inmate on QEMU's virt machine, compiled by each of the two compilers."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from oejail.workspace import sample
from tests.support import sample_build as support

BOOT = ["-machine", "virt", "-cpu", "cortex-a57", "-nographic", "-nic", "none", "-monitor", "none"]


def ticks(image: Path, count: int, seconds: float) -> list[tuple[float, str]]:
    """When `count` lines came on the console of a machine that runs `image`, and the lines."""
    qemu = subprocess.Popen(
        ["qemu-system-aarch64", *BOOT, "-kernel", image],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[tuple[float, str]] = []
    deadline = time.monotonic() + seconds
    try:
        assert qemu.stdout is not None
        while len(lines) < count and time.monotonic() < deadline:
            line = qemu.stdout.readline()
            if not line:
                break
            lines.append((time.monotonic(), line.rstrip("\r\n")))
    finally:
        qemu.kill()
        qemu.communicate()
    return lines


@pytest.mark.parametrize("kind", ["gcc", "zig"])
def test_the_inmate_ticks(kind: str, tmp_path: Path) -> None:
    compiler = sample.find_gcc() if kind == "gcc" else sample.find_zig()
    assert compiler is not None, f"{kind}: not installed; .ci/run installs it"
    assert shutil.which("qemu-system-aarch64"), "qemu-system-arm: not installed"
    made = support.make(tmp_path / "ws", compiler=compiler)
    result = made.bitbake("jailhouse", "jailhouse-freertos")
    assert result.ok, result.stdout
    for path in made.build_dir.glob("tmp/work/*/*/*/temp/log.do_compile"):
        assert "warning" not in path.read_text()
    said = ticks(made.images / "FreeRTOS.bin", 6, 30)
    assert [line for _, line in said] == [f"oejail sample inmate: tick {n}" for n in range(1, 7)]
    # Two a second, by the machine's clock; a loaded host may be late, never early.
    assert said[-1][0] - said[0][0] > 2.0
    demo = ticks(made.packaged("uart-demo.bin"), 2, 30)
    assert [line for _, line in demo] == [f"oejail sample uart-demo: tick {n}" for n in (1, 2)]


def test_flattening_is_what_objcopy_does(tmp_path: Path) -> None:
    """The stand-in for objcopy where there is zig alone, against the real one."""
    gcc = sample.find_gcc()
    assert gcc is not None, "gcc-aarch64-linux-gnu: not installed; .ci/run installs it"
    made = support.make(tmp_path / "ws", compiler=sample.find_zig())
    assert made.bitbake("jailhouse", "jailhouse-freertos").ok
    objcopy = gcc.program.with_name("aarch64-linux-gnu-objcopy")
    compared = 0
    for elf in made.build_dir.glob("tmp/work/*/*/*/*/*.elf"):
        flat = tmp_path / "flat.bin"
        subprocess.run([objcopy, "-O", "binary", elf, flat], check=True)
        name = "jailhouse.bin" if elf.name == "firmware.elf" else f"{elf.stem}.bin"
        assert flat.read_bytes() == elf.with_name(name).read_bytes()
        compared += 1
    assert compared == 3
