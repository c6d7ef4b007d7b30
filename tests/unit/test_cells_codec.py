# SPDX-License-Identifier: MIT
from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oejail.cells import (
    ArmPlatform,
    Cell,
    CellFormatError,
    CellTruncated,
    IommuUnit,
    MemoryRegion,
    PciDevice,
    RootCell,
    UnknownPlatform,
    X86Platform,
    decode,
    encode,
    pin_bitmap,
    shipped,
    shipped_names,
    with_arch,
)
from tests.support.cell_values import LAYOUTS, RECORDED, cells, from_fields, roots

ROOT = "qemu-arm64-openeuler-demo"
FREERTOS = "qemu-arm64-freertos-demo"


def root_bytes(family: str = "upstream", revision: int = 13) -> bytes:
    return encode(shipped(ROOT), layout=family, revision=revision)


def cell_bytes(family: str = "upstream", revision: int = 13) -> bytes:
    return encode(shipped(FREERTOS), layout=family, revision=revision, arch="arm64")


@pytest.mark.parametrize("key", RECORDED)
def test_recorded_values_give_the_listed_bytes(key: str) -> None:
    entry = RECORDED[key]
    stem, _, revision = key.partition("@rev")
    of_fields = encode(from_fields(entry["fields"]), arch="arm64")
    assert hashlib.sha256(of_fields).hexdigest() == entry["sha256"]
    assert len(of_fields) == entry["size"]
    assert encode(shipped(stem), revision=int(revision), arch="arm64") == of_fields


@pytest.mark.parametrize("name", shipped_names())
@pytest.mark.parametrize(("family", "revision"), LAYOUTS)
def test_shipped_cells_survive_every_layout(name: str, family: str, revision: int) -> None:
    config = shipped(name)
    data = encode(config, layout=family, revision=revision, arch="arm64")
    read = decode(data)
    assert encode(read) == data
    assert read.revision == revision
    assert read.layout in (family, "any")
    back = replace(read, revision=13, layout=config.layout, arch=config.arch)
    empty = (IommuUnit(),) * 8
    if isinstance(back, RootCell) and isinstance(config, RootCell):
        assert back.iommu_units == empty
        back = replace(back, iommu_units=())
    assert back == config


@pytest.mark.parametrize(("family", "revision"), LAYOUTS)
@given(data=st.data())
def test_any_cell_round_trips(family: str, revision: int, data: st.DataObject) -> None:
    cell = data.draw(cells(family, revision))
    raw = encode(cell)
    read = decode(raw, family)
    assert encode(read) == raw
    assert replace(read, layout=family) == cell


@pytest.mark.parametrize(("family", "revision"), LAYOUTS)
@given(data=st.data())
def test_any_root_round_trips(family: str, revision: int, data: st.DataObject) -> None:
    root = data.draw(roots(family, revision))
    raw = encode(root)
    assert decode(raw, family, arch=root.arch) == root
    unknown = decode(raw, family)
    assert encode(unknown) == raw
    assert isinstance(unknown, RootCell)
    assert with_arch(unknown, str(root.arch)) == root or unknown.arch == "arm64"


@given(data=st.data())
def test_conversion_between_layouts_keeps_what_both_hold(data: st.DataObject) -> None:
    root = data.draw(roots("upstream", 13))
    if isinstance(root.platform, ArmPlatform):
        root = replace(root, platform=replace(root.platform, reserved=0))
    if isinstance(root.platform, X86Platform):
        root = replace(root, platform=replace(root.platform, reserved=b""))
    for family, revision in LAYOUTS:
        raw = encode(root, layout=family, revision=revision)
        read = decode(raw, family, arch=root.arch)
        assert replace(read, layout="upstream", revision=13) == root


def test_the_layout_is_found() -> None:
    found = {
        (family, revision): decode(cell_bytes(family, revision)).layout
        for family, revision in LAYOUTS
    }
    assert found == {
        ("upstream", 12): "upstream",
        ("upstream", 13): "any",  # both layouts read the same fields
        ("upstream", 14): "upstream",
        ("openeuler", 13): "any",
        ("openeuler", 14): "openeuler",
    }
    for family, revision in LAYOUTS:
        assert decode(root_bytes(family, revision)).layout == family


def test_sizes_of_the_fixed_part() -> None:
    """354, 356 and 364: where a root's own descriptor begins."""
    regions = 8 + 16 * 32 + 32 + 56 + 132
    assert len(root_bytes("upstream", 12)) == 354 + regions
    assert len(root_bytes("upstream", 13)) == 356 + regions
    assert len(root_bytes("openeuler", 13)) == 364 + regions
    assert len(root_bytes("openeuler", 14)) == 364 + regions + 4


