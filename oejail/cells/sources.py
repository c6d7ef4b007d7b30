# SPDX-License-Identifier: MIT
"""The configurations of the supported boards as values, at revision 13.

The values are those of openEuler's (and, for the inmate demo, upstream's) configurations of the
same file stem. `shipped("qemu-arm64-openeuler-demo")` and `encode` give their exact bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from oejail.cells.errors import CellFormatError
from oejail.cells.model import (
    ArmPlatform,
    Cell,
    CellBody,
    Console,
    Irqchip,
    MemoryRegion,
    PciDevice,
    RootCell,
    cpu_bitmap,
    pin_bitmap,
)
from oejail.cells.names import (
    CELL_FLAGS,
    COMM_REGION,
    DMA,
    EXECUTE,
    IO,
    IVSHMEM,
    LOADABLE,
    MEMORY_FLAGS,
    READ,
    ROOTSHARED,
    SYSTEM_FLAGS,
    WRITE,
)

_REVISION = 13
_RW = READ | WRITE
_RAM = _RW | EXECUTE
_MMIO = _RW | IO
_SHARED = ROOTSHARED
_PASSIVE = CELL_FLAGS["PASSIVE_COMMREG"]
_VIRTUAL_CONSOLE = CELL_FLAGS["VIRTUAL_CONSOLE_PERMITTED"]
_DEBUG_CONSOLE = SYSTEM_FLAGS["VIRTUAL_DEBUG_CONSOLE"]
_ALL_PINS = (0xFFFFFFFF,) * 4
_UART_8250, _UART_PL011 = 2, 3
_MMIO_REGDIST_4 = 3
_RPMSG = 0x4001
"""openEuler's own shared-memory protocol number for virtio-rpmsg."""

_QEMU_GIC = 0x0800_0000
_PI_GIC = 0xFF84_1000

_ABSENT = MemoryRegion()
"""An output section of size 0."""


def _same(start: int, size: int, flags: int) -> MemoryRegion:
    """A region that the cell sees at its physical address."""
    return MemoryRegion(start, start, size, flags)


def _comm() -> MemoryRegion:
    return MemoryRegion(0, 0x8000_0000, 0x1000, _RW | COMM_REGION)


def _ivshmem(
    dev_id: int, first_region: int = 0, *, device: int = 0, peers: int = 2, protocol: int = 0
) -> PciDevice:
    return PciDevice(
        type=IVSHMEM,
        domain=1,
        bdf=device << 3,
        bar_mask=(0xFFFF_F000, 0, 0, 0, 0, 0),
        shmem_regions_start=first_region,
        shmem_dev_id=dev_id,
        shmem_peers=peers,
        shmem_protocol=protocol,
    )


def _pins(gic: int, *interrupts: int) -> Irqchip:
    return Irqchip(gic, 0, 32, pin_bitmap(interrupts, 32))


def _pl011(size: int = 0) -> Console:
    return Console(0x0900_0000, size, _UART_PL011, _MMIO_REGDIST_4)


def _openeuler_demo() -> RootCell:
    devices = (
        (0x0900_0000, 0x1000),  # UART
        (0x0901_0000, 0x1000),  # real-time clock
        (0x0902_0000, 0x1000),  # firmware configuration
        (0x0903_0000, 0x1000),  # GPIO
        (0x0904_0000, 0x1000),  # secure UART
        (0x0905_0000, 0x2_0000),  # SMMU
        (0x0A00_0000, 0x1_0000),  # virtio
        (0x1000_0000, 0x2EFF_0000),  # PCI memory
        (0x03EF_0000, 0x1_0000),  # PCI ports
        (0x40_1000_0000, 0x1000_0000),  # PCI configuration space
        (0x80_0000_0000, 0x1_0000_0000),  # PCI memory, 64 bit
    )
    return RootCell(
        revision=_REVISION,
        arch="arm64",
        flags=_DEBUG_CONSOLE,
        hypervisor_memory=MemoryRegion(0x8000_0000, 0, 0x100_0000, 0),
        debug_console=_pl011(0x1000),
        pci_mmconfig_base=0x08E0_0000,
        pci_is_virtual=1,
        pci_domain=1,
        platform=ArmPlatform(25, 3, _QEMU_GIC, 0x0810_0000, 0x0803_0000, 0x0804_0000, 0x080A_0000),
        cell=CellBody(
            name="qemu",
            cpu_set=cpu_bitmap(range(4)),
            memory=(
                _same(0x8100_0000, 0x1000, READ),
                _same(0x8100_1000, 0x1000, _RW),
                _same(0x8100_2000, 0x10_0000, _RW),
                _same(0x8110_2000, 0x10_0000, READ),
                _same(0x4000_0000, 0x8000_0000, _RAM),
                *(_same(start, size, _MMIO) for start, size in devices),
            ),
            irqchips=(Irqchip(_QEMU_GIC, 0, 32, _ALL_PINS),),
            pci_devices=(_ivshmem(0),),
            vpci_irq_base=100,
        ),
    )


