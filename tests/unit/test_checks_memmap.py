# SPDX-License-Identifier: MIT
from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings

from oejail.cells import Cell, MemoryRegion, RootCell, shipped
from oejail.checks import Machine, check_set
from oejail.checks.memmap import MemoryMap, memory_map
from oejail.checks.memmap.model import LINUX, MAX_CLAIMS, RAM, ROOT
from oejail.checks.memmap.svg import svg
from oejail.checks.memmap.text import lines
from oejail.checks.model import machine_of
from oejail.errors import UsageFault
from oejail.platforms import load
from tests.conftest import repository
from tests.support.check_sets import cell_value, machine, region, root_value, sound, with_cell
from tests.support.sound_plans import Plan, plans

ROOT_CELL, CELL = root_value(), cell_value()


def of(cell: Cell = CELL, known: Machine | None = None) -> MemoryMap:
    return memory_map(ROOT_CELL, [cell], known or machine())


def test_columns_bands_and_gaps() -> None:
    drawn = of()
    assert drawn.columns == ("hypervisor", "Linux (root 'qemu')", "cell 'freertos'")
    assert drawn.machine == "QEMU, mem=0x40000000"
    assert drawn.conflicts == ()
    ends = [band.end for band in drawn.bands]
    assert [band.start for band in drawn.bands][1:] == ends[:-1]
    by_start = {band.start: band for band in drawn.bands}
    ram = by_start[0x8500_0000]
    assert {(c.owner, c.kind) for c in ram.claims} == {(1, ROOT), (2, RAM)}
    assert [c.label for c in ram.claims if c.owner == 2] == ["[4] RAM at 0x0"]
    assert max(by_start[0x4000_0000].claims, key=lambda c: c.rank).kind == LINUX
    assert by_start[0x3F0_0000].claims == () and not by_start[0x3F0_0000].ram
    labels = {claim.label for claim in drawn.claims}
    assert {"[0] state of 00:00.0", "[3] output 1 of 00:00.0 at 0x31102000"} <= labels


def test_without_a_machine() -> None:
    drawn = memory_map(ROOT_CELL, [CELL])
    assert drawn.machine == "" and LINUX not in {claim.kind for claim in drawn.claims}


def test_unused_ram_is_told_from_nothing() -> None:
    root, cell = shipped("rpi4"), shipped("rpi4-zephyr")
    assert isinstance(root, RootCell) and isinstance(cell, Cell)
    drawn = memory_map(root, [cell], machine_of(load("raspberrypi4-64")))
    gaps = {band.start: band.ram for band in drawn.bands if not band.claims}
    assert gaps.pop(0x1FA1_0000) is True
    assert gaps == dict.fromkeys((0xFC00_0000, 0xFF00_0000, 0x2_0000_0000), False)
    assert drawn.conflicts == ()
    # Linux's part of a root region is on top of it, not hidden by it.
    assert "Linux" in lines(drawn)


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        (
            region(CELL, 4, phys_start=0x80F0_0000, size=1 << 20),
            "0x80f00000-0x81000000: cell 'freertos', memory[4] RAM at 0x0 and hypervisor",
        ),
        (
            region(CELL, 4, phys_start=0x7FF0_0000, size=1 << 20),
            "0x7ff00000-0x80000000: cell 'freertos', memory[4] RAM at 0x0 and Linux (root 'qemu')",
        ),
    ],
)
def test_conflicts(cell: Cell, line: str) -> None:
    drawn = of(cell)
    assert drawn.conflict_lines() == [line]
    assert f"! conflict {line}" in lines(drawn)
    picture = svg(drawn, "x")
    assert picture.count('fill="url(#conflict)"') == 2
    assert line.replace("'", "'") in "".join(ElementTree.fromstring(picture).itertext())


