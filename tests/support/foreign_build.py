# SPDX-License-Identifier: MIT
"""A build directory as somebody else's Yocto build of openEuler Embedded leaves it.

The layout is that of OE-core's bitbake.conf and package.bbclass with openEuler's recipes; files
are small but real: ELF files, configurations with genuine values, an arm64 Image, a cpio. The
decoys are there by default: a stale version, an unstripped module, a FreeRTOS.bin elsewhere.
"""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from struct import pack

from oejail.cells import encode, shipped
from tests.support import elf_files

RELEASE = "5.10.0-openeuler"
VERSION = "v0.12 (324-ge57d1eff)"
ROOT, INMATE, OTHER = (
    "qemu-arm64-openeuler-demo",
    "qemu-arm64-freertos-demo",
    "qemu-arm64-inmate-demo",
)

FREERTOS = b"\x1f\x20\x03\xd5" * 2048 + b"This is freertos from the openeuler community!\n\0"
STALE_FREERTOS = b"\x1f\x20\x03\xd5" * 2000 + b"an older FreeRTOS\n\0"
DECOY_FREERTOS = b"\x1f\x20\x03\xd5" * 1999 + b"somebody else's FreeRTOS\n\0"
MODULE = elf_files.module(RELEASE, VERSION)
UNSTRIPPED = elf_files.module(RELEASE, VERSION, debug=b"debug information " * 400)
TOOL = elf_files.tool()
KERNEL = (
    bytes(0x38)
    + b"ARMd"
    + bytes(0x400)
    + f"Linux version {RELEASE} (oe-user@oe-host) (aarch64-openeuler-linux-gcc 10.3.1)\n".encode()
    + bytes(4096)
)


def firmware(core_size: int = 0x40000, percpu_size: int = 0x4000) -> bytes:
    """A jailhouse.bin: its header (sizes in bytes), a version, some code."""
    head = b"JAILHOUS" + pack("<4Q", core_size, percpu_size, 0x1000, 0)
    return head.ljust(0x1000, b"\0") + VERSION.encode() + b"\0" + b"\x1f\x20\x03\xd5" * 256


def cpio() -> bytes:
    """A gzip-packed cpio (newc) with no member."""
    name = b"TRAILER!!!\0"
    fields = [0] * 11 + [len(name), 0]
    entry = b"070701" + b"".join(b"%08X" % value for value in fields) + name
    return gzip.compress(entry + bytes(-len(entry) % 512), mtime=0)


