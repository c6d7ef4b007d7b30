# SPDX-License-Identifier: MIT
"""Rules about root and inmates together, memory apart: CPUs, interrupts, PCI, names, layouts."""

from __future__ import annotations

from collections.abc import Iterator

from oejail.cells import PciDevice, RootCell
from oejail.cells.names import IVSHMEM
from oejail.cells.regions import ivshmem_devices, ivshmem_regions
from oejail.checks.finding import ERROR, INFORMATION, WARNING
from oejail.checks.model import SetInput
from oejail.checks.table import rule

Found = Iterator[tuple[str, str]]


def _numbers(numbers: set[int]) -> str:
    """`3` or `1, 2, 3`, at most eight of them."""
    shown = sorted(numbers)
    return ", ".join(map(str, shown[:8])) + (" …" if len(shown) > 8 else "")


@rule(
    "cpu-not-root",
    ERROR,
    title="a CPU is not the root's",
    means="A cell wants a CPU that is not in the root's set.",
    happens="`JAILHOUSE_CELL_CREATE: Device or resource busy`.",
    mend="choose CPUs of the root's set, or add the CPU to the root's configuration.",
)
def cpu_not_root(given: SetInput) -> Found:
    root = given.root_config
    if root is None:
        return
    have = set(root.cell.cpus)
    for file, cell in given.cells:
        if missing := set(cell.cpus) - have:
            yield file.path, f"CPU {_numbers(missing)}: the root has {_numbers(have)}"


@rule(
    "cpu-taken",
    ERROR,
    title="two cells have the same CPU",
    means="Two cells want the same CPU.",
    happens="`JAILHOUSE_CELL_CREATE: Device or resource busy` for the second.",
    mend="give each cell a CPU of its own.",
)
def cpu_taken(given: SetInput) -> Found:
    owner: dict[int, str] = {}
    for file, cell in given.cells:
        for cpu in cell.cpus:
            if cpu in owner:
                yield file.path, f"CPU {cpu} is taken by {owner[cpu]}"
            owner.setdefault(cpu, f"{file.path} ({cell.name})")


@rule(
    "cpu-root-empty",
    ERROR,
    title="the root is left without a CPU",
    means="The cells together take every CPU of the root.",
    happens="`JAILHOUSE_CELL_CREATE: Device or resource busy`: Linux keeps the CPU it runs on.",
    mend="leave the root at least one CPU.",
)
def cpu_root_empty(given: SetInput) -> Found:
    root = given.root_config
    if root is None or given.root is None or not any(root.cell.cpu_set):
        return
    taken = {cpu for _, cell in given.cells for cpu in cell.cpus}
    if taken >= set(root.cell.cpus):
        yield given.root.path, f"all of its CPUs, {_numbers(set(root.cell.cpus))}, are given away"


@rule(
    "interrupt-taken",
    ERROR,
    title="two cells have the same interrupt",
    means="Two cells want the same interrupt of one interrupt controller.",
    happens="the cell that was created later gets it; the other one waits forever.",
    mend="let one cell have the interrupt, or give one of the devices another.",
)
def interrupt_taken(given: SetInput) -> Found:
    owner: dict[tuple[int, int], str] = {}
    for file, cell in given.cells:
        mine: dict[tuple[int, int], str] = {}
        clashes: dict[str, set[int]] = {}
        for chip in cell.irqchips:
            for number in chip.interrupts:
                pin = (chip.address, number)
                if pin in owner:
                    clashes.setdefault(owner[pin], set()).add(number)
                mine[pin] = f"{file.path} ({cell.name})"
        for other, numbers in clashes.items():
            yield file.path, f"interrupt {_numbers(numbers)}: taken by {other}"
        owner = mine | owner


