# SPDX-License-Identifier: MIT
"""Jailhouse configurations: bytes in, values out, and back, without any I/O.

`decode` reads non-root cells and system configurations of every known layout, `encode` writes
them; `shipped` gives the supported boards' own. The formats are described in `layouts`.
"""

from oejail.cells.decode import decode
from oejail.cells.encode import encode, with_arch
from oejail.cells.errors import CellFormatError, CellTruncated
from oejail.cells.jsonview import from_dict, to_dict
from oejail.cells.layouts import MAX_CONFIG_SIZE
from oejail.cells.model import (
    ArmPlatform,
    CacheRegion,
    Cell,
    CellBody,
    Console,
    IommuUnit,
    Irqchip,
    MemoryRegion,
    PciCap,
    PciDevice,
    PioRegion,
    RootCell,
    UnknownPlatform,
    X86Platform,
    cpu_bitmap,
    pin_bitmap,
)
from oejail.cells.sources import shipped, shipped_names

__all__ = [
    "MAX_CONFIG_SIZE",
    "ArmPlatform",
    "CacheRegion",
    "Cell",
    "CellBody",
    "CellFormatError",
    "CellTruncated",
    "Console",
    "IommuUnit",
    "Irqchip",
    "MemoryRegion",
    "PciCap",
    "PciDevice",
    "PioRegion",
    "RootCell",
    "UnknownPlatform",
    "X86Platform",
    "cpu_bitmap",
    "decode",
    "encode",
    "from_dict",
    "pin_bitmap",
    "shipped",
    "shipped_names",
    "to_dict",
    "with_arch",
]
