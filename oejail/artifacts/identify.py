# SPDX-License-Identifier: MIT
"""What a file is, by its content alone: never by its name, and never by reading more than needed.

A file that claims to be something (a signature) and is not is `broken`, with the reason; nothing
here raises for what a file contains.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from oejail.cells import MAX_CONFIG_SIZE, Cell, RootCell, decode
from oejail.errors import ConfigError

if TYPE_CHECKING:
    from oejail.artifacts.elf import Module, Program
    from oejail.artifacts.firmware import Firmware
    from oejail.artifacts.kernel import Kernel

_HEAD = 4096
_OTHER_MAGICS = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\0": "xz",
    b"\xed\xab\xee\xdb": "rpm",
    b"#!": "script",
}
_DTB_MAGIC = bytes.fromhex("d00dfeed")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file is.

    `kind`: `module` (kernel module), `tool` (the program `jailhouse`), `elf` (any other ELF file),
    `firmware` (jailhouse.bin), `root-cell`, `cell`, `kernel`, `cpio` (also within gzip), `gzip`,
    `zstd`, `xz`, `rpm`, `dtb`, `script`, `flat` (anything else: a raw image), `empty`, `broken`
    (see `error`).
    """

    kind: str
    size: int
    arch: str | None = None
    sample: bool = False
    """It carries the mark of the sample tree."""
    fault: ConfigError | None = None
    """Why a `broken` file is not what its signature claims."""
    detail: Module | Program | Firmware | Kernel | Cell | RootCell | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    """What `detail` says, for JSON."""

    @property
    def error(self) -> str:
        """The fault in words; empty when there is none."""
        return self.fault.message if self.fault else ""


def identify(path: Path) -> Identity:
    """What the file at `path` is.

    Raises OSError as `open` does, and ConfigError where there is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ConfigError(f"{path}: not a regular file")
    with os.fdopen(descriptor, "rb") as stream:
        return identify_stream(stream, status.st_size, path.name)


def identify_stream(stream: BinaryIO, size: int, name: str = "file") -> Identity:
    """What the `size` bytes of a seekable stream are; `name` begins error texts."""
    head = stream.read(_HEAD)
    if not head:
        return Identity("empty", 0)
    try:
        return _identify(stream, head, size, name)
    except ConfigError as error:
        return Identity("broken", size, fault=error)


def _identify(stream: BinaryIO, head: bytes, size: int, name: str) -> Identity:
    if head.startswith((b"JHCELL", b"JHCLL", b"JHSYS")):
        return _cell(_whole(stream, head, size, MAX_CONFIG_SIZE, name), name)
    # Whoever looks at cells alone, as `cell check` mostly does, is not kept waiting for these.
    from oejail.artifacts import elf, firmware, kernel

    if head.startswith(b"\x7fELF"):
        return _elf(_whole(stream, head, size, elf.MAX_FILE, name), name)
    if head.startswith(firmware.SIGNATURE):
        data = _whole(stream, head, size, firmware.MAX_FILE, name)
        image = firmware.parse_firmware(data, name)
        return Identity(
            "firmware", size, sample=elf.SAMPLE_MARK in data, detail=image, info=asdict(image)
        )
    if head.startswith(kernel.GZIP_MAGIC):
        return _gzip(stream, size)
    if arch := kernel.kernel_arch(head):
        chunks = chain([head], kernel.file_chunks(stream))
        release = kernel.find_release(chunks) if arch == "arm64" else ""
        return _kernel(kernel.Kernel(arch, release, "none" if arch == "arm64" else "self"), size)
    if head.startswith(kernel.CPIO_MAGICS):
        return Identity("cpio", size, info={"compression": "none"})
    if head.startswith(_DTB_MAGIC):
        total = int.from_bytes(head[4:8], "big")
        if total > size:
            raise ConfigError(f"{name}: device tree of {total} bytes in a file of {size}")
        return Identity("dtb", size, info={"total_size": total})
    for magic, kind in _OTHER_MAGICS.items():
        if head.startswith(magic):
            return Identity(kind, size)
    return Identity("flat", size)


def _whole(stream: BinaryIO, head: bytes, size: int, limit: int, name: str) -> bytes:
    """All of a file whose beginning was read; ConfigError beyond the limit."""
    if size > limit:
        raise ConfigError(f"{name}: {size} bytes, more than the limit of {limit}")
    data = head + stream.read(limit - len(head) + 1)
    if len(data) > limit:  # it grew meanwhile
        raise ConfigError(f"{name}: more than the limit of {limit} bytes")
    return data


def _elf(data: bytes, name: str) -> Identity:
    from oejail.artifacts import elf

    found = elf.read_elf(data, name)
    sample = elf.SAMPLE_MARK in data
    if isinstance(found, elf.Module):
        return Identity("module", len(data), found.arch, sample, detail=found, info=asdict(found))
    info = {
        "type": found.elf.type,
        "bits": found.elf.bits,
        "entry": found.elf.entry,
        "static": found.elf.static,
        "loads_elf": found.loads_elf,
    }
    program = found.elf.type in ("executable", "shared")
    kind = "tool" if program and found.jailhouse_tool else "elf"
    return Identity(kind, len(data), found.elf.arch, sample, detail=found, info=info)


def _cell(data: bytes, name: str) -> Identity:
    found = decode(data, where=name)
    info: dict[str, Any] = {
        "name": found.name,
        "revision": found.revision,
        "layout": found.layout,
    }
    if isinstance(found, RootCell):
        info["cpus"] = list(found.cell.cpus)
        return Identity("root-cell", len(data), found.arch, detail=found, info=info)
    info["cpus"] = list(found.cpus)
    return Identity("cell", len(data), found.arch, detail=found, info=info)


def _gzip(stream: BinaryIO, size: int) -> Identity:
    from oejail.artifacts import kernel

    stream.seek(0)
    chunks = kernel.gzip_chunks(stream)
    first = next(chunks, b"")
    if first.startswith(kernel.CPIO_MAGICS):
        return Identity("cpio", size, info={"compression": "gzip"})
    if kernel.kernel_arch(first) == "arm64":
        release = kernel.find_release(chain([first], chunks))
        return _kernel(kernel.Kernel("arm64", release, "gzip"), size)
    return Identity("gzip", size)


def _kernel(image: Kernel, size: int) -> Identity:
    return Identity("kernel", size, image.arch, detail=image, info=asdict(image))