@rule(
    "interrupt-chip",
    ERROR,
    title="the interrupt controller is another board's",
    means="A cell names an interrupt controller that the root does not have: it was made for "
    "another board.",
    happens="the hypervisor passes those interrupts over; the cell is created, starts, and "
    "waits forever for its timer, its UART or its peer.",
    mend="take the cell's configuration for this board, or correct the chip's address.",
)
def interrupt_chip(given: SetInput) -> Found:
    root = given.root_config
    if root is None or not root.cell.irqchips:
        return
    known = {chip.address for chip in root.cell.irqchips}
    for file, cell in given.cells:
        for index, chip in enumerate(cell.irqchips):
            if chip.address not in known and any(chip.pin_bitmap):
                shown = ", ".join(f"{address:#x}" for address in sorted(known)[:4])
                yield (
                    f"{file.path}: irqchips[{index}]",
                    f"interrupt controller {chip.address:#x}, the root has {shown}",
                )


@rule(
    "pci-taken",
    ERROR,
    title="two cells have the same PCI function",
    means="Two cells want the same PCI function.",
    happens="the function goes to the cell that was created last; the other one hangs on it.",
    mend="let one cell have the function.",
)
def pci_taken(given: SetInput) -> Found:
    owner: dict[tuple[int, int], str] = {}
    for file, cell in given.cells:
        for index, device in enumerate(cell.pci_devices):
            if device.type == IVSHMEM:
                continue
            place = (device.domain, device.bdf)
            if place in owner:
                yield (
                    f"{file.path}: pci_devices[{index}]",
                    f"{device.address} is taken by {owner[place]}",
                )
            owner.setdefault(place, f"{file.path} ({cell.name})")


def _links(given: SetInput) -> dict[int, list[tuple[str, PciDevice, tuple[object, ...]]]]:
    """Shared-memory devices by bus, device and function: that alone links them."""
    links: dict[int, list[tuple[str, PciDevice, tuple[object, ...]]]] = {}
    files = [(f.path, f.body) for f in (given.root, *(i.cell for i in given.inmates)) if f]
    for path, body in files:
        if body is None:
            continue
        for index, device in ivshmem_devices(body):
            regions = tuple((r.phys_start, r.size) for r in ivshmem_regions(body, device))
            where = f"{path}: pci_devices[{index}]"
            links.setdefault(device.bdf, []).append((where, device, regions))
    return links


@rule(
    "ivshmem-id",
    ERROR,
    title="an id on a shared-memory link is taken or out of range",
    means="On one shared-memory link an id occurs twice, or lies beyond every side's number of "
    "peers.",
    happens="`JAILHOUSE_CELL_CREATE: Device or resource busy` for an id that is taken; beyond "
    "the peers, the other sides never see this one's state.",
    mend="number the sides of a link from 0, the root usually being 0.",
)
def ivshmem_id(given: SetInput) -> Found:
    for ends in _links(given).values():
        if len(ends) < 2:
            continue
        peers = max(device.shmem_peers for _, device, _ in ends)
        owner: dict[int, str] = {}
        for where, device, _ in ends:
            number = device.shmem_dev_id
            if number in owner:
                yield where, f"{device.address}: id {number} is taken by {owner[number]}"
            elif number >= peers:
                yield where, f"{device.address}: id {number} on a link of {peers} peers"
            owner.setdefault(number, where)


@rule(
    "ivshmem-peers-differ",
    WARNING,
    title="the sides of a link differ in the number of peers",
    means="The sides of a shared-memory link name different numbers of peers. openEuler's root "
    "with upstream's inmate-demo is so, and works.",
    happens="nothing as long as no side needs the sections of a peer that the other does not know.",
    mend="give every side the same shmem_peers.",
)
def ivshmem_peers_differ(given: SetInput) -> Found:
    for ends in _links(given).values():
        first, device, _ = ends[0]
        for where, other, _ in ends[1:]:
            if other.shmem_peers != device.shmem_peers:
                yield (
                    where,
                    f"{other.address}: {other.shmem_peers} peers, {first} has {device.shmem_peers}",
                )


