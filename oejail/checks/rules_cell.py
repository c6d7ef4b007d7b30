# SPDX-License-Identifier: MIT
"""Rules about one configuration, whatever else there is. Every packed cell is held to them."""

from __future__ import annotations

from collections.abc import Iterator

from oejail.cells import Cell, CellBody, CellTruncated, MemoryRegion, PciDevice
from oejail.cells import names as n
from oejail.cells.regions import PAGE, ivshmem_devices, ivshmem_regions
from oejail.checks.finding import ERROR, WARNING
from oejail.checks.model import SetInput
from oejail.checks.ranges import Range, overlaps_within
from oejail.checks.table import rule

Found = Iterator[tuple[str, str]]

MAX_PEERS = 12
"""The hypervisor's limit of peers on one ivshmem link."""


def _bodies(given: SetInput) -> Iterator[tuple[str, CellBody]]:
    for file in given.configurations:
        if file.body is not None:
            yield file.path, file.body


def _cells(given: SetInput) -> Iterator[tuple[str, Cell]]:
    for file in given.configurations:
        if file.cell is not None:
            yield file.path, file.cell


@rule(
    "cell-format",
    ERROR,
    title="not a Jailhouse configuration, or the wrong kind of one",
    means="A file that should be a Jailhouse configuration cannot be read as one: signature, "
    "revision, layout or a count is wrong, or it is a cell where a system configuration belongs.",
    happens="the driver refuses it (`Not a system configuration`, `Not a cell configuration`, "
    "`Configuration revision mismatch`), or reads beyond its end.",
    mend="build it again with the tools of the Jailhouse that is in use; `oejail cell show FILE` "
    "says what was found and expected, `--layout` chooses between two readings.",
)
def cell_format(given: SetInput) -> Found:
    for file in given.configurations:
        fault = file.identity.fault
        if fault is not None and not isinstance(fault, CellTruncated):
            yield file.path, fault.message.removeprefix(f"{file.path}: ")
        elif fault is None and file.body is None:
            yield file.path, f"found a file of kind {file.identity.kind}, expected a configuration"
    if given.root and given.root.cell:
        yield given.root.path, "found a non-root cell, expected a system configuration as root"
    for inmate in given.inmates:
        if inmate.cell.root:
            yield inmate.cell.path, "found a system configuration, expected a non-root cell"


@rule(
    "cell-truncated",
    ERROR,
    title="a configuration is shorter than its counts say",
    means="A configuration is shorter than its own counts say.",
    happens="the hypervisor reads what lies behind the file: it adds PCI devices that do not "
    "exist and hangs, or `JAILHOUSE_ENABLE` ends with `Invalid argument`.",
    mend="copy or build the file again; compare its size with the one named here.",
)
def cell_truncated(given: SetInput) -> Found:
    for file in given.configurations:
        fault = file.identity.fault
        if isinstance(fault, CellTruncated):
            yield file.path, f"{fault.field}: found {fault.found}, expected {fault.expected}"


@rule(
    "cell-trailing",
    WARNING,
    title="bytes follow the last described entry",
    means="Bytes follow the last entry that the configuration describes. Some genuine upstream "
    "files have them; they may also be entries whose count was forgotten.",
    happens="nothing: the driver ignores them, and with them any entry that was meant.",
    mend="correct the counts in the source, or remove the array that nothing counts.",
)
def cell_trailing(given: SetInput) -> Found:
    for file in given.configurations:
        config = file.root or file.cell
        if config is not None and config.trailing:
            count = len(config.trailing)
            yield file.path, f"{count} bytes follow the last described entry"


@rule(
    "cell-name",
    ERROR,
    title="a cell's name is empty, too long or unprintable",
    means="A cell's name must have 1 to 31 printable characters and end with a zero byte.",
    happens="`jailhouse cell load NAME` cannot find it; a name of 32 bytes is cut by the driver.",
    mend="give the cell a shorter, printable name in its source.",
)
def cell_name(given: SetInput) -> Found:
    for path, body in _bodies(given):
        if not body.name:
            yield path, "the name is empty"
        elif len(body.name) > 31:
            yield path, f"the name {body.name!r} has 32 bytes and no terminating zero"
        elif not (body.name.isascii() and body.name.isprintable()):
            yield path, f"the name {body.name!r} is not printable ASCII"


