# SPDX-License-Identifier: MIT
"""Sets to check: one that is sound in every respect, and ways to change it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from struct import pack
from typing import Any

from oejail.artifacts.identify import identify_stream
from oejail.cells import Cell, CellBody, MemoryRegion, RootCell, encode, shipped
from oejail.checks import FileInput, InmateInput, Machine, SetInput, linux_ram
from oejail.checks.ranges import Range
from tests.support.elf_files import module, tool

ROOT = "qemu-arm64-openeuler-demo"
FREERTOS = "qemu-arm64-freertos-demo"
VERSION = "v0.12 (324-ge57d1eff)"
RELEASE = "5.10.0-openeuler"


def file(path: str, data: bytes, origin: str = "") -> FileInput:
    """A file as `identify` sees it."""
    return FileInput(path, identify_stream(io.BytesIO(data), len(data), path), origin)


def cell_file(path: str, config: Cell | RootCell, **layout: Any) -> FileInput:
    """A configuration as it is read back from its bytes."""
    return file(path, encode(config, **layout))


def root_value() -> RootCell:
    config = shipped(ROOT)
    assert isinstance(config, RootCell)
    return config


def cell_value() -> Cell:
    config = shipped(FREERTOS)
    assert isinstance(config, Cell)
    return config


def second_value() -> Cell:
    """A further inmate beside FreeRTOS: its own CPU, RAM and interrupt, no shared memory."""
    cell = cell_value()
    ram = replace(cell.memory[4], phys_start=0x8900_0000)
    return replace(
        cell,
        name="second",
        cpu_set=b"\x04" + bytes(7),
        memory=(ram, cell.memory[5], cell.memory[6]),
        irqchips=(replace(cell.irqchips[0], pin_bitmap=(2, 0, 0, 0)),),
        pci_devices=(),
    )


def firmware(core: int = 0x40000, percpu: int = 0x3000, version: str = VERSION) -> bytes:
    """A jailhouse.bin."""
    header = b"JAILHOUS" + pack("<4Q", core, percpu, 0x1000, 0x2000)
    return header + bytes(64) + b"\0" + version.encode() + b"\0"


def kernel(release: str = RELEASE) -> bytes:
    """An arm64 Image."""
    return bytes(0x38) + b"ARMd" + bytes(64) + f"Linux version {release} (b@h)\n".encode()


def machine(mem: int = 1 << 30, ram: int = 2 << 30, **changes: Any) -> Machine:
    """QEMU's virt machine as openEuler's guide starts it."""
    banks = (Range(0x4000_0000, 0x4000_0000 + ram),)
    fields: dict[str, Any] = {
        "name": "QEMU",
        "ram": banks,
        "linux": linux_ram(banks, mem),
        "linux_because": f"mem={mem:#x}",
        "cpus": 4,
        "cpu_model": "cortex-a57",
        "virtualization": True,
        "gic_version": 3,
        "gic": {"gicd": 0x0800_0000, "gicr": 0x080A_0000},
    }
    return Machine(**(fields | changes))


IMAGE = bytes.fromhex("1f2003d5") * 100


def sound() -> SetInput:
    """Root, FreeRTOS and a second inmate, every file and the machine: no rule finds anything."""
    return SetInput(
        root=cell_file("cells/root.cell", root_value()),
        inmates=(
            InmateInput(
                cell_file("cells/freertos.cell", cell_value()), file("FreeRTOS.bin", IMAGE)
            ),
            InmateInput(cell_file("cells/second.cell", second_value()), file("second.bin", IMAGE)),
        ),
        module=file(
            "jailhouse.ko", module(RELEASE, VERSION), f"lib/modules/{RELEASE}/extra/jailhouse.ko"
        ),
        firmware=file("jailhouse.bin", firmware()),
        tool=file("bin/jailhouse", tool()),
        kernel=file("boot/Image", kernel()),
        machine=machine(),
        arch="arm64",
    )


def with_root(change: Callable[[RootCell], RootCell]) -> SetInput:
    """The sound set with another root."""
    return replace(sound(), root=cell_file("cells/root.cell", change(root_value())))


def with_root_body(change: Callable[[CellBody], CellBody]) -> SetInput:
    """The sound set with another cell inside the root."""
    return with_root(lambda root: replace(root, cell=change(root.cell)))


def with_cell(change: Callable[[Cell], Cell], **layout: Any) -> SetInput:
    """The sound set with another FreeRTOS cell."""
    return _with_inmate(0, "cells/freertos.cell", change(cell_value()), **layout)


def with_second(change: Callable[[Cell], Cell]) -> SetInput:
    """The sound set with another second cell."""
    return _with_inmate(1, "cells/second.cell", change(second_value()))


def _with_inmate(index: int, path: str, cell: Cell, **layout: Any) -> SetInput:
    given = sound()
    inmates = list(given.inmates)
    inmates[index] = replace(inmates[index], cell=cell_file(path, cell, **layout))
    return replace(given, inmates=tuple(inmates))


def with_image(data: bytes, address: int | None = None) -> SetInput:
    """The sound set with another image for FreeRTOS."""
    given = sound()
    first = replace(given.inmates[0], image=file("FreeRTOS.bin", data), address=address)
    return replace(given, inmates=(first, *given.inmates[1:]))


def region(cell: Cell, index: int, **changes: int) -> Cell:
    """The cell with one memory region changed."""
    memory = list(cell.memory)
    memory[index] = replace(memory[index], **changes)
    return replace(cell, memory=tuple(memory))


def more_memory(cell: Cell, *regions: MemoryRegion) -> Cell:
    """The cell with further memory regions at the end."""
    return replace(cell, memory=(*cell.memory, *regions))
