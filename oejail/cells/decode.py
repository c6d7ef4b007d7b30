# SPDX-License-Identifier: MIT
"""Bytes to values. The layout is found by trying every row of the table that the file fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from oejail.cells import layouts
from oejail.cells.errors import CellFormatError, CellTruncated
from oejail.cells.layouts import ANY, ARCHITECTURES, LAYOUTS, Layout
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
)

Config = TypeVar("Config", Cell, RootCell)

_TABLES = ("memory", "caches", "irqchips", "pio", "pci_devices", "pci_caps", "stream_ids")
_NO_SIGNATURE = bytes(8)


def decode(
    data: bytes, layout: str | None = None, *, arch: str | None = None, where: str = "cell"
) -> Cell | RootCell:
    """Read a configuration of any layout; `encode` of the result gives the same bytes.

    `layout` (`upstream` or `openeuler`) restricts the table. `arch` (`x86`, `arm`, `arm64`) says
    how to read a root's platform part where the file itself does not (all but upstream's revision
    14). `where` (a path) begins error messages.

    A layout fits when it describes at most as many bytes as there are and, for a root, its own
    cell bears no signature. Exact fits win over those that leave trailing bytes. Layouts that read
    the same fields are one reading (`layout` is then `any`).

    Raises CellFormatError for anything that is no configuration, or that two layouts read
    differently.
    """
    rows, root = _candidates(data, layout, where)
    if root:
        return _decide([_attempt(_read_root, data, row, arch, where) for row in rows], where)
    return _decide([_attempt(_read_cell, data, row, arch, where) for row in rows], where)


def _attempt(
    read: Callable[[bytes, Layout, str | None, str], Config],
    data: bytes,
    row: Layout,
    arch: str | None,
    where: str,
) -> Config | CellFormatError:
    try:
        return read(data, row, arch, where)
    except CellFormatError as error:
        return error


def _decide(attempts: list[Config | CellFormatError], where: str) -> Config:
    """The one reading among the attempts, else an error that says what stands in the way."""
    fits = [found for found in attempts if not isinstance(found, CellFormatError)]
    if not fits:
        errors = [found for found in attempts if isinstance(found, CellFormatError)]
        # The layout that went furthest is the likeliest; a signature inside a root is a bad sign.
        raise max(errors, key=lambda e: (e.field != "root cell signature" and e.offset) or -1)
    exact = [found for found in fits if not found.trailing]
    fits = exact or fits
    if len({replace(found, layout=ANY) for found in fits}) > 1:
        readings = " and ".join(
            f"{found.layout} revision {found.revision} ({len(found.trailing)} bytes left over)"
            for found in fits
        )
        raise CellFormatError(
            offset=0,
            field="layout",
            found=f"differing readings: {readings}",
            expected="one reading",
            where=where,
            hint="choose one with --layout upstream or --layout openeuler",
        )
    return fits[0] if len(fits) == 1 else replace(fits[0], layout=ANY)


def _candidates(data: bytes, family: str | None, where: str) -> tuple[list[Layout], bool]:
    """The rows whose signature and revision the file bears, and whether it is a root's."""

    def fault(offset: int, field: str, found: str, expected: str) -> CellFormatError:
        return CellFormatError(
            offset=offset, field=field, found=found, expected=expected, where=where
        )

    if family is not None and family not in layouts.FAMILIES:
        raise fault(0, "layout", repr(family), " or ".join(layouts.FAMILIES))
    if len(data) > layouts.MAX_CONFIG_SIZE:
        raise fault(0, "size", f"{len(data)} bytes", f"at most {layouts.MAX_CONFIG_SIZE}")
    table = [row for row in LAYOUTS if family in (None, row.family)]
    signed: list[Layout] = []
    root = False
    for row in table:
        root_row = data.startswith(row.root_signature)
        if not root_row and not data.startswith(row.cell_signature):
            continue
        # `JHSYS` is also the beginning of `JHSYST`: the sixth byte tells them apart.
        if row.arch_byte and data[5:6] >= bytes([len(ARCHITECTURES)]):
            continue
        signed.append(row)
        root = root_row
    if not signed:
        if len(data) > 5 and data[:5] in (b"JHSYS", b"JHCLL"):
            raise fault(5, "architecture", str(data[5]), "0 (x86), 1 (arm) or 2 (arm64)")
        expected = sorted(
            {repr(s)[1:] for row in table for s in (row.cell_signature, row.root_signature)}
        )
        raise fault(0, "signature", repr(data[:6])[1:], f"one of {', '.join(expected)}")
    if len(data) < layouts.DESCRIPTOR.size:
        raise CellTruncated(
            offset=0,
            field="size",
            found=f"{len(data)} bytes",
            expected=f"at least {layouts.DESCRIPTOR.size}",
            where=where,
        )
    revision = int.from_bytes(data[6:8], "little")
    rows = [row for row in signed if row.revision == revision]
    if not rows:
        known = ", ".join(str(r) for r in sorted({row.revision for row in signed}))
        raise fault(6, "revision", str(revision), f"{known} (with signature {data[:6]!r})")
    return rows, root