@rule(
    "cell-flags",
    WARNING,
    title="unknown flags are set",
    means="A flag is set that no known revision of Jailhouse defines.",
    happens="nothing, or something that a fork alone knows.",
    mend="check that the configuration was built with the headers of the Jailhouse in use.",
)
def cell_flags(given: SetInput) -> Found:
    for path, body in _bodies(given):
        if rest := body.flags & ~sum(n.CELL_FLAGS.values()):
            yield path, f"unknown cell flags {rest:#x} in {body.flags:#x}"
        for index, region in enumerate(body.memory):
            if rest := region.flags & ~sum(n.MEMORY_FLAGS.values()):
                yield (
                    f"{path}: memory[{index}]",
                    f"unknown memory flags {rest:#x} in {region.flags:#x}",
                )
    for file in given.configurations:
        if file.root and (rest := file.root.flags & ~sum(n.SYSTEM_FLAGS.values())):
            yield file.path, f"unknown system flags {rest:#x} in {file.root.flags:#x}"


@rule(
    "cpu-none",
    ERROR,
    title="the CPU set is empty",
    means="The configuration's CPU set is empty.",
    happens="`JAILHOUSE_ENABLE: Invalid argument` for a root; another cell is created and never "
    "runs.",
    mend="name at least one CPU in the source.",
)
def cpu_none(given: SetInput) -> Found:
    for path, body in _bodies(given):
        if not any(body.cpu_set):
            yield path, f"no CPU in the set of {len(body.cpu_set)} bytes"


@rule(
    "memory-alignment",
    ERROR,
    title="RAM or a LOADABLE region is not page-aligned",
    means=f"RAM that a cell alone uses, and any LOADABLE region, must begin and end on a page "
    f"({PAGE} bytes), physically and virtually. Devices may be smaller than a page.",
    happens="the hypervisor traps each access to a part of a page as if it were a device: code "
    "there cannot run.",
    mend="round address and size to 4 KiB in the source.",
)
def memory_alignment(given: SetInput) -> Found:
    shared = n.IO | n.COMM_REGION | n.ROOTSHARED
    for path, body in _bodies(given):
        for index, region in enumerate(body.memory):
            if not region.flags & n.LOADABLE and region.flags & shared:
                continue
            if (region.phys_start | region.virt_start | region.size) % PAGE:
                yield (
                    f"{path}: memory[{index}]",
                    f"physical {region.phys_start:#x}, virtual {region.virt_start:#x}, size "
                    f"{region.size:#x}: not a multiple of {PAGE:#x}",
                )


@rule(
    "memory-overlap",
    ERROR,
    title="two regions of a cell overlap",
    means="Two regions of a non-root cell have physical memory in common, or (the communication "
    "region apart) addresses in the cell.",
    happens="the later region hides the earlier one, with its access rights: data ends up where "
    "nobody looks, or an access traps and the cell is parked.",
    mend="give each region a range of its own; merge those that are one.",
)
def memory_overlap(given: SetInput) -> Found:
    for path, cell in _cells(given):
        own = [(i, r) for i, r in enumerate(cell.memory) if not r.flags & n.COMM_REGION]
        physical = [Range(r.phys_start, r.phys_end, f"memory[{i}]") for i, r in own]
        virtual = [Range(r.virt_start, r.virt_end, f"memory[{i}]") for i, r in own]
        for kind, ranges in (("physical", physical), ("virtual", virtual)):
            for first, second in overlaps_within(ranges):
                yield (
                    f"{path}: {first.label}",
                    f"{kind} {first} overlaps {second.label}, {second}",
                )