def test_conflicts_of_cells_and_of_links() -> None:
    twice = memory_map(ROOT_CELL, [CELL, replace(CELL, name="b")], machine())
    # UART and link are shared by both: only the RAM is not.
    assert twice.conflict_lines() == [
        "0x85000000-0x89000000: cell 'b', memory[4] RAM at 0x0 and cell 'freertos', memory[4] RAM "
        "at 0x0"
    ]
    over = of(replace(CELL, memory=(MemoryRegion(0x8110_0000, 0, 4096, 0x47),)))
    assert [c.second.section or c.first.section for c in over.conflicts] == [True]


@given(plans())
@settings(max_examples=30)
def test_a_sound_plan_has_no_conflict(plan: Plan) -> None:
    assert memory_map(plan.root, plan.cells, plan.machine).conflicts == ()


@pytest.mark.parametrize("start", [0x7000_0000, 0x8040_0000, 0x8100_0000, 0x9000_0000])
def test_the_map_agrees_with_the_rules(start: int) -> None:
    moved = with_cell(lambda c: region(c, 4, phys_start=start, size=1 << 20))
    rules = {f.rule for f in check_set(moved)}
    kinds = {"memory-linux", "memory-hypervisor", "memory-shared", "memory-taken"}
    drawn = of(region(CELL, 4, phys_start=start, size=1 << 20))
    assert bool(rules & kinds) == bool(drawn.conflicts)
    assert sound().root is not None


def test_text() -> None:
    text = lines(of())
    assert max(map(len, text.splitlines()[:-2])) <= 100
    assert re.search(r"0x80000000 +16 MiB +▓▓ hypervisor +││ \[4\] RAM", text)
    assert re.search(r"0x85000000 +64 MiB +││ +██ \[4\] RAM at 0x0", text)
    assert re.search(r"95\.9 MiB +\(nothing\)", text)
    assert "\x1b" not in text
    plain = lines(of(), ascii=True)
    assert plain.isascii() and "## [4] RAM at 0x0" in plain
    assert "\x1b[" in lines(of(), color=True)


def test_svg_is_sound_xml_and_complete() -> None:
    drawn = of(replace(CELL, name="<&\x1b\ud800>"))
    tree = ElementTree.fromstring(svg(drawn, "a & b"))
    texts = ["".join(node.itertext()) for node in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "a & b"
    for wanted in (
        "0x85000000",
        "[4] RAM at 0x0",
        "Linux",
        "hypervisor",
        "16 MiB",
        "shared memory",
    ):
        assert wanted in texts, wanted
    assert any("\\x1b\\ud800" in text for text in texts)
    tips = [node.text or "" for node in tree.iter("{http://www.w3.org/2000/svg}title")]
    assert "[4] RAM at 0x0: 0x85000000-0x89000000, 64 MiB" in tips
    boxes = tree.iter("{http://www.w3.org/2000/svg}rect")
    assert all(float(box.get("height", "1")) > 0 for box in boxes)
    assert svg(drawn, "a & b") == svg(drawn, "a & b")


def test_a_hostile_cell_is_not_drawn() -> None:
    many = tuple(MemoryRegion(i << 12, 0, 4096, 1) for i in range(MAX_CLAIMS))
    with pytest.raises(UsageFault, match="more than the 400 that a map can show"):
        of(replace(CELL, memory=many))
    same = tuple(MemoryRegion(0x9000_0000, 0, 4096, 1) for _ in range(300))
    drawn = of(replace(CELL, memory=same))
    assert svg(drawn, "x") and lines(drawn)


def test_the_documentations_picture_is_this_ones() -> None:
    """docs/cells.md shows how docs/map.svg is made; it is made anew with the same command."""
    root, cell = shipped("qemu-arm64-openeuler-demo"), shipped("qemu-arm64-inmate-demo")
    assert isinstance(root, RootCell) and isinstance(cell, Cell)
    known = replace(machine_of(load("qemu-aarch64"), 1 << 30), name="machine (qemu-aarch64)")
    picture = svg(memory_map(root, [cell], known), "root + demo")
    assert (repository() / "docs/map.svg").read_text() == picture
