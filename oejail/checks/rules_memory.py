# SPDX-License-Identifier: MIT
"""Rules about the memory of root and inmates together.

A root's RAM region may contain the hypervisor's and the shared memory: openEuler's does, by
design. For a non-root cell the same is fatal.
"""

from __future__ import annotations

from collections.abc import Iterator

from oejail.cells import ArmPlatform, RootCell
from oejail.cells.names import COMM_REGION, EXECUTE, IO, LOADABLE, ROOTSHARED
from oejail.cells.regions import is_exclusive_ram, ivshmem_devices, ivshmem_regions
from oejail.checks.finding import ERROR, WARNING
from oejail.checks.model import SetInput
from oejail.checks.ranges import Range, Union, overlaps_between
from oejail.checks.table import rule

Found = Iterator[tuple[str, str]]


def _regions(given: SetInput) -> Iterator[tuple[str, Range, int]]:
    """Where, physical range and flags of each region of an inmate that is backed by memory."""
    for owner, (file, cell) in enumerate(given.cells):
        for index, region in enumerate(cell.memory):
            if region.size and not region.flags & COMM_REGION:
                where = f"{file.path}: memory[{index}]"
                exclusive = not region.flags & ROOTSHARED
                place = Range(region.phys_start, region.phys_end, where, owner, exclusive)
                yield where, place, region.flags


@rule(
    "memory-hypervisor",
    ERROR,
    title="a cell's region lies over the hypervisor",
    means="A non-root cell's region lies over the hypervisor's own memory.",
    happens="the cell is created; loading it overwrites the hypervisor: endless `FATAL: Unhandled "
    "HYP exception`, and the machine is gone.",
    mend="move the region; hypervisor_memory is in the root's configuration.",
)
def memory_hypervisor(given: SetInput) -> Found:
    root = given.root_config
    if root is None:
        return
    memory = root.hypervisor_memory
    hypervisor = Range(memory.phys_start, memory.phys_end)
    for where, place, _ in _regions(given):
        if place.overlaps(hypervisor):
            yield where, f"physical {place} overlaps the hypervisor's memory, {hypervisor}"


def _not_in_root(given: SetInput, devices: bool) -> Iterator[tuple[str, Range, int]]:
    """Where, place and the bytes missing, of regions that the root's do not cover."""
    root = given.root_config
    if root is None:
        return
    have = Union(Range(r.phys_start, r.phys_end) for r in root.cell.memory)
    # On x86 no flag tells devices from RAM; what holds code or is loaded is RAM there.
    arm = isinstance(root.platform, ArmPlatform)
    for where, place, flags in _regions(given):
        device = bool(flags & IO) if arm else not flags & (EXECUTE | LOADABLE)
        if device == devices and (missing := have.missing(place)):
            yield where, place, missing


@rule(
    "memory-not-root",
    ERROR,
    title="a cell's RAM is in no region of the root",
    means="RAM of a non-root cell is in no region of the root: it is not the root's to give or to "
    "share. A cell of another board looks so.",
    happens="`JAILHOUSE_CELL_CREATE: Device or resource busy`, or the cell gets an address where "
    "this board has nothing.",
    mend="move the region into the root's memory, or add the memory to the root.",
)
def memory_not_root(given: SetInput) -> Found:
    for where, place, missing in _not_in_root(given, devices=False):
        if missing == place.end - place.start:
            yield where, f"physical {place} is in no region of the root"


@rule(
    "memory-partly-root",
    WARNING,
    title="a cell's RAM reaches beyond the root's regions",
    means="RAM of a non-root cell reaches beyond the root's regions. openEuler's rpi4-linux and "
    "some of upstream's demos do, where the root leaves a gap.",
    happens="the cell works where there is RAM in the gap; it does not go back to the root when "
    "the cell is destroyed.",
    mend="shorten the region, or add the rest to the root.",
)
def memory_partly_root(given: SetInput) -> Found:
    for where, place, missing in _not_in_root(given, devices=False):
        if missing < place.end - place.start:
            yield where, f"physical {place}: {missing:#x} bytes are in no region of the root"


