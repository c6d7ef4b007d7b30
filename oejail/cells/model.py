# SPDX-License-Identifier: MIT
"""A Jailhouse configuration as values: what the bytes say, nothing interpreted, nothing lost.

Addresses and sizes are in bytes. Field names are those of the format (see `layouts`). Reserved
bytes and bytes that nothing describes are kept, so that a configuration can be written back
exactly as it was read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MemoryRegion:
    """Physical memory that a cell sees at `virt_start`; `flags` as in `names.MEMORY_FLAGS`."""

    phys_start: int = 0
    virt_start: int = 0
    size: int = 0
    flags: int = 0

    @property
    def phys_end(self) -> int:
        """The first physical address after the region."""
        return self.phys_start + self.size

    @property
    def virt_end(self) -> int:
        """The first address after the region, as the cell sees it."""
        return self.virt_start + self.size


@dataclass(frozen=True, slots=True)
class Console:
    """A UART: `type` as in `names.CONSOLE_TYPES`, `flags` as in `names.CONSOLE_FLAGS`."""

    address: int = 0
    size: int = 0
    type: int = 0
    flags: int = 0
    divider: int = 0
    gate_nr: int = 0
    clock_reg: int = 0


@dataclass(frozen=True, slots=True)
class CacheRegion:
    """Part of the L3 cache (x86)."""

    start: int = 0
    size: int = 0
    type: int = 0
    flags: int = 0
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class Irqchip:
    """Interrupts of one chip: bit n of the four 32-bit words is pin `pin_base` + n."""

    address: int = 0
    id: int = 0
    pin_base: int = 0
    pin_bitmap: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def interrupts(self) -> tuple[int, ...]:
        """The interrupt numbers, ascending (on arm: 32 = the first shared peripheral one)."""
        return tuple(
            self.pin_base + 32 * word + bit
            for word, bits in enumerate(self.pin_bitmap)
            for bit in range(32)
            if bits >> bit & 1
        )


@dataclass(frozen=True, slots=True)
class PioRegion:
    """I/O ports (x86)."""

    base: int = 0
    length: int = 0


@dataclass(frozen=True, slots=True)
class PciDevice:
    """A PCI function, physical or (type 3) shared memory; `bdf` is bus << 8 | device << 3 | fn."""

    type: int = 0
    iommu: int = 0
    domain: int = 0
    bdf: int = 0
    bar_mask: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)
    caps_start: int = 0
    num_caps: int = 0
    num_msi_vectors: int = 0
    msi_flags: int = 0
    num_msix_vectors: int = 0
    msix_region_size: int = 0
    msix_address: int = 0
    shmem_regions_start: int = 0
    shmem_dev_id: int = 0
    shmem_peers: int = 0
    shmem_protocol: int = 0
    virt_bdf: int = 0
    """openEuler's fork, revision 14, alone."""

    @property
    def address(self) -> str:
        """`0001:00:00.0`: domain, bus, device, function."""
        return f"{self.domain:04x}:{self.bdf >> 8:02x}:{self.bdf >> 3 & 0x1F:02x}.{self.bdf & 7:x}"


@dataclass(frozen=True, slots=True)
class PciCap:
    """A PCI capability that a device may use."""

    id: int = 0
    start: int = 0
    length: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True)
