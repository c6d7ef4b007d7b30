# SPDX-License-Identifier: MIT
"""Jailhouse configurations: bytes in, values out, and back, without any I/O.

`decode` reads non-root cells and system configurations of every known layout, `encode` writes
them; `shipped` gives the supported boards' own. The formats are described in `layouts`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from oejail.cells.decode import decode
from oejail.cells.encode import encode, with_arch
from oejail.cells.errors import CellFormatError, CellTruncated
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

if TYPE_CHECKING:
    from oejail.cells.jsonview import from_dict, to_dict
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
_LATER = {
    "from_dict": "jsonview",
    "to_dict": "jsonview",
    "shipped": "sources",
    "shipped_names": "sources",
}
"""Imported when they are asked for: what decodes and checks needs neither JSON nor YAML."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = value
    return value
