# SPDX-License-Identifier: MIT
"""Names of flags and codes, as people read and write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MEMORY_FLAGS = {
    "READ": 0x1,
    "WRITE": 0x2,
    "EXECUTE": 0x4,
    "DMA": 0x8,
    "IO": 0x10,
    "COMM_REGION": 0x20,
    "LOADABLE": 0x40,
    "ROOTSHARED": 0x80,
    "NO_HUGEPAGES": 0x100,
    "IO_UNALIGNED": 0x8000,
    "IO_8": 0x10000,
    "IO_16": 0x20000,
    "IO_32": 0x40000,
    "IO_64": 0x80000,
}
READ, WRITE, EXECUTE, DMA, IO = (MEMORY_FLAGS[n] for n in ("READ", "WRITE", "EXECUTE", "DMA", "IO"))
COMM_REGION, LOADABLE, ROOTSHARED = (
    MEMORY_FLAGS[n] for n in ("COMM_REGION", "LOADABLE", "ROOTSHARED")
)

CELL_FLAGS = {
    "PASSIVE_COMMREG": 0x1,
    "TEST_DEVICE": 0x2,
    "AARCH32": 0x4,
    "VIRT_CPUID": 0x100,
    "VIRTUAL_CONSOLE_PERMITTED": 0x4000_0000,
    "VIRTUAL_CONSOLE_ACTIVE": 0x8000_0000,
}
"""VIRT_CPUID is openEuler's fork's alone."""

SYSTEM_FLAGS = {"VIRTUAL_DEBUG_CONSOLE": 0x1}

CONSOLE_TYPES = {
    0: "none",
    1: "efifb",
    2: "8250",
    3: "pl011",
    4: "xuartps",
    5: "mvebu",
    6: "hscif",
    7: "scifa",
    8: "imx",
    9: "imx-lpuart",
    10: "scif",
}
CONSOLE_FLAGS = {
    "MMIO": 0x1,
    "REGDIST_4": 0x2,
    "FB_1920x1080": 0x4,
    "INVERTED_GATE": 0x1000,
    "MDR_QUIRK": 0x2000,
}

PCI_TYPES = {1: "device", 2: "bridge", 3: "ivshmem"}
IVSHMEM = 3
PCI_TYPE_DEVICE, PCI_TYPE_BRIDGE = 1, 2

IOMMU_TYPES = {0: "none", 1: "amd", 2: "intel", 3: "smmuv3", 4: "pvu", 5: "arm-mmu500"}

SHMEM_PROTOCOLS = {0: "undefined", 1: "veth"}


def flag_names(value: int, table: Mapping[str, int]) -> list[str]:
    """The names of the bits set in `value`, unknown ones together as one hexadecimal number."""
    names = [name for name, bit in table.items() if value & bit]
    rest = value & ~sum(table.values())
    return [*names, f"{rest:#x}"] if rest else names


def flag_value(names: Iterable[str], table: Mapping[str, int]) -> int:
    """The bits of `names`, numbers among them as they are; ValueError names an unknown one."""
    value = 0
    for name in names:
        if name in table:
            value |= table[name]
            continue
        try:
            value |= int(name, 0)
        except ValueError:
            known = ", ".join(table)
            raise ValueError(f"unknown flag {name!r}; known: {known}") from None
    return value


def protocol_name(value: int) -> str:
    """What an ivshmem device's protocol number means."""
    if value in SHMEM_PROTOCOLS:
        return SHMEM_PROTOCOLS[value]
    if 0x4000 <= value < 0x8000:
        return f"custom {value:#x}"
    if value >= 0x8000:
        end = "front" if value < 0xC000 else "back"
        return f"virtio-{end} {value & 0x3FFF}"
    return f"{value:#x}"
