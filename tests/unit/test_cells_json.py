# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oejail.cells import (
    Cell,
    CellFormatError,
    RootCell,
    decode,
    encode,
    from_dict,
    shipped,
    shipped_names,
    to_dict,
)
from tests.support.cell_values import LAYOUTS, cells, roots


def through_json(config: Cell | RootCell) -> Cell | RootCell:
    return from_dict(json.loads(json.dumps(to_dict(config))))


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_cells_come_back(name: str) -> None:
    config = decode(encode(shipped(name)))
    assert through_json(config) == config
    assert encode(through_json(config)) == encode(shipped(name))


@given(st.data(), st.sampled_from(LAYOUTS))
def test_any_configuration_comes_back(data: st.DataObject, layout: tuple[str, int]) -> None:
    cell = data.draw(cells(*layout))
    assert through_json(cell) == cell
    root = data.draw(roots(*layout))
    assert through_json(root) == root
    unread = decode(encode(root), layout[0])
    assert through_json(unread) == unread


def test_the_view_is_for_people_too() -> None:
    view = to_dict(shipped("qemu-arm64-freertos-demo"))
    assert view["kind"] == "cell"
    assert view["flags"] == ["PASSIVE_COMMREG", "VIRTUAL_CONSOLE_PERMITTED"]
    assert view["cpus"] == [1]
    assert view["irqchips"][0]["interrupts"] == [133]
    assert view["memory"][4]["flags"] == ["READ", "WRITE", "EXECUTE", "DMA", "LOADABLE"]
    root = to_dict(shipped("qemu-arm64-openeuler-demo"))
    assert root["kind"] == "root"
    assert root["platform"]["arch"] == "arm"
    assert root["platform"]["gic_version"] == 3


def test_what_people_write_is_read() -> None:
    plain = {
        "kind": "cell",
        "revision": 13,
        "cpus": [0, 1, 2, 5],
        "memory": [{"size": 64 << 20}],
        "irqchips": [{"pin_base": 32, "interrupts": [32, 33, 40]}],
        "console": {"type": 3},
        "pci_devices": [{"type": 3, "shmem_protocol": 1}],
    }
    written = {
        "kind": "cell",
        "revision": 13,
        "cpus": "0-2, 5",
        "memory": [{"size": "64M"}],
        "irqchips": [{"pin_base": "0x20", "interrupts": ["32-33", 40]}],
        "console": {"type": "pl011"},
        "pci_devices": [{"type": "ivshmem", "shmem_protocol": "veth"}],
    }
    assert from_dict(written) == from_dict(plain)


def test_what_is_left_out_has_its_default() -> None:
    assert from_dict({"kind": "cell", "revision": 13}) == Cell(revision=13, cpu_set=bytes(8))
    flags: Any = {"kind": "cell", "revision": 13, "flags": 5}
    assert from_dict(flags) == Cell(revision=13, cpu_set=bytes(8), flags=5)


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"kind": "inmate"}, "kind", "found 'inmate', expected cell or root"),
        ({"kind": None}, "kind", "cell or root"),
        ({"revision": "old"}, "revision", "found 'old', expected an integer"),
        ({"revision": True}, "revision", "an integer"),
        ({"colour": 1}, "colour", "found an unknown field, expected one of name"),
        ({"name": 7}, "name", "a text"),
        ({"flags": ["PASSIV"]}, "flags", "unknown flag 'PASSIV'"),
        ({"cpus": [64]}, "cpus", "found 64, expected 0 to 63"),
        ({"cpus": [0, "x"]}, "cpus", "x is no number or range like 32-40"),
        ({"cpus": {}}, "cpus", "found {}, expected numbers and ranges"),
        ({"cpus": "0-4294967295"}, "cpus", "is no number or range"),
        ({"cpus": [True]}, "cpus", "True is no number"),
        ({"console": {"type": "pl012"}}, "console.type", "a number or one of none, efifb"),
        ({"cpu_set_size": 1 << 40}, "cpu_set_size", "0 to 4096 bytes"),
        ({"memory": [{"size": 1}, {"sise": 1}]}, "memory[1].sise", "an unknown field"),
        ({"memory": [3]}, "memory[0]", "found 3, expected an object"),
        ({"irqchips": [{"interrupts": [200]}]}, "irqchips[0].interrupts", "not in 0 to 127"),
        ({"trailing": "xyz"}, "trailing", "hexadecimal digits"),
        ({"console": []}, "console", "an object"),
    ],
)
def test_errors_name_the_field(change: dict[str, Any], field: str, message: str) -> None:
    view = to_dict(shipped("qemu-arm64-freertos-demo")) | change
    with pytest.raises(CellFormatError) as caught:
        from_dict(view, "x.json")
    assert caught.value.field == field
    assert message in caught.value.message
    assert caught.value.message.startswith("x.json: ")


def test_errors_of_a_root() -> None:
    view = to_dict(shipped("rpi4"))
    view["platform"] = {"arch": "mips"}
    with pytest.raises(CellFormatError, match=r"platform\.arch: found 'mips', expected arm"):
        from_dict(view)
    del view["platform"], view["revision"]
    with pytest.raises(CellFormatError, match="revision: found None, expected an integer"):
        from_dict(view)
    wholes: tuple[Any, ...] = (None, [], {1: 2})
    for whole in wholes:
        with pytest.raises(CellFormatError, match="expected an object"):
            from_dict(whole)