def _read_cell(data: bytes, row: Layout, _arch: str | None, where: str) -> Cell:
    fields, end = _read_body(data, 0, row, where)
    arch = ARCHITECTURES[data[5]] if row.arch_byte else None
    return Cell(
        revision=row.revision, layout=row.family, arch=arch, trailing=bytes(data[end:]), **fields
    )


def _read_root(data: bytes, row: Layout, arch: str | None, where: str) -> RootCell:
    inner = row.root_cell_offset
    if len(data) < inner + layouts.DESCRIPTOR.size:
        raise CellTruncated(
            offset=inner,
            field="root cell descriptor",
            found=f"{len(data)} bytes",
            expected=f"at least {inner + layouts.DESCRIPTOR.size} ({row.name})",
            where=where,
        )
    if data[inner : inner + 8] != _NO_SIGNATURE:
        raise CellFormatError(
            offset=inner,
            field="root cell signature",
            found=bytes(data[inner : inner + 8]).hex(),
            expected=f"eight zero bytes ({row.name})",
            where=where,
        )
    fields, end = _read_body(data, inner, row, where)
    _, _, flags, memory, console, mmconfig, *rest = row.header.unpack_from(data)
    union = bytes(data[row.union_offset : row.union_offset + row.union_size])
    if row.arch_byte:
        arch = ARCHITECTURES[data[5]]
    platform, units = read_platform(union, row, arch or guess_arch(union, row))
    if not row.units_in_platform:
        units = _read_units(data[row.header.size : row.union_offset])
    return RootCell(
        revision=row.revision,
        layout=row.family,
        arch=arch or guess_arch(union, row),
        flags=flags,
        hypervisor_memory=MemoryRegion(*layouts.MEMORY.unpack(memory)),
        debug_console=Console(*layouts.CONSOLE.unpack(console)),
        pci_mmconfig_base=mmconfig,
        pci_machine_mmconfig_base=rest.pop(0) if row.machine_mmconfig else 0,
        pci_mmconfig_end_bus=rest[0],
        pci_is_virtual=rest[1],
        pci_domain=rest[2],
        iommu_units=units,
        platform=platform,
        cell=CellBody(**fields),
        trailing=bytes(data[end:]),
    )


def guess_arch(union: bytes, row: Layout) -> str | None:
    """arm64 where the union, read as arm, has a page-aligned GIC distributor; else None.

    32-bit arm looks the same: only the caller can know it.
    """
    gicd = row.arm.unpack_from(union)[-5]
    return "arm64" if gicd and gicd % 4096 == 0 else None


def read_platform(
    union: bytes, row: Layout, arch: str | None
) -> tuple[ArmPlatform | X86Platform | UnknownPlatform, tuple[IommuUnit, ...]]:
    """The platform union as `arch` reads it, and the IOMMU units where they stand in it."""
    if arch is None:
        return UnknownPlatform(union), ()
    part = row.x86 if arch == "x86" else row.arm
    end = part.size + (layouts.IOMMU_UNITS * layouts.IOMMU.size if row.units_in_platform else 0)
    units = _read_units(union[part.size : end])
    if arch == "x86":
        if row.units_in_platform:
            pm_timer, vtd, apic_mode, reserved, tsc, apic = part.unpack_from(union)
        else:
            pm_timer, apic_mode, reserved, vtd, tsc, apic = part.unpack_from(union)
        reserved += union[end:]
        kept = reserved if any(reserved) else b""
        return X86Platform(pm_timer, apic_mode, vtd, tsc, apic, kept), units
    first, version, *values = part.unpack_from(union)
    reserved = 0 if row.units_in_platform else values.pop(0)
    gicd, gicc, gich, gicv, gicr = values
    return ArmPlatform(first, version, gicd, gicc, gich, gicv, gicr, reserved), units