def _freertos_demo() -> Cell:
    return Cell(
        revision=_REVISION,
        name="freertos",
        flags=_PASSIVE | _VIRTUAL_CONSOLE,
        cpu_set=cpu_bitmap([1]),
        memory=(
            MemoryRegion(0x8100_0000, 0x3100_0000, 0x1000, READ | _SHARED),
            MemoryRegion(0x8100_1000, 0x3100_1000, 0x1000, _RW | _SHARED),
            MemoryRegion(0x8100_2000, 0x3100_2000, 0x10_0000, READ | _SHARED),
            MemoryRegion(0x8110_2000, 0x3110_2000, 0x10_0000, _RW | _SHARED),
            MemoryRegion(0x8500_0000, 0, 0x400_0000, _RAM | DMA | LOADABLE),
            _same(0x0900_0000, 0x1000, _MMIO | _SHARED),
            _comm(),
        ),
        irqchips=(_pins(_QEMU_GIC, 133),),
        pci_devices=(_ivshmem(1),),
        vpci_irq_base=101,
        console=_pl011(),
    )


def _inmate_demo() -> Cell:
    return Cell(
        revision=_REVISION,
        name="inmate-demo",
        flags=_PASSIVE,
        cpu_set=cpu_bitmap([1]),
        memory=(
            _same(0x7FAF_0000, 0x1000, READ | _SHARED),
            _same(0x7FAF_1000, 0x9000, _RW | _SHARED),
            _same(0x7FAF_A000, 0x2000, READ | _SHARED),
            _same(0x7FAF_C000, 0x2000, _RW | _SHARED),
            _same(0x7FAF_E000, 0x2000, READ | _SHARED),
            _same(0x0900_0000, 0x1000, _MMIO | _SHARED),
            MemoryRegion(0x7FA0_0000, 0, 0x1_0000, _RAM | LOADABLE),
            _comm(),
        ),
        irqchips=(_pins(_QEMU_GIC, 144),),
        pci_devices=(_ivshmem(1, peers=3),),
        vpci_irq_base=112,
        console=_pl011(),
    )


def _mcs() -> RootCell:
    return RootCell(
        revision=_REVISION,
        arch="arm64",
        flags=_DEBUG_CONSOLE,
        hypervisor_memory=MemoryRegion(0x8000_0000, 0, 0x40_0000, 0),
        debug_console=_pl011(0x1000),
        pci_mmconfig_base=0x08E0_0000,
        pci_is_virtual=1,
        pci_domain=1,
        platform=ArmPlatform(25, 3, _QEMU_GIC, gicr_base=0x080A_0000),
        cell=CellBody(
            name="qemu-arm64",
            cpu_set=cpu_bitmap(range(4)),
            memory=(
                *_shared_pair(0x6FFF_C000, 0x1000, 0),
                *_shared_pair(0x6FFF_E000, 0x10_0000, 0),
                _same(0x0900_0000, 0x3700_0000, _MMIO),
                _same(0x4000_0000, 0x3FA1_0000, _RAM),
                _same(0x40_1000_0000, 0x1000_0000, _MMIO),
            ),
            irqchips=(Irqchip(_QEMU_GIC, 0, 32, _ALL_PINS),),
            pci_devices=(_ivshmem(0), _ivshmem(0, 4, device=7, protocol=_RPMSG)),
            vpci_irq_base=96,
        ),
    )


def _shared_pair(start: int, size: int, flags: int) -> tuple[MemoryRegion, ...]:
    """State table, read/write section of `size`, and two empty output sections."""
    return (
        _same(start, 0x1000, READ | flags),
        _same(start + 0x1000, size, _RW | flags),
        _ABSENT,
        _ABSENT,
    )


def _zephyr_mcs_demo() -> Cell:
    return Cell(
        revision=_REVISION,
        name="qemu-arm64-zephyr-demo",
        flags=_PASSIVE | _VIRTUAL_CONSOLE,
        cpu_set=cpu_bitmap([1]),
        memory=(
            *_shared_pair(0x6FFF_C000, 0x1000, _SHARED),
            *_shared_pair(0x6FFF_E000, 0x10_0000, _SHARED),
            _same(0x0900_0000, 0x1000, _MMIO | _SHARED),
            MemoryRegion(0x7F90_0000, 0, 0x1_0000, _RAM | LOADABLE),
            _same(0x7A00_0000, 0x500_0000, _RAM | DMA | LOADABLE),
            _comm(),
        ),
        irqchips=(_pins(_QEMU_GIC, 33, 140, 141, 143),),
        pci_devices=(_ivshmem(1), _ivshmem(1, 4, device=7, protocol=_RPMSG)),
        vpci_irq_base=108,
        cpu_reset_address=0x7A00_0000,
        console=_pl011(),
    )


