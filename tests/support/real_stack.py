# SPDX-License-Identifier: MIT
"""What tests/upstream/test_real_stack.py describes, laid out as openEuler's build leaves it."""

from __future__ import annotations

import shutil
from pathlib import Path

from oejail import platforms
from oejail.artifacts import collect
from oejail.artifacts.elf import Module, read_elf
from oejail.artifacts.model import SetSpec

INITRD = "openeuler-image-mcs-qemu-aarch64-20260101000000.rootfs.cpio.gz"


def collected(directory: Path, stack: Path, image: str = "FreeRTOS.bin") -> Path:
    """OUT of a build directory with the stack's files where openEuler's recipes leave them."""
    tmp = directory / "build/tmp"
    root = tmp / "work/qemu-aarch64-openeuler-linux/jailhouse/0.12-r0/image"
    rtos = tmp / "work/cortexa57-openeuler-linux/jailhouse-freertos/1.0-r0/image"
    module = read_elf((stack / "jailhouse.ko").read_bytes())
    assert isinstance(module, Module)
    deployed = tmp / "deploy/images/qemu-aarch64"
    for source, place in (
        ("jailhouse.bin", root / "lib/firmware/jailhouse.bin"),
        ("jailhouse.ko", root / f"lib/modules/{module.release}/extra/driver/jailhouse.ko"),
        ("jailhouse", root / "usr/sbin/jailhouse"),
        ("Image", deployed / "zImage"),
        ("rootfs.cpio.gz", deployed / INITRD),
        (image, rtos / "Jailhouse_FreeRTOS_demo/FreeRTOS.bin"),
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(stack / source, place)
    for name in ("cells", "inmates"):
        shutil.copytree(stack / name, root / "usr/share/jailhouse" / name)
    platform = platforms.load("qemu-aarch64")
    out = directory / "out"
    collect(directory / "build", platform, SetSpec.from_platform(platform), out)
    return out