@rule(
    "device-not-root",
    WARNING,
    title="a cell's device is in no region of the root",
    means="A device region of a non-root cell is not, as a whole, in regions of the root. Some "
    "of upstream's demos are so.",
    happens="the cell gets the device, if there is one; it does not go back to the root when the "
    "cell is destroyed.",
    mend="add the device to the root's configuration, or correct its address.",
)
def device_not_root(given: SetInput) -> Found:
    for where, place, missing in _not_in_root(given, devices=True):
        yield where, f"physical {place}: {missing:#x} bytes are in no region of the root"


@rule(
    "memory-taken",
    ERROR,
    title="two cells have the same memory",
    means="Regions of two cells overlap, and not both are ROOTSHARED.",
    happens="`JAILHOUSE_CELL_CREATE: Device or resource busy`, or two cells write the same RAM.",
    mend="give each cell memory of its own; mark what is meant to be shared ROOTSHARED in both.",
)
def memory_taken(given: SetInput) -> Found:
    for first, second in overlaps_between(place for _, place, _ in _regions(given)):
        one, two = sorted((first, second), key=lambda r: r.owner, reverse=True)
        yield one.label, f"physical {one} overlaps {two} of {two.label}"


def _over_sections(given: SetInput, linked: bool) -> Found:
    """Exclusive regions over sections of those of the root's links that a cell shares, or not."""
    root = given.root_config
    if root is None:
        return
    used = {device.bdf for _, cell in given.cells for _, device in ivshmem_devices(cell)}
    sections = Union(
        Range(region.phys_start, region.phys_end)
        for _, device in ivshmem_devices(root.cell)
        if (device.bdf in used) == linked
        for region in ivshmem_regions(root.cell, device)
    )
    for where, place, _ in _regions(given):
        if place.exclusive and (section := sections.first_overlap(place)):
            yield where, f"physical {place} overlaps the root's shared memory, {section}"


@rule(
    "memory-shared",
    ERROR,
    title="a cell's RAM lies over shared memory",
    means="Memory that a cell alone uses lies over the sections of a shared-memory link between "
    "root and cells.",
    happens="everything succeeds and the cell stays silent: whoever uses the link writes over "
    "the cell's RAM.",
    mend="move the region, or mark it ROOTSHARED where it is a section of that link.",
)
def memory_shared(given: SetInput) -> Found:
    yield from _over_sections(given, linked=True)


@rule(
    "memory-shared-unused",
    WARNING,
    title="a cell's RAM lies over shared memory that no cell uses",
    means="Memory that a cell alone uses lies over the sections of a shared-memory device of the "
    "root that no cell of the set has the other end of. Some of upstream's demos are so.",
    happens="nothing while Linux leaves that device alone; a driver that touches it makes Linux "
    "fail.",
    mend="move the region, or remove the device from the root.",
)
def memory_shared_unused(given: SetInput) -> Found:
    yield from _over_sections(given, linked=False)


def _devices(root: RootCell) -> list[Range]:
    """What the hypervisor intercepts: configuration space, interrupt controller, IOMMU units."""
    found: list[Range] = []
    if root.pci_mmconfig_base:
        size = (root.pci_mmconfig_end_bus + 1) << 20
        base = root.pci_mmconfig_base
        found.append(Range(base, base + size, "PCI configuration space"))
    for index, unit in enumerate(root.iommu_units):
        if unit.base and unit.size:
            found.append(Range(unit.base, unit.base + unit.size, f"IOMMU unit {index}"))
    arm = root.platform
    if isinstance(arm, ArmPlatform):
        cpus = max(root.cell.cpus, default=0) + 1
        frames = (
            [("GICD", arm.gicd_base, 0x1_0000), ("GICR", arm.gicr_base, cpus * 0x2_0000)]
            if arm.gic_version >= 3
            else [
                ("GICD", arm.gicd_base, 0x1000),
                ("GICC", arm.gicc_base, 0x2000),
                ("GICH", arm.gich_base, 0x2000),
                ("GICV", arm.gicv_base, 0x2000),
            ]
        )
        found += [Range(base, base + size, name) for name, base, size in frames if base]
    elif root.arch == "x86":
        found.append(Range(0xFEE0_0000, 0xFEE0_1000, "local APIC"))
        found += [
            Range(chip.address, chip.address + 0x1000, "I/O APIC") for chip in root.cell.irqchips
        ]
    return found