@rule(
    "ivshmem-regions-differ",
    WARNING,
    title="the sides of a link name different memory",
    means="The sides of a shared-memory link name different physical memory for a section.",
    happens="each side writes where the other does not look: the link is created, and silent.",
    mend="give every side the same addresses and sizes, in the same order.",
)
def ivshmem_regions_differ(given: SetInput) -> Found:
    for ends in _links(given).values():
        first, _, regions = ends[0]
        for where, other, mine in ends[1:]:
            pairs = list(zip(regions, mine, strict=False))
            differ = [i for i, (one, two) in enumerate(pairs) if one != two]
            if differ:
                start = other.shmem_regions_start + differ[0]
                yield (
                    where,
                    f"{other.address}: section {differ[0]} (memory[{start}]) is not the memory "
                    f"that {first} names; {len(differ)} of {len(pairs)} sections differ",
                )


@rule(
    "name-taken",
    ERROR,
    title="two cells have the same name",
    means="Two cells of the set, or a cell and the root, have the same name.",
    happens="`JAILHOUSE_CELL_CREATE: File exists` for the second.",
    mend="rename one in its source; do not create one cell twice.",
)
def name_taken(given: SetInput) -> Found:
    owner: dict[str, str] = {}
    if given.root and given.root_config:
        owner[given.root_config.name] = given.root.path
    for file, cell in given.cells:
        if cell.name in owner:
            yield file.path, f"the name {cell.name!r} is taken by {owner[cell.name]}"
        owner.setdefault(cell.name, file.path)


def _layouts_fit(root: RootCell, layout: str) -> bool:
    return "any" in (root.layout, layout) or root.layout == layout


@rule(
    "layout-mismatch",
    ERROR,
    title="revision or layout differ",
    means="A cell has another revision, or another layout of the same revision (upstream's or "
    "openEuler's fork's), than the root.",
    happens="`JAILHOUSE_CELL_CREATE: Invalid argument`, with `Configuration revision mismatch` "
    "or `Not a cell configuration` from the driver.",
    mend="build all configurations with the headers of one Jailhouse.",
)
def layout_mismatch(given: SetInput) -> Found:
    root = given.root_config
    if root is None:
        return
    for file, cell in given.cells:
        if cell.revision != root.revision:
            yield file.path, f"revision {cell.revision}, the root has revision {root.revision}"
        elif not _layouts_fit(root, cell.layout):
            yield file.path, f"layout {cell.layout}, the root has layout {root.layout}"


@rule(
    "arch-mismatch",
    ERROR,
    title="architectures differ",
    means="A configuration names another architecture than the root, or the root another than "
    "the platform. Only upstream's revision 14 names one.",
    happens="the driver says `Configuration architecture mismatch`; for a cell the tool says "
    "nothing and ends with status 0, and no cell exists.",
    mend="build the configuration for the right architecture.",
)
def arch_mismatch(given: SetInput) -> Found:
    root = given.root_config
    named = root.arch if root and root.revision >= 14 and root.layout == "upstream" else None
    if given.root and named and given.arch and named != given.arch:
        yield given.root.path, f"architecture {named}, the platform has {given.arch}"
    expected = named or given.arch
    for file, cell in given.cells:
        if cell.arch and expected and cell.arch != expected:
            side = "root" if named else "platform"
            yield file.path, f"architecture {cell.arch}, the {side} has {expected}"


@rule(
    "mica-revision",
    INFORMATION,
    title="MICA reads revision 13 only",
    means="MICA, openEuler's own life-cycle daemon for RTOS clients, reads revision 13 only.",
    happens="`mica create` refuses the cell; `jailhouse cell create` is not concerned.",
    mend="nothing, unless MICA is to manage the cell: then use revision 13.",
)
def mica_revision(given: SetInput) -> Found:
    if given.root and given.root_config and given.root_config.revision != 13:
        yield given.root.path, f"revision {given.root_config.revision}, MICA reads 13 only"