@rule(
    "comm-overlap",
    WARNING,
    title="the communication region lies over another region",
    means="The communication region lies over another region's addresses in the cell.",
    happens="the region that is listed later wins on that page: the cell loses a page of RAM, or "
    "its communication with the hypervisor.",
    mend="move the communication region, or split the other region around it.",
)
def comm_overlap(given: SetInput) -> Found:
    for path, cell in _cells(given):
        comm = [r for r in cell.memory if r.flags & n.COMM_REGION]
        for region in comm[:1]:
            page = Range(region.virt_start, region.virt_end)
            for index, other in enumerate(cell.memory):
                place = Range(other.virt_start, other.virt_end)
                if other is not region and place.overlaps(page) and other.size:
                    yield (
                        f"{path}: memory[{index}]",
                        f"virtual {place} overlaps the communication region, {page}",
                    )


@rule(
    "comm-missing",
    WARNING,
    title="no communication region, and PASSIVE_COMMREG not set",
    means="A non-root cell without PASSIVE_COMMREG has no communication region.",
    happens="an inmate that answers the hypervisor's messages has nowhere to do so, and cannot "
    "be shut down in agreement.",
    mend="add a region with COMM_REGION, READ and WRITE, or set PASSIVE_COMMREG.",
)
def comm_missing(given: SetInput) -> Found:
    for path, cell in _cells(given):
        if cell.flags & n.CELL_FLAGS["PASSIVE_COMMREG"]:
            continue
        if not any(region.flags & n.COMM_REGION for region in cell.memory):
            yield path, "no communication region, and the flag PASSIVE_COMMREG is not set"


@rule(
    "memory-loadable",
    ERROR,
    title="no region is LOADABLE",
    means="No region of a non-root cell is LOADABLE.",
    happens="`JAILHOUSE_CELL_LOAD: Invalid argument`: no image can be put into the cell.",
    mend="set LOADABLE (and WRITE) on the region that the image goes to.",
)
def memory_loadable(given: SetInput) -> Found:
    for path, cell in _cells(given):
        if not any(r.flags & n.LOADABLE and r.size for r in cell.memory):
            yield path, f"none of the {len(cell.memory)} regions is LOADABLE"


@rule(
    "reset-address",
    ERROR,
    title="the reset address is in no EXECUTE region",
    means="The address at which a cell's first CPU starts is in no EXECUTE region of the cell.",
    happens="the cell is started, state running, and its first instruction traps: the CPU is "
    "parked and nothing is printed.",
    mend="set cpu_reset_address to the image's entry, inside the LOADABLE region.",
)
def reset_address(given: SetInput) -> Found:
    for path, cell in _cells(given):
        address = cell.cpu_reset_address
        executable = [r for r in cell.memory if r.flags & n.EXECUTE and r.size]
        if not any(r.virt_start <= address < r.virt_end for r in executable):
            ranges = ", ".join(f"{r.virt_start:#x}-{r.virt_end:#x}" for r in executable[:8])
            yield path, f"reset address {address:#x} is not in {ranges or 'any EXECUTE region'}"


@rule(
    "pci-capabilities",
    ERROR,
    title="capabilities of a PCI device are out of range",
    means="A PCI device's capabilities lie beyond the list of capabilities.",
    happens="the hypervisor reads beyond the configuration's end while it adds the device.",
    mend="correct caps_start and num_caps of the device.",
)
def pci_capabilities(given: SetInput) -> Found:
    for path, body in _bodies(given):
        total = len(body.pci_caps)
        for index, device in enumerate(body.pci_devices):
            if device.num_caps and device.caps_start + device.num_caps > total:
                yield (
                    f"{path}: pci_devices[{index}]",
                    f"{device.address}: capabilities {device.caps_start} to "
                    f"{device.caps_start + device.num_caps - 1}, but there are {total}",
                )


