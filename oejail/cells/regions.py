# SPDX-License-Identifier: MIT
"""Questions about a cell's memory that checks, maps and the payload ask alike."""

from __future__ import annotations

from oejail.cells.model import CellBody, MemoryRegion, PciDevice
from oejail.cells.names import COMM_REGION, IO, IVSHMEM, LOADABLE, ROOTSHARED

PAGE = 4096


def is_exclusive_ram(region: MemoryRegion) -> bool:
    """RAM that the cell alone uses: no device, not shared with the root, not the comm region."""
    return region.size > 0 and not region.flags & (IO | COMM_REGION | ROOTSHARED)


def region_at(body: CellBody, address: int) -> int | None:
    """The index of the first region that holds `address`, as the cell sees it.

    The driver looks for an image's place in the same way, whatever the flags of the region are.
    """
    for index, region in enumerate(body.memory):
        if region.virt_start <= address < region.virt_end:
            return index
    return None


def load_address(body: CellBody) -> int | None:
    """Where an image goes by default: the start of the LOADABLE region that holds the reset
    address, else of the first LOADABLE one; None when there is none.

    `jailhouse cell load` itself defaults to 0: pass this address with `-a` unless it is 0.
    """
    loadable = [region for region in body.memory if region.flags & LOADABLE and region.size]
    for region in loadable:
        if region.virt_start <= body.cpu_reset_address < region.virt_end:
            return region.virt_start
    return loadable[0].virt_start if loadable else None


def ivshmem_devices(body: CellBody) -> list[tuple[int, PciDevice]]:
    """The shared-memory devices, with their indexes."""
    return [(i, device) for i, device in enumerate(body.pci_devices) if device.type == IVSHMEM]


def ivshmem_regions(body: CellBody, device: PciDevice) -> tuple[MemoryRegion, ...]:
    """State table, read/write section, and one output section a peer: 2 + peers regions.

    Fewer where the indexes run beyond the cell's regions.
    """
    start = device.shmem_regions_start
    return body.memory[start : start + 2 + device.shmem_peers]