@rule(
    "memory-intercepted",
    ERROR,
    title="a region lies over what the hypervisor intercepts",
    means="A non-root cell's region lies over a device that the hypervisor keeps for itself: PCI "
    "configuration space, interrupt controller (with one GICR frame a CPU) or IOMMU.",
    happens="the cell talks to the device directly: it can take the interrupts and the memory of "
    "all others, or the hypervisor's view and the device's go apart.",
    mend="leave the device out of the region.",
)
def memory_intercepted(given: SetInput) -> Found:
    root = given.root_config
    if root is None:
        return
    devices = _devices(root)
    any_device = Union(devices)
    for where, place, _ in _regions(given):
        if any_device.first_overlap(place):
            device = next(d for d in devices if d.overlaps(place))
            yield where, f"physical {place} overlaps {device.label}, {device}"


@rule(
    "memory-linux",
    ERROR,
    title="a cell's RAM lies in Linux's",
    means="RAM that a cell alone uses lies in memory that Linux owns.",
    happens="the cell is created, and loading or starting it destroys Linux: `rcu_sched "
    "self-detected stall` after 20 seconds, or a hang.",
    mend="lower `mem=`, reserve the range in the device tree, or move the cell's RAM.",
)
def memory_linux(given: SetInput) -> Found:
    machine = given.machine
    if machine is None or machine.linux is None:
        return
    linux = Union(machine.linux)
    for file, cell in given.cells:
        for index, region in enumerate(cell.memory):
            place = Range(region.phys_start, region.phys_end)
            if is_exclusive_ram(region) and (hit := linux.first_overlap(place)):
                yield (
                    f"{file.path}: memory[{index}]",
                    f"physical {place} is in Linux's memory, {hit} ({machine.linux_because})",
                )


@rule(
    "hypervisor-linux",
    ERROR,
    title="the hypervisor's memory lies in Linux's",
    means="The hypervisor's memory lies in memory that Linux owns.",
    happens="`request_mem_region failed for hypervisor memory.`, `Did you reserve the memory "
    'with "memmap=" or "mem="?`, and `JAILHOUSE_ENABLE: Invalid argument`.',
    mend="lower `mem=`, or reserve the range in the device tree.",
)
def hypervisor_linux(given: SetInput) -> Found:
    machine, root = given.machine, given.root_config
    if given.root is None or root is None or machine is None or machine.linux is None:
        return
    memory = root.hypervisor_memory
    place = Range(memory.phys_start, memory.phys_end)
    if hit := Union(machine.linux).first_overlap(place):
        yield (
            f"{given.root.path}: hypervisor_memory",
            f"{place} is in Linux's memory, {hit} ({machine.linux_because})",
        )


@rule(
    "memory-beyond-ram",
    ERROR,
    title="memory is beyond the machine's RAM",
    means="The hypervisor's memory, or RAM that a cell alone uses, is not in the machine's RAM.",
    happens="`synchronous external abort` and a kernel Oops at `jailhouse enable` (status 139), "
    "or the cell cannot be loaded.",
    mend="give the machine more RAM (`-m`), or move the memory.",
)
def memory_beyond_ram(given: SetInput) -> Found:
    machine, root = given.machine, given.root_config
    if machine is None or not machine.ram:
        return
    ram = Union(machine.ram)
    shown = ", ".join(map(str, ram.parts[:4]))
    if given.root and root:
        place = Range(root.hypervisor_memory.phys_start, root.hypervisor_memory.phys_end)
        if ram.missing(place):
            yield (
                f"{given.root.path}: hypervisor_memory",
                f"{place} is not in the RAM of {machine.name}, {shown}",
            )
    for file, cell in given.cells:
        for index, region in enumerate(cell.memory):
            place = Range(region.phys_start, region.phys_end)
            if is_exclusive_ram(region) and ram.missing(place):
                yield (
                    f"{file.path}: memory[{index}]",
                    f"physical {place} is not in the RAM of {machine.name}, {shown}",
                )
