# SPDX-License-Identifier: MIT
"""What changed between two configurations in meaning, whatever the layouts they are written in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import SequenceMatcher
from typing import Any, TypeVar

from oejail.cells import names
from oejail.cells.model import (
    Cell,
    CellBody,
    IommuUnit,
    MemoryRegion,
    PciDevice,
    RootCell,
    UnknownPlatform,
)
from oejail.cells.regions import ivshmem_regions
from oejail.cells.sizes import format_size
from oejail.text import harmless

MAX_ALIGNED = 2000
"""Entries of a table that are aligned; beyond, they are compared one by one in their order."""

MAX_PAIRED = 64
"""Entries in one run of changed ones whose best pairing is looked for."""

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Change:
    """`where` names the part (`memory[4]`), `what` the change (`size 64 MiB → 96 MiB`)."""

    where: str
    what: str

    def line(self) -> str:
        """Both, on one printable line."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return harmless(text, "")


def diff(old: Cell | RootCell, new: Cell | RootCell) -> list[Change]:
    """Every change from `old` to `new`; none where they mean the same.

    A layout or an architecture that one of the two files does not name is no change. Entries of a
    table are matched first, so that one that was put in shifts nothing; a shared-memory device is
    the same as long as it uses the same memory. Indexes are those of `new`, of what was removed
    those of `old`.
    """
    return list(_config(old, new))


def _config(old: Cell | RootCell, new: Cell | RootCell) -> Iterator[Change]:
    kinds = ["root" if isinstance(config, RootCell) else "cell" for config in (old, new)]
    if kinds[0] != kinds[1]:
        yield Change("", f"kind {kinds[0]} → {kinds[1]}")
    if old.revision != new.revision:
        yield Change("", f"revision {old.revision} → {new.revision}")
    if old.layout != new.layout and "any" not in (old.layout, new.layout):
        yield Change("", f"layout {old.layout} → {new.layout}")
    if old.arch != new.arch and old.arch and new.arch:
        yield Change("", f"architecture {old.arch} → {new.arch}")
    if isinstance(old, RootCell) and isinstance(new, RootCell):
        yield from _root(old, new)
    bodies = [config.cell if isinstance(config, RootCell) else config for config in (old, new)]
    yield from _body(*bodies)
    if old.trailing != new.trailing:
        yield Change("", f"trailing bytes {len(old.trailing)} → {len(new.trailing)}")


def _root(old: RootCell, new: RootCell) -> Iterator[Change]:
    yield from _flags("system flags", old.flags, new.flags, names.SYSTEM_FLAGS)
    yield from _entry("hypervisor", old.hypervisor_memory, new.hypervisor_memory)
    yield from _entry("debug console", old.debug_console, new.debug_console)
    for name in ("pci_mmconfig_base", "pci_machine_mmconfig_base"):
        yield from _value(name, getattr(old, name), getattr(new, name), hex)
    for name in ("pci_mmconfig_end_bus", "pci_is_virtual", "pci_domain"):
        yield from _value(name, getattr(old, name), getattr(new, name))
    # One of an architecture that nobody names is compared as bytes, or not at all.
    unknown = [isinstance(root.platform, UnknownPlatform) for root in (old, new)]
    if not any(unknown) and type(old.platform) is not type(new.platform):
        yield Change("platform", f"{_kind(old.platform)} → {_kind(new.platform)}")
    elif all(unknown) and old.platform != new.platform and old.revision == new.revision:
        yield Change("platform", "differs (choose an architecture with --arch)")
    elif not any(unknown):
        yield from _entry("platform", old.platform, new.platform)
    units = [tuple(u for u in root.iommu_units if u != IommuUnit()) for root in (old, new)]
    yield from _table("IOMMU", units[0], units[1], lambda u: f"type {u.type} at {u.base:#x}")


def _kind(platform: object) -> str:
    return type(platform).__name__.removesuffix("Platform").lower()


