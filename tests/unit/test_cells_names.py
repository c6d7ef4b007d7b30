# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oejail.cells import Cell, CellBody, MemoryRegion, PciDevice, shipped
from oejail.cells.names import (
    CELL_FLAGS,
    COMM_REGION,
    EXECUTE,
    IO,
    IVSHMEM,
    LOADABLE,
    MEMORY_FLAGS,
    READ,
    ROOTSHARED,
    WRITE,
    flag_names,
    flag_value,
    protocol_name,
)
from oejail.cells.regions import (
    is_exclusive_ram,
    ivshmem_devices,
    ivshmem_regions,
    load_address,
    region_at,
)


@given(st.integers(0, (1 << 64) - 1), st.sampled_from([MEMORY_FLAGS, CELL_FLAGS]))
def test_flags_come_back(value: int, table: dict[str, int]) -> None:
    assert flag_value(flag_names(value, table), table) == value


def test_flag_names() -> None:
    assert flag_names(0x47, MEMORY_FLAGS) == ["READ", "WRITE", "EXECUTE", "LOADABLE"]
    assert flag_names(0x1000_0001, MEMORY_FLAGS) == ["READ", "0x10000000"]
    with pytest.raises(ValueError, match="unknown flag 'RAED'; known: READ"):
        flag_value(["RAED"], MEMORY_FLAGS)


def test_protocols() -> None:
    assert [protocol_name(n) for n in (0, 1, 2, 0x4001, 0x8001, 0xC002)] == [
        "undefined",
        "veth",
        "0x2",
        "custom 0x4001",
        "virtio-front 1",
        "virtio-back 2",
    ]


def test_exclusive_ram() -> None:
    ram = MemoryRegion(0, 0, 4096, READ | WRITE)
    assert is_exclusive_ram(ram)
    for flag in (IO, COMM_REGION, ROOTSHARED):
        assert not is_exclusive_ram(MemoryRegion(0, 0, 4096, READ | flag))
    assert not is_exclusive_ram(MemoryRegion())


def test_load_address() -> None:
    assert load_address(_body("qemu-arm64-freertos-demo")) == 0
    # Two LOADABLE regions: the one with the reset address, not the first.
    assert load_address(_body("qemu-arm64-zephyr-mcs-demo")) == 0x7A000000
    outside = CellBody(cpu_reset_address=9, memory=(MemoryRegion(0, 64, 64, LOADABLE),))
    assert load_address(outside) == 64
    assert load_address(CellBody(memory=(MemoryRegion(0, 0, 64, EXECUTE),))) is None


def test_region_at_finds_the_first_whatever_its_flags() -> None:
    body = CellBody(memory=(MemoryRegion(0, 0, 64, IO), MemoryRegion(0, 0, 128, LOADABLE)))
    assert [region_at(body, at) for at in (0, 63, 64, 128)] == [0, 0, 1, None]


def test_ivshmem_has_two_regions_and_one_a_peer() -> None:
    body = _body("qemu-arm64-inmate-demo")
    [(index, device)] = ivshmem_devices(body)
    assert (index, len(ivshmem_regions(body, device))) == (0, 5)
    cut = Cell(
        revision=13,
        memory=body.memory[:2],
        pci_devices=(PciDevice(type=IVSHMEM, shmem_regions_start=1, shmem_peers=200),),
    )
    assert len(ivshmem_regions(cut, cut.pci_devices[0])) == 1


def test_address_of_a_pci_device() -> None:
    assert PciDevice(domain=1, bdf=0x1F << 3 | 7 | 0x2A00).address == "0001:2a:1f.7"


def _body(name: str) -> CellBody:
    config = shipped(name)
    assert isinstance(config, Cell)
    return config