def test_architecture() -> None:
    cell = decode(cell_bytes("upstream", 14))
    assert (cell.arch, cell_bytes("upstream", 14)[:6]) == ("arm64", b"JHCLL\x02")
    assert decode(cell_bytes()).arch is None
    assert decode(root_bytes()).arch == "arm64"
    assert decode(root_bytes(), arch="arm").arch == "arm"
    # A distributor that is not page-aligned is none: then the union may be an x86 machine's.
    x86 = RootCell(revision=13, arch="x86", platform=X86Platform(0x608, 1, 256, 2000, 100))
    raw = encode(x86)
    read = decode(raw)
    assert isinstance(read, RootCell)
    assert (read.arch, type(read.platform)) == (None, UnknownPlatform)
    assert encode(read) == raw
    assert with_arch(read, "x86").platform == x86.platform
    assert encode(read, revision=14, arch="x86")[:6] == b"JHSYS\x00"


def test_architecture_is_needed_for_revision_14() -> None:
    with pytest.raises(CellFormatError, match=r"offset 5: architecture: found None"):
        encode(shipped(FREERTOS), revision=14)


def test_trailing_bytes_are_kept() -> None:
    for raw in (cell_bytes() + bytes(56), root_bytes() + b"\xff" * 56):
        read = decode(raw)
        assert len(read.trailing) == 56
        assert encode(read) == raw


def fork_root() -> RootCell:
    """A root of the fork without GICR: where upstream's own descriptor would begin, it has zeros,
    so upstream's layout reads it too, and differently."""
    root = shipped("rpi4")
    assert isinstance(root, RootCell)
    return replace(root, layout="openeuler")


def ambiguous() -> bytes:
    """With trailing bytes, so that neither reading fits exactly."""
    return encode(fork_root()) + bytes(80)


def test_an_exact_fit_wins_over_one_with_a_rest() -> None:
    root = fork_root()
    raw = encode(replace(root, cell=replace(root.cell, pci_devices=root.cell.pci_devices * 4)))
    assert len(decode(raw, "upstream").trailing) > 0
    assert decode(raw).layout == "openeuler"


def test_differing_readings_are_an_error_and_can_be_chosen() -> None:
    with pytest.raises(CellFormatError) as caught:
        decode(ambiguous(), where="root.cell")
    error = caught.value
    assert error.field == "layout"
    assert "upstream revision 13" in error.found
    assert "openeuler revision 13" in error.found
    assert error.message.startswith("root.cell: offset 0: layout: found differing readings")
    assert error.hint and "--layout" in error.hint
    chosen = decode(ambiguous(), "openeuler")
    assert chosen.name == "Raspberry-Pi4"
    assert encode(chosen) == ambiguous()


def poked(raw: bytes, offset: int, value: bytes) -> bytes:
    return raw[:offset] + value + raw[offset + len(value) :]


@pytest.mark.parametrize(
    ("raw", "offset", "field", "message"),
    [
        (b"", 0, "signature", "found '', expected one of 'JHCELL'"),
        (b"hello, this is no cell" * 20, 0, "signature", "found 'hello,'"),
        (poked(cell_bytes(), 6, b"\x0f"), 6, "revision", "found 15, expected 12, 13, 14"),
        (poked(cell_bytes("upstream", 14), 5, b"\x03"), 5, "architecture", "found 3, expected 0"),
        (poked(cell_bytes("upstream", 14), 6, b"\x0d"), 6, "revision", "found 13, expected 14"),
        (cell_bytes()[:100], 0, "size", "found 100 bytes, expected at least 132"),
        (cell_bytes()[:-4], 396, "pci_devices (1 entries)", "found 448 bytes, expected at least"),
        (root_bytes()[:480], 364, "root cell descriptor", "found 480 bytes"),
        (root_bytes()[:-4], 1040, "pci_devices (1 entries)", "found 1092 bytes"),
        (poked(root_bytes(), 356, b"J"), 356, "root cell signature", "found 4a0000"),
        (poked(cell_bytes(), 48, b"\x01\x10"), 48, "cpu_set_size", "found 4097 bytes"),
        (poked(cell_bytes(), 52, b"\xff" * 4), 140, "memory (4294967295 entries)", "expected at"),
        (bytes(2 << 20), 0, "size", "found 2097152 bytes, expected at most 1048576"),
    ],
)
def test_errors_say_where_what_and_both_values(
    raw: bytes, offset: int, field: str, message: str
) -> None:
    with pytest.raises(CellFormatError) as caught:
        decode(raw, where="f.cell")
    error = caught.value
    assert (error.offset, error.field) == (offset, field)
    assert message in error.message
    assert error.message == (
        f"f.cell: offset {offset}: {field}: found {error.found}, expected {error.expected}"
    )
    moved = error.at("elsewhere")
    assert moved.message.startswith("elsewhere: offset ") and type(moved) is type(error)