def _body(old: CellBody, new: CellBody) -> Iterator[Change]:
    yield from _value("name", old.name, new.name, repr)
    yield from _value("id", old.id, new.id)
    yield from _flags("flags", old.flags, new.flags, names.CELL_FLAGS)
    if old.cpus != new.cpus:
        plural = "s" if len(old.cpus) != 1 or len(new.cpus) != 1 else ""
        yield Change("", f"CPU{plural} {_numbers(old.cpus)} → {_numbers(new.cpus)}")
    yield from _table("memory", old.memory, new.memory, _region)
    yield from _interrupts(old, new)
    devices = [_Device.all_of(body) for body in (old, new)]
    yield from _table("pci_devices", devices[0], devices[1], lambda d: d.title)
    yield from _table("pio", old.pio, new.pio, lambda p: f"{p.base:#x}, {p.length} ports")
    yield from _table("caches", old.caches, new.caches, lambda c: f"{c.start} + {c.size}")
    streams = [frozenset(body.stream_ids) for body in (old, new)]
    yield from _set("stream ids", streams[0], streams[1])
    yield from _value("vpci_irq_base", old.vpci_irq_base, new.vpci_irq_base)
    yield from _value("cpu_reset_address", old.cpu_reset_address, new.cpu_reset_address, hex)
    yield from _value("msg_reply_timeout", old.msg_reply_timeout, new.msg_reply_timeout)
    yield from _entry("console", old.console, new.console)


@dataclass(frozen=True, slots=True)
class _Device:
    """A PCI device with what its indexes point to, in place of the indexes."""

    device: PciDevice
    capabilities: tuple[object, ...]
    memory: tuple[MemoryRegion, ...] | None
    start: int

    @classmethod
    def all_of(cls, body: CellBody) -> tuple[_Device, ...]:
        devices = []
        for device in body.pci_devices:
            caps = body.pci_caps[device.caps_start : device.caps_start + device.num_caps]
            memory = ivshmem_regions(body, device) if device.type == names.IVSHMEM else None
            plain = replace(device, caps_start=0, shmem_regions_start=0)
            devices.append(cls(plain, caps, memory, device.shmem_regions_start))
        return tuple(devices)

    @property
    def title(self) -> str:
        kind = names.PCI_TYPES.get(self.device.type, f"type {self.device.type}")
        return f"{kind} {self.device.address}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Device) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        # The memory itself is compared in its own table; here it matters which it is.
        return (self.device, self.capabilities, self.memory)

    def changes(self, new: _Device) -> list[str]:
        found = _fields(self.device, new.device)
        if self.capabilities != new.capabilities:
            found.append(
                f"capabilities differ ({len(self.capabilities)} → {len(new.capabilities)})"
            )
        if self.memory != new.memory and self.start != new.start:
            found.append(f"shmem_regions_start {self.start} → {new.start}")
        return found


def _interrupts(old: CellBody, new: CellBody) -> Iterator[Change]:
    tables: list[dict[tuple[int, int], set[int]]] = []
    for body in (old, new):
        chips: dict[tuple[int, int], set[int]] = {}
        for chip in body.irqchips:
            chips.setdefault((chip.address, chip.id), set()).update(chip.interrupts)
        tables.append({key: numbers for key, numbers in chips.items() if numbers})
    before, after = tables
    if len(before) == len(after) == 1 and before.keys() != after.keys():
        (was,), (now,) = before, after
        yield Change("interrupt controller", f"{was[0]:#x} → {now[0]:#x}")
        before = {now: before[was]}
    chips_named = sorted(before.keys() | after.keys())
    for key in chips_named:
        where = "interrupts" if len(chips_named) == 1 else f"interrupts {key[0]:#x}"
        yield from _set(where, frozenset(before.get(key, ())), frozenset(after.get(key, ())))


def _set(where: str, old: frozenset[int], new: frozenset[int]) -> Iterator[Change]:
    parts = []
    if old - new:
        parts.append(f"removed {_numbers(sorted(old - new))}")
    if new - old:
        parts.append(f"added {_numbers(sorted(new - old))}")
    if parts:
        yield Change(where, ", ".join(parts))


