# SPDX-License-Identifier: MIT
"""Sets that are sound by construction, for property tests."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from oejail.cells import (
    ArmPlatform,
    Cell,
    CellBody,
    Irqchip,
    MemoryRegion,
    PciDevice,
    RootCell,
    cpu_bitmap,
    pin_bitmap,
)
from oejail.cells import names as n
from oejail.checks import InmateInput, Machine, SetInput, check_set, linux_ram
from oejail.checks.ranges import Range
from tests.support.check_sets import cell_file

MIB = 1 << 20
BASE = 0x4000_0000
GIC = 0x0800_0000
RAM = n.READ | n.WRITE | n.EXECUTE | n.LOADABLE


@dataclass(frozen=True)
class Plan:
    """A machine, a root, and inmates that share memory with it."""

    root: RootCell
    cells: tuple[Cell, ...]
    machine: Machine

    def check(self) -> set[str]:
        """The errors' rules."""
        given = SetInput(
            root=cell_file("root.cell", self.root),
            inmates=tuple(
                InmateInput(cell_file(f"{i}.cell", cell)) for i, cell in enumerate(self.cells)
            ),
            machine=self.machine,
        )
        return {f.rule for f in check_set(given) if f.severity == "error"}


def link(shared: int, peer: int | None, flags: int) -> tuple[MemoryRegion, ...]:
    """State table and two output sections at `shared`, as side 0 or 1 sees them."""
    sections = [(0, 0x1000, n.READ), (0x1000, 0x1000, n.READ | n.WRITE)]
    sections += [
        (0x2000 + 0x1000 * i, 0x1000, n.READ | (n.WRITE if i == peer else 0)) for i in (0, 1)
    ]
    return tuple(MemoryRegion(shared + at, shared + at, s, f | flags) for at, s, f in sections)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Linux lowest, then the hypervisor, then shared memory, then each cell's RAM."""
    count = draw(st.integers(1, 3))
    linux = draw(st.integers(64, 512)) * MIB
    hypervisor = draw(st.integers(4, 16)) * MIB
    place = BASE + linux
    hypervisor_memory = MemoryRegion(place, 0, hypervisor)
    place += hypervisor + draw(st.integers(0, 4)) * MIB
    root_memory: list[MemoryRegion] = []
    root_devices: list[PciDevice] = []
    cells: list[Cell] = []
    for number in range(count):
        shared, place = place, place + MIB
        size = draw(st.integers(1, 64)) * MIB
        ram = MemoryRegion(place, draw(st.sampled_from([0, 0x1000_0000])), size, RAM)
        place += size + draw(st.integers(0, 8)) * MIB
        device = PciDevice(type=n.IVSHMEM, domain=1, bdf=number << 3, shmem_peers=2, shmem_dev_id=1)
        root_devices.append(replace(device, shmem_dev_id=0, shmem_regions_start=len(root_memory)))
        root_memory += link(shared, 0, 0)
        cells.append(
            Cell(
                revision=13,
                name=f"cell-{number}",
                flags=1,
                cpu_set=cpu_bitmap([number + 1]),
                memory=(*link(shared, 1, n.ROOTSHARED), ram),
                irqchips=(Irqchip(GIC, 0, 32, pin_bitmap([40 + number], 32)),),
                pci_devices=(device,),
                cpu_reset_address=ram.virt_start,
            )
        )
    end = place + draw(st.integers(1, 64)) * MIB
    root = RootCell(
        revision=13,
        arch="arm64",
        hypervisor_memory=hypervisor_memory,
        platform=ArmPlatform(25, 3, GIC, gicr_base=0x080A_0000),
        cell=CellBody(
            name="root",
            cpu_set=cpu_bitmap(range(count + 1)),
            memory=(*root_memory, MemoryRegion(BASE, BASE, end - BASE, RAM)),
            irqchips=(Irqchip(GIC, 0, 32, (0xFFFFFFFF,) * 4),),
            pci_devices=tuple(root_devices),
        ),
    )
    banks = (Range(BASE, end),)
    machine = Machine(
        ram=banks, linux=linux_ram(banks, linux), cpus=count + 1, gic_version=3, gic={"gicd": GIC}
    )
    return Plan(root, tuple(cells), machine)