class IommuUnit:
    """One of eight IOMMU slots; `data` is 12 bytes whose meaning depends on `type`."""

    type: int = 0
    base: int = 0
    size: int = 0
    data: bytes = bytes(12)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellBody:
    """What a root's own cell and any other cell have in common."""

    name: str = ""
    """Up to the first NUL, bytes as Latin-1; 32 characters: not terminated."""
    name_rest: bytes = b""
    """What follows the name's NUL, without final zeros: empty in any sane file."""
    id: int = 0
    flags: int = 0
    cpu_set: bytes = b""
    """Bit n of byte m is CPU 8 m + n."""
    memory: tuple[MemoryRegion, ...] = ()
    caches: tuple[CacheRegion, ...] = ()
    irqchips: tuple[Irqchip, ...] = ()
    pio: tuple[PioRegion, ...] = ()
    pci_devices: tuple[PciDevice, ...] = ()
    pci_caps: tuple[PciCap, ...] = ()
    stream_ids: tuple[int, ...] = ()
    vpci_irq_base: int = 0
    cpu_reset_address: int = 0
    msg_reply_timeout: int = 0
    console: Console = field(default_factory=Console)

    @property
    def cpus(self) -> tuple[int, ...]:
        """The cell's CPU numbers, ascending."""
        return tuple(
            8 * index + bit
            for index, byte in enumerate(self.cpu_set)
            if byte
            for bit in range(8)
            if byte >> bit & 1
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell(CellBody):
    """A non-root cell.

    `layout` is `upstream`, `openeuler`, or `any` where both read the same. `arch` is known from
    the file from upstream's revision 14 on, else None. `trailing` follows the described bytes.
    """

    revision: int
    layout: str = "any"
    arch: str | None = None
    trailing: bytes = b""


@dataclass(frozen=True, slots=True)
class ArmPlatform:
    """Interrupt controller of an arm or arm64 machine; an address that it lacks is 0."""

    maintenance_irq: int = 0
    gic_version: int = 0
    gicd_base: int = 0
    gicc_base: int = 0
    gich_base: int = 0
    gicv_base: int = 0
    gicr_base: int = 0
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class X86Platform:
    """Timers and interrupt remapping of an x86 machine; `reserved` is empty when all zero."""

    pm_timer_address: int = 0
    apic_mode: int = 0
    vtd_interrupt_limit: int = 0
    tsc_khz: int = 0
    apic_khz: int = 0
    reserved: bytes = b""


@dataclass(frozen=True, slots=True)
class UnknownPlatform:
    """The platform union of a root whose architecture neither file nor caller names."""

    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootCell:
    """A system configuration: the machine, the hypervisor's memory, and the root's own cell.

    `layout`, `arch` and `trailing` as in Cell; before upstream's revision 14 `arch` is what the
    reader was told or could tell from the GIC's address.
    """

    revision: int
    layout: str = "upstream"
    arch: str | None = None
    flags: int = 0
    hypervisor_memory: MemoryRegion = field(default_factory=MemoryRegion)
    debug_console: Console = field(default_factory=Console)
    pci_mmconfig_base: int = 0
    pci_machine_mmconfig_base: int = 0
    """openEuler's fork alone."""
    pci_mmconfig_end_bus: int = 0
    pci_is_virtual: int = 0
    pci_domain: int = 0
    iommu_units: tuple[IommuUnit, ...] = ()
    """Eight when read; unused slots may be left out when written."""
    platform: ArmPlatform | X86Platform | UnknownPlatform = field(default_factory=UnknownPlatform)
    cell: CellBody = field(default_factory=CellBody)
    trailing: bytes = b""

    @property
    def name(self) -> str:
        """The name of the root's own cell."""
        return self.cell.name


def cpu_bitmap(cpus: Iterable[int], size: int = 8) -> bytes:
    """The CPU set of `size` bytes (more where a number needs it) with these CPU numbers."""
    bits = 0
    for cpu in cpus:
        bits |= 1 << cpu
    return bits.to_bytes(max(size, (bits.bit_length() + 7) // 8), "little")


def pin_bitmap(interrupts: Iterable[int], pin_base: int) -> tuple[int, int, int, int]:
    """The four words of an Irqchip with these interrupt numbers, `pin_base` to `pin_base` + 127.

    Raises ValueError for a number outside.
    """
    words = [0, 0, 0, 0]
    for number in interrupts:
        pin = number - pin_base
        if not 0 <= pin < 128:
            raise ValueError(f"interrupt {number} is not in {pin_base} to {pin_base + 127}")
        words[pin // 32] |= 1 << pin % 32
    return (words[0], words[1], words[2], words[3])