def _numbers(numbers: Sequence[int]) -> str:
    """`1`, `0-3, 7`, `none`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    texts = [str(a) if a == b else f"{a}-{b}" for a, b in spans]
    return ", ".join(texts) or "none"


def _value(where: str, old: Any, new: Any, show: Callable[[Any], str] = str) -> Iterator[Change]:
    if old != new:
        yield Change(where, f"{show(old)} → {show(new)}")


def _flags(where: str, old: int, new: int, table: Mapping[str, int]) -> Iterator[Change]:
    if text := _flag_change(old, new, table):
        yield Change(where, text)


def _flag_change(old: int, new: int, table: Mapping[str, int]) -> str:
    lost = names.flag_names(old & ~new, table)
    won = names.flag_names(new & ~old, table)
    return " ".join([*(f"-{name}" for name in lost), *(f"+{name}" for name in won)])


def _entry(where: str, old: Any, new: Any) -> Iterator[Change]:
    if changes := _fields(old, new):
        yield Change(where, "; ".join(changes))


_TITLES = {"phys_start": "physical", "virt_start": "virtual", "bdf": "address"}
_SIZES = {"size", "msix_region_size"}


def _fields(old: Any, new: Any) -> list[str]:
    """What changed in one entry, field by field."""
    changes = []
    for item in fields(old):
        before, after = getattr(old, item.name), getattr(new, item.name)
        if before == after:
            continue
        title = _TITLES.get(item.name, item.name)
        if item.name == "flags" and isinstance(old, MemoryRegion):
            changes.append(f"flags {_flag_change(before, after, names.MEMORY_FLAGS)}")
        elif item.name in _SIZES:
            changes.append(f"{title} {format_size(before)} → {format_size(after)}")
        elif item.name == "bdf":
            changes.append(f"{title} {old.address} → {new.address}")
        else:
            changes.append(f"{title} {_shown(item.name, before)} → {_shown(item.name, after)}")
    return changes


_DECIMAL = {"shmem_dev_id", "shmem_peers", "shmem_protocol", "gic_version", "maintenance_irq"}


def _shown(name: str, value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return " ".join(f"{part:#x}" for part in value)
    if name.startswith("num_") or name in _DECIMAL:
        return str(value)
    return f"{value:#x}" if isinstance(value, int) else str(value)


def _region(region: MemoryRegion) -> str:
    if region == MemoryRegion():
        return "absent"
    flags = " ".join(names.flag_names(region.flags, names.MEMORY_FLAGS)) or "no flags"
    place = f"{region.phys_start:#x}-{region.phys_end:#x}"
    if region.virt_start != region.phys_start:
        place += f" at {region.virt_start:#x}"
    return f"{place}, {format_size(region.size)}, {flags}"


def _table(
    where: str, old: Sequence[Entry], new: Sequence[Entry], title: Callable[[Entry], str]
) -> Iterator[Change]:
    """Entries that were changed, removed or added."""
    if old == new:
        return
    for tag, i1, i2, j1, j2 in _blocks(old, new):
        if tag == "equal":
            continue
        pairs = _pairs(old[i1:i2], new[j1:j2])
        for before, after in pairs:
            if changes := _changes(old[i1 + before], new[j1 + after]):
                yield Change(f"{where}[{j1 + after}]", "; ".join(changes))
        for index in sorted(set(range(i2 - i1)) - {before for before, _ in pairs}):
            yield Change(f"{where}[{i1 + index}]", f"removed ({title(old[i1 + index])})")
        for index in sorted(set(range(j2 - j1)) - {after for _, after in pairs}):
            yield Change(f"{where}[{j1 + index}]", f"added ({title(new[j1 + index])})")


def _changes(old: Any, new: Any) -> list[str]:
    return old.changes(new) if isinstance(old, _Device) else _fields(old, new)


def _pairs(old: Sequence[Any], new: Sequence[Any]) -> list[tuple[int, int]]:
    """Which entry became which, where the two have no entry in common.

    The shorter side, moved along the longer one to where the fewest fields differ.
    """
    few, many = sorted((len(old), len(new)))
    shifts = range(many - few + 1) if many <= MAX_PAIRED else range(1)

    def pairs(shift: int) -> list[tuple[int, int]]:
        if len(old) <= len(new):
            return [(index, index + shift) for index in range(few)]
        return [(index + shift, index) for index in range(few)]

    return min(
        map(pairs, shifts), key=lambda found: sum(len(_changes(old[i], new[j])) for i, j in found)
    )


def _blocks(old: Sequence[Entry], new: Sequence[Entry]) -> Sequence[tuple[str, int, int, int, int]]:
    if max(len(old), len(new)) <= MAX_ALIGNED:
        return SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    common = min(len(old), len(new))
    steps = [
        ("equal" if old[i] == new[i] else "replace", i, i + 1, i, i + 1) for i in range(common)
    ]
    return [*steps, ("replace", common, len(old), common, len(new))]
