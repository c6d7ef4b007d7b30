# SPDX-License-Identifier: MIT
"""Configurations for tests: from the recorded field values, and any that the formats can hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from oejail.cells import (
    ArmPlatform,
    CacheRegion,
    Cell,
    CellBody,
    Console,
    IommuUnit,
    Irqchip,
    MemoryRegion,
    PciCap,
    PciDevice,
    PioRegion,
    RootCell,
    X86Platform,
)

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "data/cells/cells.json").read_text()
)
"""`stem@revN` to sha256, size and fields of a genuine configuration."""

LAYOUTS = [
    ("upstream", 12),
    ("upstream", 13),
    ("upstream", 14),
    ("openeuler", 13),
    ("openeuler", 14),
]


def from_fields(fields: dict[str, Any]) -> Cell | RootCell:
    """A configuration built from recorded fields alone, without the shipped values."""
    if "root_cell" not in fields:
        return Cell(revision=fields["revision"], layout="upstream", **_body(fields))
    return RootCell(
        revision=fields["revision"],
        layout="upstream",
        flags=fields["flags"],
        hypervisor_memory=MemoryRegion(*fields["hypervisor_memory"]),
        debug_console=Console(*fields["debug_console"]),
        pci_mmconfig_base=fields["pci_mmconfig_base"],
        pci_mmconfig_end_bus=fields["pci_mmconfig_end_bus"],
        pci_is_virtual=fields["pci_is_virtual"],
        pci_domain=fields["pci_domain"],
        platform=ArmPlatform(*fields["arm"]),
        cell=CellBody(**_body(fields["root_cell"])),
    )


def _body(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": fields["name"],
        "id": fields["id"],
        "flags": fields["flags"],
        "cpu_set": bytes.fromhex(fields["cpus"]),
        "memory": tuple(MemoryRegion(**region) for region in fields["mem_regions"]),
        "irqchips": tuple(
            Irqchip(c["address"], c["id"], c["pin_base"], tuple(c["pin_bitmap"]))
            for c in fields["irqchips"]
        ),
        "pci_devices": tuple(
            PciDevice(
                bar_mask=tuple(d[f"bar{i}"] for i in range(6)),
                **{k: v for k, v in d.items() if not k.startswith("bar")},
            )
            for d in fields["pci_devices"]
        ),
        "vpci_irq_base": fields["vpci_irq_base"],
        "cpu_reset_address": fields["cpu_reset_address"],
        "msg_reply_timeout": fields["msg_reply_timeout"],
        "console": Console(**fields["console"]),
    }


u8, u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
_few = 3
_regions = st.builds(MemoryRegion, u64, u64, u64, u64)
_consoles = st.builds(Console, u64, u32, u16, u16, u32, u32, u64)
_names = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=32)


def _some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=_few).map(tuple)


def _devices(virt_bdf: bool) -> st.SearchStrategy[PciDevice]:
    return st.builds(
        PciDevice,
        u8,
        u8,
        u16,
        u16,
        st.tuples(u32, u32, u32, u32, u32, u32),
        u16,
        u16,
        u8,
        u8,
        u16,
        u16,
        u64,
        u32,
        u8,
        u8,
        u16,
        u32 if virt_bdf else st.just(0),
    )


def bodies(virt_bdf: bool) -> st.SearchStrategy[dict[str, Any]]:
    """The fields of any cell, in dict form; `virt_bdf` where the layout has it."""
    return st.fixed_dictionaries(
        {
            "name": _names,
            "id": u32,
            "flags": u32,
            "cpu_set": st.binary(max_size=16),
            "memory": _some(_regions),
            "caches": _some(st.builds(CacheRegion, u32, u32, u8, u16, u8)),
            "irqchips": _some(st.builds(Irqchip, u64, u32, u32, st.tuples(u32, u32, u32, u32))),
            "pio": _some(st.builds(PioRegion, u16, u16)),
            "pci_devices": _some(_devices(virt_bdf)),
            "pci_caps": _some(st.builds(PciCap, u16, u16, u16, u16)),
            "stream_ids": _some(u32),
            "vpci_irq_base": u32,
            "cpu_reset_address": u64,
            "msg_reply_timeout": u64,
            "console": _consoles,
        }
    )


@st.composite
def cells(draw: st.DrawFn, family: str, revision: int) -> Cell:
    """Any cell that the layout can hold."""
    fields = draw(bodies(family == "openeuler" and revision == 14))
    arch = draw(st.sampled_from(["x86", "arm", "arm64"]))
    named = family == "upstream" and revision == 14
    return Cell(revision=revision, layout=family, arch=arch if named else None, **fields)


@st.composite
def roots(draw: st.DrawFn, family: str, revision: int) -> RootCell:
    """Any root that the layout can hold, of a known architecture."""
    fields = draw(bodies(family == "openeuler" and revision == 14))
    arch = draw(st.sampled_from(["x86", "arm", "arm64"]))
    platform: ArmPlatform | X86Platform
    if arch == "x86":
        size = 27 if revision == 12 else 29
        reserved = draw(st.binary(min_size=size, max_size=size).filter(any) | st.just(b""))
        platform = X86Platform(draw(u16), draw(u8), draw(u32), draw(u32), draw(u32), reserved)
    else:
        gicd, gicc, gich, gicv, gicr = (draw(u64) for _ in range(5))
        reserved_bits = 0 if revision == 12 else draw(u16)
        platform = ArmPlatform(draw(u8), draw(u8), gicd, gicc, gich, gicv, gicr, reserved_bits)
    units = st.builds(IommuUnit, u32, u64, u32, st.binary(min_size=12, max_size=12))
    return RootCell(
        revision=revision,
        layout=family,
        arch=arch,
        flags=draw(u32),
        hypervisor_memory=draw(_regions),
        debug_console=draw(_consoles),
        pci_mmconfig_base=draw(u64),
        pci_machine_mmconfig_base=draw(u64) if family == "openeuler" else 0,
        pci_mmconfig_end_bus=draw(u8),
        pci_is_virtual=draw(u8),
        pci_domain=draw(u16),
        iommu_units=tuple(draw(units) for _ in range(8)),
        platform=platform,
        cell=CellBody(**fields),
        trailing=draw(st.binary(max_size=8)),
    )
