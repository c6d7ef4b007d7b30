# SPDX-License-Identifier: MIT
"""A configuration as JSON: complete, and `from_dict` gives the same configuration back.

Addresses, sizes and codes are integers, byte strings are hexadecimal, flags are lists of names
(unknown bits as one hexadecimal number), CPUs and interrupts are numbers.

What is read may be written as people do: `64M` for a number, `0-3` among CPUs and interrupts, the
name of a console, PCI device, IOMMU or shared-memory protocol for its code (see `source`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NoReturn, TypeVar

from oejail.cells import names
from oejail.cells.errors import CellFormatError
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
from oejail.cells.sizes import parse_size

Value = TypeVar("Value")

MAX_RANGE = 1 << 16
"""Numbers in one range: more than there are CPUs or interrupts anywhere."""
_RANGE = re.compile(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?")

_PLATFORMS: dict[str, type] = {
    "arm": ArmPlatform,
    "x86": X86Platform,
    "unknown": UnknownPlatform,
}
_ROWS: dict[str, type] = {
    "memory": MemoryRegion,
    "caches": CacheRegion,
    "irqchips": Irqchip,
    "pio": PioRegion,
    "pci_devices": PciDevice,
    "pci_caps": PciCap,
    "iommu_units": IommuUnit,
}
_PARTS: dict[str, type] = {
    "hypervisor_memory": MemoryRegion,
    "console": Console,
    "debug_console": Console,
    "cell": CellBody,
}
_CODES: dict[tuple[type, str], Mapping[int, str]] = {
    (Console, "type"): names.CONSOLE_TYPES,
    (PciDevice, "type"): names.PCI_TYPES,
    (PciDevice, "shmem_protocol"): names.SHMEM_PROTOCOLS,
    (IommuUnit, "type"): names.IOMMU_TYPES,
}
_FLAGS: dict[type, Mapping[str, int]] = {
    MemoryRegion: names.MEMORY_FLAGS,
    Console: names.CONSOLE_FLAGS,
    Cell: names.CELL_FLAGS,
    CellBody: names.CELL_FLAGS,
    RootCell: names.SYSTEM_FLAGS,
}


def to_dict(config: Cell | RootCell) -> dict[str, Any]:
    """The whole configuration; `kind` is `cell` or `root`."""
    kind = "root" if isinstance(config, RootCell) else "cell"
    return {"kind": kind, **_view(config)}


def _view(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_view(item) for item in value]
    if value is None or isinstance(value, int | str):
        return value
    kind = type(value)
    view: dict[str, Any] = {}
    if kind in _PLATFORMS.values():
        view["arch"] = next(name for name, cls in _PLATFORMS.items() if cls is kind)
    for item in fields(kind):
        plain = getattr(value, item.name)
        if item.name == "flags" and kind in _FLAGS:
            view["flags"] = names.flag_names(plain, _FLAGS[kind])
        elif item.name == "cpu_set":
            view["cpu_set_size"] = len(plain)
            view["cpus"] = list(value.cpus)
        elif item.name == "pin_bitmap":
            view["interrupts"] = list(value.interrupts)
        else:
            view[item.name] = _view(plain)
    return view


def numbers(given: Any) -> list[int]:
    """CPU or interrupt numbers, ascending: `[0, 2]`, `0-3`, `[32-40, 45]`.

    Raises ValueError for anything else, and for a range longer than MAX_RANGE.
    """
    found: set[int] = set()
    for item in given if isinstance(given, list) else [given]:
        if isinstance(item, int) and not isinstance(item, bool) and item >= 0:
            found.add(item)
            continue
        for part in item.split(",") if isinstance(item, str) else [repr(item)]:
            match = _RANGE.fullmatch(part.strip())
            first = int(match[1]) if match else 0
            last = int(match[2] or first) if match else 0
            if match is None or not first <= last < first + MAX_RANGE:
                raise ValueError(f"{part.strip()} is no number or range like 32-40")
            found.update(range(first, last + 1))
    return sorted(found)


def from_dict(data: Any, where: str = "cell") -> Cell | RootCell:
    """The configuration that `to_dict` showed; fields that are left out have their defaults.

    Raises CellFormatError, with the path of the field, for an unknown field or a value of the
    wrong kind. Whether numbers fit their fields is for `encode` to say.
    """
    reader = _Reader(where)
    data = reader.mapping(data, "")
    kind = data.get("kind")
    if kind not in ("cell", "root"):
        reader.fault("kind", kind, "cell or root")
    rest = {key: value for key, value in data.items() if key != "kind"}
    if kind == "root":
        return reader.build(RootCell, rest, "")
    return reader.build(Cell, rest, "")


_UNKNOWN = object()


class _Reader:
    def __init__(self, where: str) -> None:
        self.where = where

    def fault(self, path: str, found: object, expected: str, hint: str | None = None) -> NoReturn:
        text = "an unknown field" if found is _UNKNOWN else repr(found)
        raise CellFormatError(
            offset=0,
            field=path,
            found=text if len(text) < 80 else text[:76] + " ...",
            expected=expected,
            where=self.where,
            hint=hint,
        )

    def mapping(self, value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            self.fault(path or "document", value, "an object")
        return value

    def number(self, value: Any, path: str) -> int:
        if isinstance(value, str):
            try:
                return parse_size(value)
            except ValueError as error:
                self.fault(path, value, f"an integer ({error})")
        if isinstance(value, bool) or not isinstance(value, int):
            self.fault(path, value, "an integer")
        return value

    def code(self, value: Any, path: str, table: Mapping[int, str]) -> int:
        """A number, or the name of one."""
        for number, name in table.items():
            if name == value:
                return number
        if isinstance(value, str) and not value[:1].isdigit():
            self.fault(path, value, f"a number or one of {', '.join(table.values())}")
        return self.number(value, path)

    def numbers(self, value: Any, path: str) -> list[int]:
        try:
            return numbers(value)
        except ValueError as error:
            self.fault(path, value, f"numbers and ranges ({error})")

    def items(self, value: Any, path: str, item: Callable[[Any, str], Value]) -> list[Value]:
        if not isinstance(value, list):
            self.fault(path, value, "a list")
        return [item(entry, f"{path}[{index}]") for index, entry in enumerate(value)]

    def text(self, value: Any, path: str) -> str:
        if not isinstance(value, str):
            self.fault(path, value, "a text")
        return value

    def raw(self, value: Any, path: str) -> bytes:
        try:
            return bytes.fromhex(self.text(value, path))
        except ValueError:
            self.fault(path, value, "hexadecimal digits")

    def flags(self, value: Any, path: str, table: Mapping[str, int]) -> int:
        if not isinstance(value, list):
            return self.number(value, path)
        try:
            return names.flag_value(self.items(value, path, self.text), table)
        except ValueError as error:
            self.fault(path, value, f"known names ({error})")

    def cpu_set(self, data: dict[str, Any], path: str) -> bytes:
        size = self.number(data.pop("cpu_set_size", 8), f"{path}cpu_set_size")
        cpus = self.numbers(data.pop("cpus", []), f"{path}cpus")
        if not 0 <= size <= 4096:
            self.fault(f"{path}cpu_set_size", size, "0 to 4096 bytes")
        for cpu in cpus:
            if not 0 <= cpu < 8 * size:
                self.fault(f"{path}cpus", cpu, f"0 to {8 * size - 1} (cpu_set_size {size})")
        return cpu_bitmap(cpus, size)

    def pins(self, data: dict[str, Any], path: str) -> tuple[int, int, int, int]:
        base = self.number(data.get("pin_base", 0), f"{path}pin_base")
        pins = self.numbers(data.pop("interrupts", []), f"{path}interrupts")
        try:
            return pin_bitmap(pins, base)
        except ValueError as error:
            self.fault(f"{path}interrupts", pins, str(error))

    def platform(self, value: Any, path: str) -> Any:
        data = dict(self.mapping(value, path))
        arch = data.pop("arch", None)
        if not isinstance(arch, str) or arch not in _PLATFORMS:
            self.fault(f"{path}.arch", arch, " or ".join(_PLATFORMS))
        return self.build(_PLATFORMS[arch], data, f"{path}.")

    def build(self, cls: type[Value], given: dict[str, Any], prefix: str) -> Value:
        """An instance of the dataclass `cls` from the object `given`."""
        data = dict(given)
        known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]
        values: dict[str, Any] = {}
        if "cpu_set" in known:
            values["cpu_set"] = self.cpu_set(data, prefix)
            del known["cpu_set"]
        if "pin_bitmap" in known:
            values["pin_bitmap"] = self.pins(data, prefix)
            del known["pin_bitmap"]
        for name, value in data.items():
            path = f"{prefix}{name}"
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else None
                self.fault(path, _UNKNOWN, f"one of {', '.join(known)}", hint)
            values[name] = self.field(cls, name, str(known[name].type), value, path)
        try:
            return cls(**values)
        except TypeError:
            self.fault(prefix + "revision", None, "an integer")

    def field(self, cls: type, name: str, annotation: str, value: Any, path: str) -> Any:
        """One field, read as its annotation says."""
        if name == "flags" and cls in _FLAGS:
            return self.flags(value, path, _FLAGS[cls])
        if name == "platform":
            return self.platform(value, path)
        if name in _ROWS:
            return tuple(
                self.items(
                    value, path, lambda v, p: self.build(_ROWS[name], self.mapping(v, p), f"{p}.")
                )
            )
        if (cls, name) in _CODES:
            return self.code(value, path, _CODES[cls, name])
        if name in _PARTS:
            return self.build(_PARTS[name], self.mapping(value, path), f"{path}.")
        if annotation.startswith("tuple"):
            return tuple(self.items(value, path, self.number))
        if annotation == "bytes":
            return self.raw(value, path)
        if annotation == "str":
            return self.text(value, path)
        if annotation == "str | None":
            return None if value is None else self.text(value, path)
        return self.number(value, path)