def test_a_short_file_is_an_error_of_its_own() -> None:
    for cut in range(1, 60):
        with pytest.raises(CellTruncated):
            decode(root_bytes()[:-cut])
        with pytest.raises(CellTruncated):
            decode(cell_bytes()[:-cut])


@pytest.mark.parametrize("layout", ["upstream", "openeuler"])
def test_layout_restricts(layout: str) -> None:
    assert decode(cell_bytes(), layout).layout == layout
    with pytest.raises(CellFormatError, match="found 'ours', expected upstream or openeuler"):
        decode(cell_bytes(), "ours")
    with pytest.raises(CellFormatError):
        decode(root_bytes("openeuler"), "upstream")


CELL = Cell(revision=13, name="c", cpu_set=b"\x02")


@pytest.mark.parametrize(
    ("config", "field", "message"),
    [
        (replace(CELL, flags=1 << 32), "flags", "found 0x100000000, expected 0 to 0xffffffff"),
        (replace(CELL, flags=-1), "flags", "found -0x1"),
        (replace(CELL, name="x" * 33), "name", "found 33 bytes, expected at most 32"),
        (replace(CELL, name="a\0b"), "name", "no NUL"),
        (replace(CELL, name="é€"), "name", "one byte a character"),
        (replace(CELL, name="x" * 20, name_rest=b"y" * 20), "name", "41 bytes"),
        (replace(CELL, cpu_set=bytes(4097)), "cpu_set", "found 4097 bytes"),
        (replace(CELL, memory=(MemoryRegion(size=1 << 64),)), "memory[0].size", "found 0x1000"),
        (replace(CELL, stream_ids=(1, 1 << 32)), "stream_ids[1]", "found 0x100000000"),
        (
            replace(CELL, pci_devices=(PciDevice(bdf=1 << 16),)),
            "pci_devices[0].bdf",
            "found 0x10000, expected 0 to 0xffff",
        ),
        (
            replace(CELL, pci_devices=(PciDevice(virt_bdf=8),)),
            "pci_devices[0].virt_bdf",
            "found 0x8, expected 0: upstream revision 13 has no such field",
        ),
        (replace(CELL, revision=11), "layout", "found upstream revision 11, expected one of"),
        (
            RootCell(revision=13, pci_machine_mmconfig_base=4096),
            "pci_machine_mmconfig_base",
            "no such field",
        ),
        (
            RootCell(revision=12, platform=ArmPlatform(reserved=7)),
            "platform.reserved",
            "upstream revision 12 has no such field",
        ),
        (
            RootCell(revision=13, platform=X86Platform(reserved=b"abc")),
            "platform.reserved",
            "found 3 bytes, expected none, or 29 bytes",
        ),
        (RootCell(revision=13, iommu_units=(IommuUnit(),) * 9), "iommu_units", "found 9 units"),
        (RootCell(revision=13, iommu_units=(IommuUnit(data=b""),)), "iommu_units[0].data", "12"),
        (RootCell(revision=12, iommu_units=(IommuUnit(1),)), "architecture", "found None"),
        (
            RootCell(revision=13, platform=UnknownPlatform(bytes(266))),
            "platform",
            "found 266 bytes of another revision",
        ),
    ],
)
def test_values_that_do_not_fit_are_refused(
    config: Cell | RootCell, field: str, message: str
) -> None:
    with pytest.raises(CellFormatError) as caught:
        encode(config)
    assert caught.value.field == field
    assert message in caught.value.message


def test_offset_of_a_value_that_does_not_fit() -> None:
    with pytest.raises(CellFormatError) as caught:
        encode(replace(CELL, cpu_reset_address=1 << 64))
    assert (caught.value.offset, caught.value.field) == (84, "cpu_reset_address")


def test_bitmaps() -> None:
    cell = shipped(FREERTOS)
    assert isinstance(cell, Cell)
    assert cell.cpus == (1,)
    assert cell.irqchips[0].interrupts == (133,)
    assert pin_bitmap([32, 159], 32) == (1, 0, 0, 1 << 31)
    with pytest.raises(ValueError, match="interrupt 160 is not in 32 to 159"):
        pin_bitmap([160], 32)


def test_unknown_shipped_name_lists_the_names() -> None:
    with pytest.raises(CellFormatError, match="qemu-arm64-freertos-demo"):
        shipped("nonesuch")
