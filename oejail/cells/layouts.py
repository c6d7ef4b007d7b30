# SPDX-License-Identifier: MIT
"""The table of binary layouts: which bytes a Jailhouse configuration has at which revision.

All integers are little endian and packed. Upstream's layouts are those of revisions 12 (v0.12),
13 (mid 2020 to 2022) and 14 (since January 2023). openEuler's fork keeps the six-byte signatures
at revisions 13 and 14, has one more field in the system configuration, and at its revision 14 one
more field in a PCI device. The fixed parts (descriptor, memory region, …) are the same in all.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

UPSTREAM = "upstream"
OPENEULER = "openeuler"
ANY = "any"
FAMILIES = (UPSTREAM, OPENEULER)

ARCHITECTURES = ("x86", "arm", "arm64")
"""Index = the architecture byte of upstream's revision 14."""

MAX_CONFIG_SIZE = 1 << 20
"""Bytes; the largest genuine configuration has some 30 KiB."""

MAX_CPU_SET_SIZE = 4096
"""Bytes; the hypervisor refuses a CPU set larger than one page."""

MEMORY = Struct("<4Q")
"""phys_start, virt_start, size, flags."""
CONSOLE = Struct("<QI2H2IQ")
"""address, size, type, flags, divider, gate_nr, clock_reg."""
CACHE = Struct("<2I2BH")
"""start, size, type, reserved, flags."""
IRQCHIP = Struct("<Q6I")
"""address, id, pin_base, pin_bitmap[4]."""
PIO = Struct("<2H")
"""base, length."""
PCI_DEVICE = Struct("<2B2H6I2H2B2HQI2BH")
"""type, iommu, domain, bdf, bar_mask[6], caps_start, num_caps, num_msi_vectors, msi_flags,
num_msix_vectors, msix_region_size, msix_address, shmem_regions_start, shmem_dev_id, shmem_peers,
shmem_protocol."""
PCI_DEVICE_VIRT_BDF = Struct("<2B2HI6I2H2B2HQI2BH")
"""The same with a u32 virt_bdf after bdf (the fork's revision 14)."""
PCI_CAP = Struct("<4H")
"""id, start, length, flags."""
STREAM_ID = Struct("<I")
IOMMU = Struct("<IQI12s")
"""type, base, size, data (its meaning depends on the type)."""
IOMMU_UNITS = 8

DESCRIPTOR = Struct("<8s32s11I2Q32s")
"""signature and revision, name, id, flags, cpu_set_size, seven counts, vpci_irq_base,
cpu_reset_address, msg_reply_timeout, console."""

ARM_12 = Struct("<2B5Q")
"""maintenance_irq, gic_version, gicd_base, gicc_base, gich_base, gicv_base, gicr_base."""
ARM_13 = Struct("<2BH5Q")
"""The same with 16 reserved bits after gic_version."""
X86_12 = Struct("<HIB3s2I")
"""pm_timer_address, vtd_interrupt_limit, apic_mode, reserved, tsc_khz, apic_khz."""
X86_13 = Struct("<HBs3I")
"""pm_timer_address, apic_mode, reserved, vtd_interrupt_limit, tsc_khz, apic_khz."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One row of the table."""

    family: str
    revision: int
    cell_signature: bytes
    root_signature: bytes
    arch_byte: bool = False
    """The sixth byte of the signature is the architecture."""
    machine_mmconfig: bool = False
    """A root has pci_machine_mmconfig_base after pci_mmconfig_base."""
    virt_bdf: bool = False
    """A PCI device has virt_bdf."""
    units_in_platform: bool = False
    """The IOMMU units stand in the platform union, after the architecture's part."""

    @property
    def name(self) -> str:
        """`upstream revision 13`."""
        return f"{self.family} revision {self.revision}"

    @property
    def pci_device(self) -> Struct:
        """The layout of a PCI device."""
        return PCI_DEVICE_VIRT_BDF if self.virt_bdf else PCI_DEVICE

    @property
    def header(self) -> Struct:
        """A root up to its platform part: signature, revision, flags, hypervisor_memory,
        debug_console, pci_mmconfig_base, [pci_machine_mmconfig_base], end_bus, is_virtual,
        domain."""
        return _HEADER_MACHINE if self.machine_mmconfig else _HEADER

    @property
    def arm(self) -> Struct:
        """The platform union read as arm or arm64."""
        return ARM_12 if self.units_in_platform else ARM_13

    @property
    def x86(self) -> Struct:
        """The platform union read as x86."""
        return X86_12 if self.units_in_platform else X86_13

    @property
    def union_offset(self) -> int:
        """Where a root's platform union begins, in bytes."""
        return self.header.size + (0 if self.units_in_platform else IOMMU_UNITS * IOMMU.size)

    @property
    def union_size(self) -> int:
        """Bytes of the platform union (rev 12: with the IOMMU units of the larger, arm's, part)."""
        return self.arm.size + (IOMMU_UNITS * IOMMU.size if self.units_in_platform else 0)

    @property
    def root_cell_offset(self) -> int:
        """Where a root's own descriptor begins: 354, 356 or 364."""
        return self.union_offset + self.union_size


_HEADER = Struct("<6sHI32s32sQ2BH")
_HEADER_MACHINE = Struct("<6sHI32s32s2Q2BH")

LAYOUTS = (
    Layout(UPSTREAM, 12, b"JHCELL", b"JHSYST", units_in_platform=True),
    Layout(UPSTREAM, 13, b"JHCELL", b"JHSYST"),
    Layout(UPSTREAM, 14, b"JHCLL", b"JHSYS", arch_byte=True),
    Layout(OPENEULER, 13, b"JHCELL", b"JHSYST", machine_mmconfig=True),
    Layout(OPENEULER, 14, b"JHCELL", b"JHSYST", machine_mmconfig=True, virt_bdf=True),
)
REVISIONS = tuple(sorted({row.revision for row in LAYOUTS}))
