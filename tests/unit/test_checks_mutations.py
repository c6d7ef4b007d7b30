# SPDX-License-Identifier: MIT
"""Sets that are sound by construction pass; each single change of a listed kind is found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given
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


def with_ram(plan: Plan, index: int, **changes: int) -> Plan:
    cell = plan.cells[index]
    memory = (*cell.memory[:4], replace(cell.memory[4], **changes))
    return with_cell(plan, index, replace(cell, memory=memory))


def with_cell(plan: Plan, index: int, cell: Cell) -> Plan:
    cells = list(plan.cells)
    cells[index] = cell
    return replace(plan, cells=tuple(cells))


@given(plans())
def test_sound_by_construction_passes(plan: Plan) -> None:
    assert plan.check() == set()


@given(plans(), st.data())
def test_ram_moved_over_the_hypervisor(plan: Plan, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(plan.cells) - 1))
    memory = plan.root.hypervisor_memory
    pages = data.draw(st.integers(0, memory.size // 4096 - 1))
    moved = with_ram(plan, index, phys_start=memory.phys_start + 4096 * pages)
    assert "memory-hypervisor" in moved.check()


@given(plans(), st.data())
def test_ram_moved_into_linux(plan: Plan, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(plan.cells) - 1))
    assert plan.machine.linux is not None
    linux = plan.machine.linux[0]
    pages = data.draw(st.integers(0, (linux.end - linux.start) // 4096 - 1))
    moved = with_ram(plan, index, phys_start=linux.start + 4096 * pages)
    assert "memory-linux" in moved.check()


@given(plans(), st.data())
def test_ram_moved_over_another_cells(plan: Plan, data: st.DataObject) -> None:
    if len(plan.cells) < 2:
        plan = replace(plan, cells=(*plan.cells, replace(plan.cells[0], name="twin")))
    ours, theirs = data.draw(st.permutations(range(len(plan.cells))))[:2]
    target = plan.cells[theirs].memory[4]
    pages = data.draw(st.integers(0, target.size // 4096 - 1))
    moved = with_ram(plan, ours, phys_start=target.phys_start + 4096 * pages)
    assert "memory-taken" in moved.check()


@given(plans(), st.data())
def test_ram_moved_over_the_links_sections(plan: Plan, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(plan.cells) - 1))
    section = plan.cells[index].memory[data.draw(st.integers(0, 3))]
    moved = with_ram(plan, index, phys_start=section.phys_start)
    assert {"memory-shared", "memory-overlap"} <= moved.check()


@given(plans(), st.data())
def test_ram_moved_out_of_the_machine(plan: Plan, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(plan.cells) - 1))
    end = plan.machine.ram[0].end
    moved = with_ram(plan, index, phys_start=end + MIB * data.draw(st.integers(0, 9999)))
    assert {"memory-not-root", "memory-beyond-ram"} <= moved.check()
    partly = with_ram(plan, index, phys_start=end - 4096)
    assert "memory-beyond-ram" in partly.check()


@given(plans(), st.data())
def test_ram_not_on_a_page(plan: Plan, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(["phys_start", "virt_start", "size"]))
    ram = plan.cells[0].memory[4]
    off = data.draw(st.integers(1, 4095))
    moved = with_ram(
        plan, 0, **{field: getattr(ram, field) + off - (4096 if field == "size" else 0)}
    )
    assert "memory-alignment" in moved.check()


@given(plans(), st.data())
def test_a_cpu_too_many(plan: Plan, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(plan.cells) - 1))
    cell = plan.cells[index]
    foreign = data.draw(st.integers(len(plan.cells) + 1, 63))
    one = with_cell(plan, index, replace(cell, cpu_set=cpu_bitmap([*cell.cpus, foreign])))
    assert "cpu-not-root" in one.check()
    last = with_cell(plan, index, replace(cell, cpu_set=cpu_bitmap([*cell.cpus, 0])))
    assert "cpu-root-empty" in last.check()
    none = with_cell(plan, index, replace(cell, cpu_set=bytes(8)))
    assert "cpu-none" in none.check()


@given(plans(), st.data())
def test_a_cell_given_twice(plan: Plan, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(plan.cells) - 1))
    twice = replace(plan, cells=(*plan.cells, plan.cells[index]))
    found = {"name-taken", "cpu-taken", "memory-taken", "interrupt-taken", "ivshmem-id"}
    assert found <= twice.check()


@given(plans(), st.data())
def test_a_link_with_a_wrong_side(plan: Plan, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(plan.cells) - 1))
    cell = plan.cells[index]
    [device] = cell.pci_devices

    def changed(**changes: Any) -> set[str]:
        return with_cell(
            plan, index, replace(cell, pci_devices=(replace(device, **changes),))
        ).check()

    assert "ivshmem-id" in changed(shmem_dev_id=0)
    assert "ivshmem-id" in changed(shmem_dev_id=data.draw(st.integers(2, 11)))
    assert "ivshmem-limit" in changed(shmem_dev_id=data.draw(st.integers(12, 255)))
    assert "ivshmem-regions" in changed(shmem_regions_start=data.draw(st.integers(2, 1 << 31)))
    memory = (*cell.memory[:2], replace(cell.memory[2], flags=n.READ | n.WRITE), *cell.memory[3:])
    assert "ivshmem-output" in with_cell(plan, index, replace(cell, memory=memory)).check()


@given(plans(), st.data())
def test_another_board_revision_or_machine(plan: Plan, data: st.DataObject) -> None:
    cell = plan.cells[0]
    chip = replace(cell.irqchips[0], address=data.draw(st.integers(1, 1 << 40)) << 12)
    if chip.address != GIC:
        assert "interrupt-chip" in with_cell(plan, 0, replace(cell, irqchips=(chip,))).check()
    other = with_cell(plan, 0, replace(cell, revision=12, layout="upstream"))
    assert "layout-mismatch" in other.check()
    machine = plan.machine
    cpus = len(plan.cells) + 1
    more = replace(machine, cpus=data.draw(st.integers(cpus + 1, 64)))
    assert replace(plan, machine=more).check() == {"smp-many"}
    fewer = replace(machine, cpus=data.draw(st.integers(1, cpus - 1)))
    assert replace(plan, machine=fewer).check() == {"smp-few"}
    assert replace(plan, machine=replace(machine, gic_version=2)).check() == {"gic-version"}


@given(plans(), st.data())
def test_a_reset_address_outside(plan: Plan, data: st.DataObject) -> None:
    cell = plan.cells[0]
    ram = cell.memory[4]
    address = data.draw(st.integers(ram.virt_end, (1 << 64) - 1))
    assert "reset-address" in with_cell(plan, 0, replace(cell, cpu_reset_address=address)).check()
    flags = data.draw(st.sampled_from([n.READ | n.WRITE | n.LOADABLE, n.READ | n.LOADABLE]))
    assert "reset-address" in with_ram(plan, 0, flags=flags).check()
    assert "memory-loadable" in with_ram(plan, 0, flags=ram.flags & ~n.LOADABLE).check()
