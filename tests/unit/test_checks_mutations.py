# SPDX-License-Identifier: MIT
"""Sets that are sound by construction pass; each single change of a listed kind is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from oejail.cells import (
    Cell,
    cpu_bitmap,
)
from oejail.cells import names as n
from tests.support.sound_plans import GIC, MIB, Plan, plans


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
