# SPDX-License-Identifier: MIT
from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oejail.cells import (
    ArmPlatform,
    Cell,
    CellBody,
    MemoryRegion,
    PciCap,
    PciDevice,
    RootCell,
    UnknownPlatform,
    X86Platform,
    cpu_bitmap,
    decode,
    encode,
    shipped,
)
from oejail.cells import diff as cells_diff
from oejail.cells.diff import diff
from tests.support.cell_values import LAYOUTS, cells, roots
from tests.support.check_sets import cell_value, region, root_value

CELL = cell_value()
ROOT = root_value()


def lines(old: Cell | RootCell, new: Cell | RootCell) -> list[str]:
    return [change.line() for change in diff(old, new)]


def changed(**values: Any) -> Cell:
    return replace(CELL, **values)


ARM: dict[str, Any] = asdict(ROOT.platform)
MORE = MemoryRegion(0x9000_0000, 0x9000_0000, 4096, 3)
SHIFTED = (replace(CELL.pci_devices[0], shmem_regions_start=1),)
"""The same link after a region was put before it."""


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (region(CELL, 4, size=96 << 20), ["memory[4]: size 64 MiB → 96 MiB"]),
        (changed(cpu_set=cpu_bitmap([2])), ["CPU 1 → 2"]),
        (changed(cpu_set=cpu_bitmap([1, 2, 3, 7])), ["CPUs 1 → 1-3, 7"]),
        (changed(name="other"), ["name: 'freertos' → 'other'"]),
        (changed(flags=0x101), ["flags: -VIRTUAL_CONSOLE_PERMITTED +VIRT_CPUID"]),
        (
            region(CELL, 4, flags=7 | 16, phys_start=0x8600_0000),
            ["memory[4]: physical 0x85000000 → 0x86000000; flags -DMA -LOADABLE +IO"],
        ),
        (
            changed(memory=(MORE, *CELL.memory), pci_devices=SHIFTED),
            ["memory[0]: added (0x90000000-0x90001000, 4 KiB, READ WRITE)"],
        ),
        (
            changed(memory=CELL.memory[:-2]),
            [
                "memory[5]: removed (0x9000000-0x9001000, 4 KiB, READ WRITE IO ROOTSHARED)",
                "memory[6]: removed (0x0-0x1000 at 0x80000000, 4 KiB, READ WRITE COMM_REGION)",
            ],
        ),
        (
            changed(irqchips=(replace(CELL.irqchips[0], pin_bitmap=(6, 0, 0, 0)),)),
            ["interrupts: removed 133, added 33-34"],
        ),
        (
            changed(irqchips=(replace(CELL.irqchips[0], address=0xFF84_1000),)),
            ["interrupt controller: 0x8000000 → 0xff841000"],
        ),
        (changed(irqchips=()), ["interrupts: removed 133"]),
        (
            changed(pci_devices=(replace(CELL.pci_devices[0], bdf=0x38, shmem_dev_id=2),)),
            ["pci_devices[0]: address 0001:00:00.0 → 0001:00:07.0; shmem_dev_id 1 → 2"],
        ),
        (changed(pci_devices=()), ["pci_devices[0]: removed (ivshmem 0001:00:00.0)"]),
        (
            changed(pci_devices=(replace(CELL.pci_devices[0], shmem_regions_start=2),)),
            ["pci_devices[0]: shmem_regions_start 0 → 2"],
        ),
        (changed(cpu_reset_address=64), ["cpu_reset_address: 0x0 → 0x40"]),
        (changed(stream_ids=(3,)), ["stream ids: added 3"]),
        (
            changed(console=replace(CELL.console, type=2, flags=0)),
            ["console: type 0x3 → 0x2; flags 0x3 → 0x0"],
        ),
        (changed(trailing=b"1234"), ["trailing bytes 0 → 4"]),
        (CELL, []),
    ],
)
def test_changes_of_a_cell(new: Cell, expected: list[str]) -> None:
    assert lines(CELL, new) == expected


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (
            replace(ROOT, hypervisor_memory=replace(ROOT.hypervisor_memory, size=4 << 20)),
            ["hypervisor: size 16 MiB → 4 MiB"],
        ),
        (
            replace(ROOT, platform=ArmPlatform(**ARM | {"gic_version": 2})),
            ["platform: gic_version 3 → 2"],
        ),
        (replace(ROOT, platform=X86Platform()), ["platform: arm → x86"]),
        (replace(ROOT, arch="arm"), ["architecture arm64 → arm"]),
        (replace(ROOT, flags=0), ["system flags: -VIRTUAL_DEBUG_CONSOLE"]),
        (replace(ROOT, pci_mmconfig_base=4096), ["pci_mmconfig_base: 0x8e00000 → 0x1000"]),
        (replace(ROOT, pci_domain=2), ["pci_domain: 1 → 2"]),
        (replace(ROOT, cell=replace(ROOT.cell, vpci_irq_base=3)), ["vpci_irq_base: 100 → 3"]),
        (replace(ROOT, layout="openeuler"), ["layout upstream → openeuler"]),
    ],
)
def test_changes_of_a_root(new: RootCell, expected: list[str]) -> None:
    assert lines(ROOT, new) == expected


