# SPDX-License-Identifier: MIT
"""Values to bytes, in the layout that they were read from or in another."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from struct import Struct

from oejail.cells import layouts
from oejail.cells.decode import read_platform
from oejail.cells.errors import CellFormatError
from oejail.cells.layouts import ANY, ARCHITECTURES, LAYOUTS, Layout
from oejail.cells.model import (
    ArmPlatform,
    Cell,
    CellBody,
    Console,
    IommuUnit,
    MemoryRegion,
    PciDevice,
    RootCell,
    UnknownPlatform,
    X86Platform,
)

_NO_SIGNATURE = bytes(8)


def encode(
    config: Cell | RootCell,
    *,
    layout: str | None = None,
    revision: int | None = None,
    arch: str | None = None,
) -> bytes:
    """The exact bytes of a configuration.

    `layout` (`upstream` or `openeuler`) and `revision` default to the configuration's own (`any`
    is written as upstream's); `arch` is needed where upstream's revision 14 is asked for and the
    configuration does not know its own.

    Raises CellFormatError for a value that does not fit its field, a layout that is not in the
    table, and a value that the layout has no field for.
    """
    row = _row(config, layout, revision)
    arch = arch or config.arch
    if isinstance(config, RootCell):
        return _Writer(row, f"root cell {config.name!r}").root(config, arch)
    return _Writer(row, f"cell {config.name!r}").cell(config, arch)


def with_arch(root: RootCell, arch: str) -> RootCell:
    """A root read with unknown platform, read again as `arch`; any other as it is."""
    if not isinstance(root.platform, UnknownPlatform):
        return root
    row = _row(root, None, None)
    if len(root.platform.data) != row.union_size:
        return replace(root, arch=arch)
    platform, units = read_platform(root.platform.data, row, arch)
    return replace(root, arch=arch, platform=platform, iommu_units=units or root.iommu_units)


def _row(config: Cell | RootCell, family: str | None, revision: int | None) -> Layout:
    family = family or config.layout
    if family == ANY:
        family = layouts.UPSTREAM
    revision = config.revision if revision is None else revision
    for row in LAYOUTS:
        if row.family == family and row.revision == revision:
            return row
    raise CellFormatError(
        offset=6,
        field="layout",
        found=f"{family} revision {revision}",
        expected="one of " + ", ".join(row.name for row in LAYOUTS),
        where=f"cell {config.name!r}",
    )


class _Writer:
    """Appends fields in order; knows where it is, so that an error can say it."""

    def __init__(self, row: Layout, where: str) -> None:
        self.row = row
        self.where = where
        self.out = bytearray()

    def fault(self, field: str, found: str, expected: str) -> CellFormatError:
        return CellFormatError(
            offset=len(self.out), field=field, found=found, expected=expected, where=self.where
        )

    def pack(self, form: Struct, field: str, names: str, values: Sequence[int | bytes]) -> None:
        """Append `values`; `names` are those of the values, separated by blanks."""
        try:
            self.out += form.pack(*values)
        except (struct.error, TypeError):
            raise self._culprit(form, field, names.split(), values) from None

    def _culprit(
        self, form: Struct, field: str, names: list[str], values: Sequence[object]
    ) -> CellFormatError:
        """Which of the values does not fit: found by packing each alone."""
        letters = _letters(form.format)
        for letter, name, value in zip(letters, names, values, strict=False):
            single = Struct("<" + letter)
            try:
                self.out += single.pack(value)  # so that the offset is the field's
            except (struct.error, TypeError):
                top = "bytes" if letter.endswith("s") else f"0 to {(1 << 8 * single.size) - 1:#x}"
                return self.fault(f"{field}{name}", _shown(value), top)
        return self.fault(field.rstrip("."), f"{len(values)} values", f"{len(letters)} values")

    def absent(self, field: str, value: int) -> None:
        """Refuse a value that this layout has no field for."""
        if value:
            raise self.fault(field, _shown(value), f"0: {self.row.name} has no such field")

    def signature(self, signature: bytes, arch: str | None) -> None:
        self.out += signature
        if self.row.arch_byte:
            if arch not in ARCHITECTURES:
                raise self.fault("architecture", _shown(arch), "x86, arm or arm64")
            self.out.append(ARCHITECTURES.index(arch))
        self.out += self.row.revision.to_bytes(2, "little")

    def cell(self, cell: Cell, arch: str | None) -> bytes:
        self.signature(self.row.cell_signature, arch)
        self.body(cell)
        return bytes(self.out + cell.trailing)

    def root(self, root: RootCell, arch: str | None) -> bytes:
        row = self.row
        if isinstance(root.platform, UnknownPlatform) and arch is not None:
            root = with_arch(root, arch)
        self.signature(row.root_signature, arch)
        self.pack(Struct("<I"), "", "flags", [root.flags])
        self.memory("hypervisor_memory.", root.hypervisor_memory)
        self.console("debug_console.", root.debug_console)
        self.pack(Struct("<Q"), "", "pci_mmconfig_base", [root.pci_mmconfig_base])
        if row.machine_mmconfig:
            name = "pci_machine_mmconfig_base"
            self.pack(Struct("<Q"), "", name, [root.pci_machine_mmconfig_base])
        else:
            self.absent("pci_machine_mmconfig_base", root.pci_machine_mmconfig_base)
        self.pack(
            Struct("<2BH"),
            "",
            "pci_mmconfig_end_bus pci_is_virtual pci_domain",
            [root.pci_mmconfig_end_bus, root.pci_is_virtual, root.pci_domain],
        )
        if row.units_in_platform:
            self.platform(root.platform)
            if not isinstance(root.platform, UnknownPlatform):
                self.units(root.iommu_units)
            elif any(unit != IommuUnit() for unit in root.iommu_units):
                # At this revision the units' place depends on the architecture.
                raise self.fault("architecture", "None", "x86, arm or arm64")
        else:
            self.units(root.iommu_units)
            self.platform(root.platform)
        self.fill_union(root.platform)
        self.out += _NO_SIGNATURE
        self.body(root.cell)
        return bytes(self.out + root.trailing)

    def units(self, units: Sequence[IommuUnit]) -> None:
        if len(units) > layouts.IOMMU_UNITS:
            raise self.fault("iommu_units", f"{len(units)} units", f"at most {layouts.IOMMU_UNITS}")
        for index, unit in enumerate(units):
            field = f"iommu_units[{index}]."
            if len(unit.data) != 12:
                raise self.fault(f"{field}data", f"{len(unit.data)} bytes", "12 bytes")
            values: list[int | bytes] = [unit.type, unit.base, unit.size, unit.data]
            self.pack(layouts.IOMMU, field, "type base size data", values)
        self.out += bytes((layouts.IOMMU_UNITS - len(units)) * layouts.IOMMU.size)

    def platform(self, platform: ArmPlatform | X86Platform | UnknownPlatform) -> None:
        """The architecture's own part of the union."""
        old = self.row.units_in_platform
        match platform:
            case UnknownPlatform(data):
                if data and len(data) != self.row.union_size:
                    raise self.fault(
                        "platform",
                        f"{len(data)} bytes of another revision",
                        "a known architecture (x86, arm or arm64)",
                    )
                self.out += data
            case ArmPlatform():
                values = [platform.gicd_base, platform.gicc_base, platform.gich_base]
                values += [platform.gicv_base, platform.gicr_base]
                names = "gicd_base gicc_base gich_base gicv_base gicr_base"
                head = [platform.maintenance_irq, platform.gic_version]
                if old:
                    self.absent("platform.reserved", platform.reserved)
                else:
                    head.append(platform.reserved)
                    names = f"reserved {names}"
                names = f"maintenance_irq gic_version {names}"
                self.pack(self.row.arm, "platform.", names, [*head, *values])
            case X86Platform():
                gap = 3 if old else 1
                size = self.row.union_size - self.row.x86.size + gap
                size -= layouts.IOMMU_UNITS * layouts.IOMMU.size if old else 0
                if platform.reserved and len(platform.reserved) != size:
                    raise self.fault(
                        "platform.reserved",
                        f"{len(platform.reserved)} bytes",
                        f"none, or {size} bytes ({self.row.name})",
                    )
                pad = platform.reserved[:gap] or bytes(gap)
                vtd, mode = platform.vtd_interrupt_limit, platform.apic_mode
                middle: list[int | bytes] = [vtd, mode, pad] if old else [mode, pad, vtd]
                names = (
                    "vtd_interrupt_limit apic_mode reserved"
                    if old
                    else "apic_mode reserved vtd_interrupt_limit"
                )
                self.pack(
                    self.row.x86,
                    "platform.",
                    f"pm_timer_address {names} tsc_khz apic_khz",
                    [platform.pm_timer_address, *middle, platform.tsc_khz, platform.apic_khz],
                )

    def fill_union(self, platform: ArmPlatform | X86Platform | UnknownPlatform) -> None:
        """What of the union neither architecture nor IOMMU units use."""
        if isinstance(platform, X86Platform):
            self.out += platform.reserved[3 if self.row.units_in_platform else 1 :]
        self.out += bytes(self.row.root_cell_offset - len(self.out))

    def memory(self, field: str, region: MemoryRegion) -> None:
        values = [region.phys_start, region.virt_start, region.size, region.flags]
        self.pack(layouts.MEMORY, field, "phys_start virt_start size flags", values)

    def console(self, field: str, console: Console) -> None:
        self.pack(
            layouts.CONSOLE,
            field,
            "address size type flags divider gate_nr clock_reg",
            [
                console.address,
                console.size,
                console.type,
                console.flags,
                console.divider,
                console.gate_nr,
                console.clock_reg,
            ],
        )

    def name(self, body: CellBody) -> bytes:
        try:
            text = body.name.encode("latin-1")
        except UnicodeEncodeError:
            raise self.fault("name", repr(body.name), "one byte a character") from None
        if b"\0" in text:
            raise self.fault("name", repr(body.name), "no NUL in it")
        whole = text + b"\0" + body.name_rest if body.name_rest else text
        if len(whole) > 32:
            raise self.fault("name", f"{len(whole)} bytes", "at most 32")
        return whole.ljust(32, b"\0")

    def body(self, body: CellBody) -> None:
        if len(body.cpu_set) > layouts.MAX_CPU_SET_SIZE:
            raise self.fault(
                "cpu_set", f"{len(body.cpu_set)} bytes", f"at most {layouts.MAX_CPU_SET_SIZE}"
            )
        self.out += self.name(body)
        self.pack(
            Struct("<11I2Q"),
            "",
            "id flags cpu_set_size num_memory num_caches num_irqchips num_pio num_pci_devices "
            "num_pci_caps num_stream_ids vpci_irq_base cpu_reset_address msg_reply_timeout",
            [
                body.id,
                body.flags,
                len(body.cpu_set),
                len(body.memory),
                len(body.caches),
                len(body.irqchips),
                len(body.pio),
                len(body.pci_devices),
                len(body.pci_caps),
                len(body.stream_ids),
                body.vpci_irq_base,
                body.cpu_reset_address,
                body.msg_reply_timeout,
            ],
        )
        self.console("console.", body.console)
        self.out += body.cpu_set
        for i, region in enumerate(body.memory):
            self.memory(f"memory[{i}].", region)
        for i, cache in enumerate(body.caches):
            values = [cache.start, cache.size, cache.type, cache.reserved, cache.flags]
            self.pack(layouts.CACHE, f"caches[{i}].", "start size type reserved flags", values)
        for i, chip in enumerate(body.irqchips):
            names = "address id pin_base" + " pin_bitmap" * len(chip.pin_bitmap)
            values = [chip.address, chip.id, chip.pin_base, *chip.pin_bitmap]
            self.pack(layouts.IRQCHIP, f"irqchips[{i}].", names, values)
        for i, ports in enumerate(body.pio):
            self.pack(layouts.PIO, f"pio[{i}].", "base length", [ports.base, ports.length])
        for i, device in enumerate(body.pci_devices):
            self.pci_device(f"pci_devices[{i}].", device)
        for i, cap in enumerate(body.pci_caps):
            values = [cap.id, cap.start, cap.length, cap.flags]
            self.pack(layouts.PCI_CAP, f"pci_caps[{i}].", "id start length flags", values)
        for i, stream in enumerate(body.stream_ids):
            self.pack(layouts.STREAM_ID, "", f"stream_ids[{i}]", [stream])

    def pci_device(self, field: str, device: PciDevice) -> None:
        head = [device.type, device.iommu, device.domain, device.bdf]
        names = "type iommu domain bdf"
        if self.row.virt_bdf:
            head.append(device.virt_bdf)
            names += " virt_bdf"
        else:
            self.absent(f"{field}virt_bdf", device.virt_bdf)
        self.pack(
            self.row.pci_device,
            field,
            names
            + " bar_mask" * len(device.bar_mask)
            + " caps_start num_caps num_msi_vectors msi_flags num_msix_vectors msix_region_size"
            " msix_address shmem_regions_start shmem_dev_id shmem_peers shmem_protocol",
            [
                *head,
                *device.bar_mask,
                device.caps_start,
                device.num_caps,
                device.num_msi_vectors,
                device.msi_flags,
                device.num_msix_vectors,
                device.msix_region_size,
                device.msix_address,
                device.shmem_regions_start,
                device.shmem_dev_id,
                device.shmem_peers,
                device.shmem_protocol,
            ],
        )


def _letters(form: str) -> list[str]:
    """`<2BH12s` as [`B`, `B`, `H`, `12s`]: one format a value."""
    letters: list[str] = []
    count = ""
    for char in form.lstrip("<"):
        if char.isdigit():
            count += char
        elif char == "s":
            letters.append(f"{count}s")
            count = ""
        else:
            letters += [char] * int(count or 1)
            count = ""
    return letters


def _shown(value: object) -> str:
    return f"{value:#x}" if isinstance(value, int) else repr(value)