@rule(
    "ivshmem-regions",
    ERROR,
    title="regions of a shared-memory device are out of range",
    means="A shared-memory device with N peers uses 2 + N memory regions from "
    "shmem_regions_start on (state table, read/write section, one output section a peer), and "
    "here they run beyond the cell's regions.",
    happens="`JAILHOUSE_CELL_CREATE` or `JAILHOUSE_ENABLE` ends with `Invalid argument`.",
    mend="correct shmem_regions_start, or add the missing regions (an absent section has size 0).",
)
def ivshmem_region_indexes(given: SetInput) -> Found:
    for path, body in _bodies(given):
        total = len(body.memory)
        for index, device in ivshmem_devices(body):
            last = device.shmem_regions_start + 2 + device.shmem_peers
            if last > total:
                yield (
                    f"{path}: pci_devices[{index}]",
                    f"{device.address}: regions {device.shmem_regions_start} to {last - 1}, but "
                    f"there are {total}",
                )


@rule(
    "ivshmem-peers",
    WARNING,
    title="a shared-memory device's id is not below its peers",
    means="The id of a shared-memory device is not below its own number of peers. Some of "
    "upstream's demos are so, and work, because nobody asks them for the number.",
    happens="the inmate reads a number of peers that does not count itself; a driver that trusts "
    "it refuses the device or never signals its peer.",
    mend="give each side the same shmem_peers, and number the sides from 0.",
)
def ivshmem_peers(given: SetInput) -> Found:
    for path, body in _bodies(given):
        for index, device in ivshmem_devices(body):
            if device.shmem_peers <= device.shmem_dev_id < MAX_PEERS:
                yield (
                    f"{path}: pci_devices[{index}]",
                    f"{device.address}: id {device.shmem_dev_id}, peers {device.shmem_peers}",
                )


@rule(
    "ivshmem-limit",
    ERROR,
    title="more shared-memory peers than the hypervisor links",
    means=f"The hypervisor links at most {MAX_PEERS} peers; an id or a number of peers is beyond.",
    happens="`JAILHOUSE_CELL_CREATE` or `JAILHOUSE_ENABLE` ends with `Invalid argument`.",
    mend="number the peers from 0, and spread more of them over several devices.",
)
def ivshmem_limit(given: SetInput) -> Found:
    for path, body in _bodies(given):
        for index, device in ivshmem_devices(body):
            if device.shmem_peers > MAX_PEERS or device.shmem_dev_id >= MAX_PEERS:
                yield (
                    f"{path}: pci_devices[{index}]",
                    f"{device.address}: id {device.shmem_dev_id} of {device.shmem_peers} peers, "
                    f"at most {MAX_PEERS}",
                )


def _outputs(given: SetInput) -> Iterator[tuple[str, PciDevice, int, MemoryRegion]]:
    """Where, device, peer number and output section, of sections that are there."""
    for path, body in _bodies(given):
        for index, device in ivshmem_devices(body):
            for peer, region in enumerate(ivshmem_regions(body, device)[2:]):
                if region.size:
                    yield f"{path}: pci_devices[{index}]", device, peer, region


@rule(
    "ivshmem-output",
    ERROR,
    title="another peer's output section is writable",
    means="Of a shared-memory device's output sections a cell may write its own alone; here it "
    "may write another peer's.",
    happens="two peers write the same memory, each over the other's messages.",
    mend="set WRITE on the output section with the device's own id and on no other.",
)
def ivshmem_output(given: SetInput) -> Found:
    for where, device, peer, region in _outputs(given):
        if region.flags & n.WRITE and peer != device.shmem_dev_id:
            number = device.shmem_regions_start + 2 + peer
            yield (
                where,
                f"{device.address}: id {device.shmem_dev_id} can write the output section of "
                f"peer {peer}, memory[{number}] at {region.phys_start:#x}",
            )


@rule(
    "ivshmem-silent",
    WARNING,
    title="the own output section is not writable",
    means="A shared-memory device cannot write its own output section.",
    happens="the first write of the cell to its own section traps and parks it.",
    mend="set WRITE on the output section with the device's own id.",
)
def ivshmem_silent(given: SetInput) -> Found:
    for where, device, peer, region in _outputs(given):
        if peer == device.shmem_dev_id and not region.flags & n.WRITE:
            number = device.shmem_regions_start + 2 + peer
            yield (
                where,
                f"{device.address}: id {peer} cannot write its own output section, "
                f"memory[{number}] at {region.phys_start:#x}",
            )