def write(path: Path, data: bytes, mode: int = 0o644) -> Path:
    """Write a file, with the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


@dataclass
class ForeignBuild:
    """Where the parts of the build are, to change them in a test."""

    directory: Path
    machine: str = "qemu-aarch64"
    tune: str = "cortexa57"
    tmp: Path = field(init=False)

    def __post_init__(self) -> None:
        self.tmp = self.directory / "tmp"

    @property
    def deployed(self) -> Path:
        return self.tmp / "deploy" / "images" / self.machine

    @property
    def pkgdata(self) -> Path:
        return self.tmp / "pkgdata" / self.machine

    @property
    def jailhouse(self) -> Path:
        arch = self.machine.replace("-", "_")
        return self.tmp / "work" / f"{arch}-openeuler-linux" / "jailhouse" / "0.12-r0"

    def freertos(self, version: str = "11.1.0-r0") -> Path:
        work = self.tmp / "work" / f"{self.tune}-openeuler-linux"
        return work / "jailhouse-freertos" / version

    def record(self, recipe: str, package: str, pv: str, files: dict[str, int]) -> None:
        """What do_packagedata leaves of a package."""
        write(self.pkgdata / recipe, f"PACKAGES: {recipe}-dbg {package} {recipe}-doc\n".encode())
        lines = [f"PN: {recipe}", f"PV: {pv}", "PR: r0", f"PKGV: {pv}", "PKGR: r0"]
        lines += [f"FILES_INFO:{package}: {json.dumps(files)}", f"PKGSIZE:{package}: 1"]
        write(self.pkgdata / "runtime" / package, "\n".join(lines).encode() + b"\n")
        write(self.pkgdata / "runtime" / f"{package}.packaged", b"")

    def make_jailhouse(self) -> None:
        image = self.jailhouse / "image"
        files = {
            f"lib/modules/{RELEASE}/extra/driver/jailhouse.ko": MODULE,
            "lib/firmware/jailhouse.bin": firmware(),
            "usr/sbin/jailhouse": TOOL,
            "usr/libexec/jailhouse/linux-loader.bin": b"\x1f\x20\x03\xd5" * 100,
            "usr/share/jailhouse/inmates/gic-demo.bin": b"\x1f\x20\x03\xd5" * 120,
            "usr/share/jailhouse/inmates/uart-demo.bin": b"\x1f\x20\x03\xd5" * 121,
            "usr/share/jailhouse/cells/dts/inmate-qemu-arm64.dtb": pack(">II", 0xD00DFEED, 48)
            + bytes(40),
            "usr/share/bash-completion/completions/jailhouse": b"# no tool\n",
            "usr/share/man/man8/jailhouse.8": b".TH jailhouse\n",
        }
        for stem in (ROOT, INMATE, OTHER):
            files[f"usr/share/jailhouse/cells/{stem}.cell"] = encode(shipped(stem))
        for name, data in files.items():
            unstripped = UNSTRIPPED if name.endswith(".ko") else data
            write(image / name, unstripped, 0o755 if "/sbin/" in name else 0o644)
            packaged = write(self.jailhouse / "package" / name, data)
            package = f"kernel-module-jailhouse-{RELEASE}" if name.endswith(".ko") else "jailhouse"
            split = self.jailhouse / "packages-split" / package / name
            split.parent.mkdir(parents=True, exist_ok=True)
            os.link(packaged, split)
        # Debug files bear the names of what they describe.
        debug = f"lib/modules/{RELEASE}/extra/driver/.debug/jailhouse.ko"
        write(self.jailhouse / "packages-split" / "jailhouse-dbg" / debug, UNSTRIPPED[:-1])
        write(self.jailhouse / "packages-split" / "jailhouse-src" / "usr/src/debug/main.c", b"int")
        self.record("jailhouse", "jailhouse", "0.12", {})

    def make_freertos(self, version: str, data: bytes) -> None:
        """The recipe's work directory: sources, image, package, packages-split."""
        work, name = self.freertos(version), "Jailhouse_FreeRTOS_demo/FreeRTOS.bin"
        write(work / "Jailhouse_FreeRTOS_demo" / "FreeRTOS.elf", elf_files.elf({".text": data}))
        write(work / name, data)
        write(work / "image" / name, data)
        packaged = write(work / "package" / name, data)
        split = work / "packages-split" / "jailhouse-freertos" / name
        split.parent.mkdir(parents=True, exist_ok=True)
        os.link(packaged, split)

    def make_deployed(self) -> None:
        write(self.deployed / f"zImage-{RELEASE}", KERNEL)
        (self.deployed / "zImage").symlink_to(f"zImage-{RELEASE}")
        stem = f"openeuler-image-mcs-{self.machine}"
        for stamp in ("20260101000000", "20260202000000"):
            data = cpio() + (b"" if stamp.startswith("202602") else bytes(512))
            write(self.deployed / f"{stem}-{stamp}.rootfs.cpio.gz", data)


def make(directory: Path, *, decoys: bool = True) -> ForeignBuild:
    """A finished build. Without `decoys` it holds each file once, in its packages."""
    build = ForeignBuild(directory)
    write(directory / "conf" / "local.conf", b'MACHINE = "qemu-aarch64"\n#TMPDIR = "/elsewhere"\n')
    build.make_jailhouse()
    build.make_freertos("11.1.0-r0", FREERTOS)
    build.record("jailhouse-freertos", "jailhouse-freertos", "11.1.0", {})
    build.make_deployed()
    if decoys:
        build.make_freertos("1.0-r0", STALE_FREERTOS)
        other = build.freertos().parent.parent / "zephyr-demo" / "1.0-r0"
        write(other / "packages-split" / "zephyr-demo" / "opt" / "FreeRTOS.bin", DECOY_FREERTOS)
        write(directory / "FreeRTOS.bin", DECOY_FREERTOS)
        write(build.tmp / "deploy" / "FreeRTOS.bin", DECOY_FREERTOS)
    return build
