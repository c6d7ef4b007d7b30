# SPDX-License-Identifier: MIT
from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oejail.cells import (
    CacheRegion,
    Cell,
    Console,
    IommuUnit,
    PciCap,
    PciDevice,
    PioRegion,
    RootCell,
    X86Platform,
    shipped,
)
from oejail.cells.show import show
from oejail.cells.sizes import format_size, parse_size
from tests.support.cell_values import LAYOUTS, cells, roots

FREERTOS = """\
kind           cell
name           'freertos'
layout         any, revision 13
arch           not in the file
flags          PASSIVE_COMMREG VIRTUAL_CONSOLE_PERMITTED
CPUs           1 (set of 8 bytes)
reset address  0x0
console        pl011 at 0x9000000, MMIO REGDIST_4
virtual PCI    interrupts from 101 + 32 on

memory
  0  0x81000000-0x81001000  at 0x31000000  4 KiB   READ ROOTSHARED                  0001:00:00.0 state table
  1  0x81001000-0x81002000  at 0x31001000  4 KiB   READ WRITE ROOTSHARED            0001:00:00.0 read/write
  2  0x81002000-0x81102000  at 0x31002000  1 MiB   READ ROOTSHARED                  0001:00:00.0 output 0
  3  0x81102000-0x81202000  at 0x31102000  1 MiB   READ WRITE ROOTSHARED            0001:00:00.0 output 1 (own)
  4  0x85000000-0x89000000  at 0x0         64 MiB  READ WRITE EXECUTE DMA LOADABLE
  5  0x9000000-0x9001000    at 0x9000000   4 KiB   READ WRITE IO ROOTSHARED
  6  0x0-0x1000             at 0x80000000  4 KiB   READ WRITE COMM_REGION

interrupts
  0x8000000  133

PCI
  0  0001:00:00.0  ivshmem  id 1 of 2 peers, protocol undefined, memory 0 to 3, BARs 0xfffff000 0x0 0x0 0x0 0x0 0x0
"""  # noqa: E501


def test_a_cell() -> None:
    assert "\n".join(show(shipped("qemu-arm64-freertos-demo"))) + "\n" == FREERTOS


def test_a_root() -> None:
    lines = show(shipped("rpi4"))
    text = "\n".join(lines)
    for part in (
        "kind           root (system configuration)",
        "hypervisor     0x1fc00000-0x20000000, 4 MiB",
        "debug console  8250 at 0xfe215040, 64 B, MMIO REGDIST_4",
        "GIC            version 2, gicd 0xff841000, gicc 0xff842000",
        "maintenance    interrupt 25",
        "  2   absent ",
        "  0xff841000  32-159",
        "  0xff841000  160-223",
    ):
        assert part in text


def test_an_x86_root_and_what_is_rare() -> None:
    root = RootCell(
        revision=13,
        arch="x86",
        platform=X86Platform(0x608, 1, 256, 2000, 100),
        iommu_units=(IommuUnit(2, 0xFED9_0000, 0x1000),),
        pci_machine_mmconfig_base=0x1000,
        trailing=b"12",
    )
    body = replace(
        root.cell,
        id=3,
        msg_reply_timeout=9,
        caches=(CacheRegion(0, 4, 3, 1),),
        pio=(PioRegion(0x60, 5),),
        pci_caps=(PciCap(5, 0x60, 14, 1),),
        stream_ids=(7,),
        console=Console(1, 2, 99, 0, 3, 4, 5),
        pci_devices=(PciDevice(type=1, num_msix_vectors=2, msix_address=0x1000, virt_bdf=8),),
    )
    text = "\n".join(show(replace(root, cell=body)))
    for part in (
        "PM timer       port 0x608",
        "VT-d limit     256 interrupts",
        "clocks         TSC 2000 kHz, APIC 100 kHz",
        "IOMMU 0        intel, 0xfed90000-0xfed91000",
        "machine's PCI  0x1000",
        "trailing       2 bytes that nothing describes",
        "console        type 99 at 0x1, 2 B, divider 3, gate 4 at 0x5, no flags",
        "PCI capabilities\n  0  id 0x5  at 0x60  14 bytes  flags 0x1",
        "ports\n  0  0x60  5",
        "stream ids\n  0x7",
        "MSI-X 2 at 0x1000-0x1000, virtual bdf 0x8",
    ):
        assert part in text
    assert "choose one with --arch" in "\n".join(show(RootCell(revision=13)))


@given(st.data(), st.sampled_from(LAYOUTS))
def test_any_configuration_is_shown_in_printable_lines(
    data: st.DataObject, layout: tuple[str, int]
) -> None:
    for config in (data.draw(cells(*layout)), data.draw(roots(*layout))):
        assert all(line.isprintable() for line in show(config))


def test_a_name_cannot_write_to_the_terminal() -> None:
    assert "'\\x1b[31m'" in "\n".join(show(Cell(revision=13, name="\x1b[31m")))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("64M", 64 << 20),
        ("64 MiB", 64 << 20),
        ("2g", 2 << 30),
        ("4kB", 4096),
        ("1T", 1 << 40),
        ("0x1000", 4096),
        (" 780M ", 780 << 20),
        ("010", 10),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5G", "12X", "0x", "1 2", "99999999T", "1Mi"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no size; write 64M"):
        parse_size(text)


@given(st.integers(0, (1 << 64) - 1))
def test_sizes_come_back(size: int) -> None:
    assert parse_size(format_size(size).removesuffix(" B")) == size