def _rpi4() -> RootCell:
    return RootCell(
        revision=_REVISION,
        arch="arm64",
        flags=_DEBUG_CONSOLE,
        hypervisor_memory=MemoryRegion(0x1FC0_0000, 0, 0x40_0000, 0),
        debug_console=Console(0xFE21_5040, 0x40, _UART_8250, _MMIO_REGDIST_4),
        pci_mmconfig_base=0xFF90_0000,
        pci_is_virtual=1,
        pci_domain=1,
        platform=ArmPlatform(25, 2, _PI_GIC, 0xFF84_2000, 0xFF84_4000, 0xFF84_6000),
        cell=CellBody(
            name="Raspberry-Pi4",
            cpu_set=cpu_bitmap(range(4)),
            memory=(
                *_shared_pair(0x6FFF_E000, 0x10_0000, 0),
                _same(0xFD50_0000, 0x1B0_0000, _MMIO),
                _same(0x6_0000_0000, 0x400_0000, _MMIO),
                _same(0, 0x1FA1_0000, _RAM),
                _same(0x2000_0000, 0x4FFF_E000, _RAM),
                _same(0x700F_F000, 0xFF0_1000, _RAM),
                _same(0x8000_0000, 0x7C00_0000, _RAM),
                _same(0x1_0000_0000, 0x1_0000_0000, _RAM),
            ),
            irqchips=(
                Irqchip(_PI_GIC, 0, 32, _ALL_PINS),
                Irqchip(_PI_GIC, 0, 160, (0xFFFF_FFFF, 0xFFFF_FFFF, 0, 0)),
            ),
            pci_devices=(_ivshmem(0, protocol=_RPMSG),),
            vpci_irq_base=96,
        ),
    )


def _rpi4_zephyr() -> Cell:
    return Cell(
        revision=_REVISION,
        name="zephyr",
        flags=_PASSIVE,
        cpu_set=cpu_bitmap([1]),
        memory=(
            *_shared_pair(0x6FFF_E000, 0x10_0000, _SHARED),
            _same(
                0xFE21_5040,
                0x40,
                _MMIO | _SHARED | MEMORY_FLAGS["IO_8"] | MEMORY_FLAGS["IO_32"],
            ),
            _same(0x7A00_0000, 0x500_0000, _RAM | DMA | LOADABLE),
            _comm(),
        ),
        irqchips=(_pins(_PI_GIC, 140, 141, 142, 143),),
        pci_devices=(_ivshmem(1, protocol=_RPMSG),),
        vpci_irq_base=108,
        cpu_reset_address=0x7A00_0000,
        console=Console(0xFE21_5040, 0, _UART_8250, _MMIO_REGDIST_4),
    )


def _rpi4_linux() -> Cell:
    loadable = _RAM | DMA | LOADABLE
    permissive = _MMIO | _SHARED | MEMORY_FLAGS["IO_8"] | MEMORY_FLAGS["IO_32"]
    every = frozenset(range(32, 160))
    # The root keeps its UART (125) and shared memory (128), zephyr its own (140 to 143).
    first = pin_bitmap(every - {125, 128, 140, 141, 142, 143}, 32)
    return Cell(
        revision=_REVISION,
        name="rpi4-linux",
        flags=_PASSIVE | _VIRTUAL_CONSOLE,
        cpu_set=cpu_bitmap([2, 3]),
        memory=(
            _same(0xFD50_0000, 0x1B0_0000, permissive),
            _same(0x6_0000_0000, 0x400_0000, permissive),
            MemoryRegion(0x1000_0000, 0, 0x1_0000, _RAM | LOADABLE),
            _same(0x1001_0000, 0xFBF_0000, loadable),
            _same(0x4000_0000, 0x2FFF_E000, loadable),
            _same(0x8000_0000, 0x7600_0000, loadable),
            _same(0x1_0000_0000, 0x1_0000_0000, loadable),
            _comm(),
        ),
        irqchips=(
            Irqchip(_PI_GIC, 0, 32, first),
            # Ethernet (189, 190) stays the root's.
            Irqchip(_PI_GIC, 0, 160, (0x9FFF_FFFF, 0xFFFF_FFFF, 0, 0)),
        ),
        vpci_irq_base=99,
    )


_SHIPPED: dict[str, Callable[[], Cell | RootCell]] = {
    "qemu-arm64-openeuler-demo": _openeuler_demo,
    "qemu-arm64-freertos-demo": _freertos_demo,
    "qemu-arm64-inmate-demo": _inmate_demo,
    "qemu-arm64-mcs": _mcs,
    "qemu-arm64-zephyr-mcs-demo": _zephyr_mcs_demo,
    "rpi4": _rpi4,
    "rpi4-mcs": _rpi4,
    "rpi4-zephyr": _rpi4_zephyr,
    "rpi4-linux": _rpi4_linux,
}


def shipped_names() -> tuple[str, ...]:
    """The file stems of all configurations that come with oejail."""
    return tuple(_SHIPPED)


@cache
def shipped(name: str) -> Cell | RootCell:
    """The configuration with file stem `name`, at revision 13.

    Raises CellFormatError, listing the names, for one that is not shipped.
    """
    if name not in _SHIPPED:
        raise CellFormatError(
            offset=0,
            field="name",
            found=repr(name),
            expected=f"one of {', '.join(_SHIPPED)}",
            where="shipped cells",
        )
    return _SHIPPED[name]()