def test_of_another_kind() -> None:
    body = {name: getattr(CELL, name) for name in CellBody.__dataclass_fields__}
    as_root = RootCell(revision=13, cell=CellBody(**body))
    assert lines(CELL, as_root) == ["kind cell → root"]


def test_unknown_platforms() -> None:
    one = RootCell(revision=13, platform=UnknownPlatform(bytes(44)))
    two = replace(one, platform=UnknownPlatform(b"\1" * 44))
    assert lines(one, one) == []
    assert lines(one, two) == ["platform: differs (choose an architecture with --arch)"]
    assert lines(one, replace(ROOT, cell=one.cell))[0] == "system flags: +VIRTUAL_DEBUG_CONSOLE"


@pytest.mark.parametrize("name", ["qemu-arm64-openeuler-demo", "qemu-arm64-freertos-demo"])
@pytest.mark.parametrize(("layout", "revision"), LAYOUTS)
def test_across_layouts_nothing_but_the_layout_differs(
    name: str, layout: str, revision: int
) -> None:
    plain = decode(encode(shipped(name)))
    other = decode(encode(shipped(name), layout=layout, revision=revision, arch="arm64"))
    expected = [] if revision == 13 else [f"revision 13 → {revision}"]
    if layout == "openeuler" and "any" not in (plain.layout, other.layout):
        expected.append("layout upstream → openeuler")
    assert lines(plain, other) == expected


def test_capabilities_are_compared_where_they_are_used() -> None:
    caps = (PciCap(5, 0x40, 8), PciCap(1, 0x50, 8))
    device = PciDevice(type=1, caps_start=1, num_caps=1)
    old = changed(pci_devices=(device,), pci_caps=caps)
    moved = changed(pci_devices=(replace(device, caps_start=0),), pci_caps=caps[1:])
    assert lines(old, moved) == []
    other = changed(pci_devices=(device,), pci_caps=(caps[0], PciCap(1, 0x60, 8)))
    assert lines(old, other) == ["pci_devices[0]: capabilities differ (1 → 1)"]


def test_an_inserted_and_a_changed_region_are_told_apart() -> None:
    grown = region(CELL, 4, size=96 << 20)
    new = replace(grown, memory=(*grown.memory[:4], MORE, *grown.memory[4:]))
    assert lines(CELL, new) == [
        "memory[5]: size 64 MiB → 96 MiB",
        "memory[4]: added (0x90000000-0x90001000, 4 KiB, READ WRITE)",
    ]


def test_large_tables_are_compared_in_order() -> None:
    many = tuple(MemoryRegion(i << 12, 0, 4096, 1) for i in range(cells_diff.MAX_ALIGNED + 1))
    old, new = changed(memory=many), changed(memory=(*many[:-1], replace(many[-1], flags=3)))
    assert lines(old, new) == [f"memory[{len(many) - 1}]: flags +WRITE"]
    assert len(lines(old, changed(memory=many[:-1]))) == 1


@settings(max_examples=30)
@given(st.data(), st.sampled_from(LAYOUTS))
def test_the_same_is_no_change_and_another_is_one(
    data: st.DataObject, layout: tuple[str, int]
) -> None:
    first, second = (data.draw(cells(*layout)) for _ in range(2))
    changes = diff(first, second)
    assert all(change.line().isprintable() for change in changes)
    assert changes or first.cpus == second.cpus
    assert diff(first, first) == []
    root = data.draw(roots(*layout))
    assert diff(root, root) == []
    assert all(change.line().isprintable() for change in diff(root, first))