def _read_units(data: bytes) -> tuple[IommuUnit, ...]:
    return tuple(IommuUnit(*unit) for unit in layouts.IOMMU.iter_unpack(data))


def _read_body(data: bytes, start: int, row: Layout, where: str) -> tuple[dict[str, Any], int]:
    """The fields of the descriptor at `start` and its tables, and where they end.

    The counts are checked against the size before anything is made of them.
    """
    _, name, id_, flags, cpu_set_size, *counts, vpci, reset, timeout, console = (
        layouts.DESCRIPTOR.unpack_from(data, start)
    )
    if cpu_set_size > layouts.MAX_CPU_SET_SIZE:
        raise CellFormatError(
            offset=start + 48,
            field="cpu_set_size",
            found=f"{cpu_set_size} bytes",
            expected=f"at most {layouts.MAX_CPU_SET_SIZE} ({row.name})",
            where=where,
        )
    pci_device = row.pci_device.size
    sizes = (
        layouts.MEMORY.size,
        layouts.CACHE.size,
        layouts.IRQCHIP.size,
        layouts.PIO.size,
        pci_device,
        layouts.PCI_CAP.size,
        layouts.STREAM_ID.size,
    )
    cpus = start + layouts.DESCRIPTOR.size
    ends = [cpus + cpu_set_size]
    for count, size in zip(counts, sizes, strict=True):
        ends.append(ends[-1] + count * size)
    if ends[-1] > len(data):
        index = next(i for i, end in enumerate(ends) if end > len(data))
        table = "cpu_set" if index == 0 else _TABLES[index - 1]
        number = "" if index == 0 else f" ({counts[index - 1]} entries)"
        raise CellTruncated(
            offset=cpus if index == 0 else ends[index - 1],
            field=f"{table}{number}",
            found=f"{len(data)} bytes",
            expected=f"at least {ends[-1]} ({row.name})",
            where=where,
        )
    # A memoryview would cost more than it saves: these are a few hundred bytes.
    parts = [bytes(data[ends[i] : ends[i + 1]]) for i in range(len(sizes))]
    text, _, rest = name.partition(b"\0")
    return {
        "name": text.decode("latin-1"),
        "name_rest": rest.rstrip(b"\0"),
        "id": id_,
        "flags": flags,
        "cpu_set": bytes(data[cpus : ends[0]]),
        "memory": tuple(MemoryRegion(*v) for v in layouts.MEMORY.iter_unpack(parts[0])),
        "caches": tuple(
            CacheRegion(first, size, kind, cache_flags, reserved)
            for first, size, kind, reserved, cache_flags in layouts.CACHE.iter_unpack(parts[1])
        ),
        "irqchips": tuple(
            Irqchip(v[0], v[1], v[2], v[3:]) for v in layouts.IRQCHIP.iter_unpack(parts[2])
        ),
        "pio": tuple(PioRegion(*v) for v in layouts.PIO.iter_unpack(parts[3])),
        "pci_devices": tuple(_pci_device(v, row) for v in row.pci_device.iter_unpack(parts[4])),
        "pci_caps": tuple(PciCap(*v) for v in layouts.PCI_CAP.iter_unpack(parts[5])),
        "stream_ids": tuple(v[0] for v in layouts.STREAM_ID.iter_unpack(parts[6])),
        "vpci_irq_base": vpci,
        "cpu_reset_address": reset,
        "msg_reply_timeout": timeout,
        "console": Console(*layouts.CONSOLE.unpack(console)),
    }, ends[-1]


def _pci_device(values: tuple[int, ...], row: Layout) -> PciDevice:
    kind, iommu, domain, bdf, *rest = values
    virt = rest.pop(0) if row.virt_bdf else 0
    b0, b1, b2, b3, b4, b5, *tail = rest
    device = PciDevice(kind, iommu, domain, bdf, (b0, b1, b2, b3, b4, b5), *tail)
    return replace(device, virt_bdf=virt) if virt else device
