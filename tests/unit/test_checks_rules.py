# SPDX-License-Identifier: MIT
"""Each rule has a planted defect that it finds, and no other rule does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oejail.artifacts.identify import Identity
from oejail.cells import IommuUnit, MemoryRegion, PciCap, PciDevice, X86Platform, encode
from oejail.cells import names as n
from oejail.checks import RULES, FileInput, InmateInput, SetInput, check_set
from tests.support.check_sets import (
    IMAGE,
    RELEASE,
    cell_file,
    cell_value,
    file,
    firmware,
    kernel,
    machine,
    more_memory,
    region,
    root_value,
    second_value,
    sound,
    with_cell,
    with_image,
    with_root,
    with_root_body,
    with_second,
)
from tests.support.elf_files import elf, module, tool

GIB = 1 << 30
RAM = n.READ | n.WRITE | n.EXECUTE
HOST_DEVICE = PciDevice(type=1, domain=0, bdf=0x18)


def others(data: bytes) -> SetInput:
    return replace(sound(), others=(file("cells/other.cell", data),))


def peers(**changes: Any) -> SetInput:
    cell = cell_value()
    return with_cell(lambda c: replace(c, pci_devices=(replace(cell.pci_devices[0], **changes),)))


def alone(**changes: Any) -> SetInput:
    """A device on a link of its own: nobody at the other end to disagree with."""
    return peers(bdf=0x40, **changes)


def overlapping_comm() -> SetInput:
    return with_cell(lambda c: region(c, 6, virt_start=0x3FF_F000))


def iommu_over_ram() -> SetInput:
    unit = IommuUnit(3, 0x8800_0000, 0x2_0000)
    return with_root(lambda root: replace(root, iommu_units=(unit,)))


def shared_unused() -> SetInput:
    """A second device of the root, over FreeRTOS's RAM, that no cell takes part in."""

    def change(root: object) -> object:
        body = root_value().cell
        extra = MemoryRegion(0x8700_0000, 0x8700_0000, 0x1000, n.READ)
        device = replace(
            body.pci_devices[0], bdf=0x10, shmem_regions_start=16, shmem_dev_id=0, shmem_peers=1
        )
        memory = (*body.memory, extra, MemoryRegion(), MemoryRegion())
        return replace(body, memory=memory, pci_devices=(*body.pci_devices, device))

    return with_root_body(change)  # type: ignore[arg-type]


def over_shared() -> SetInput:
    """FreeRTOS's RAM reaches over the root's first section, which it does not name itself."""

    def change(cell: object) -> object:
        own = cell_value()
        elsewhere = tuple(
            replace(r, phys_start=r.phys_start + 0x200_0000) if i < 4 else r
            for i, r in enumerate(own.memory)
        )
        return region(replace(own, memory=elsewhere), 4, phys_start=0x8100_0000, size=0x10_0000)

    return with_cell(change)  # type: ignore[arg-type]


# Where a defect cannot be planted without another rule seeing it too, the others are listed.
PLANTED: dict[str, tuple[Callable[[], SetInput], set[str]]] = {
    "cell-format": (lambda: others(b"JHCELL\x09\x00" + bytes(200)), set()),
    "cell-truncated": (lambda: others(encode(cell_value())[:-4]), set()),
    "cell-trailing": (lambda: others(encode(cell_value()) + bytes(56)), set()),
    "cell-name": (lambda: with_cell(lambda c: replace(c, name="x" * 32)), set()),
    "cell-flags": (lambda: with_cell(lambda c: replace(c, flags=c.flags | 0x800)), set()),
    "cpu-none": (lambda: with_cell(lambda c: replace(c, cpu_set=bytes(8))), set()),
    "memory-alignment": (lambda: with_cell(lambda c: region(c, 4, size=0x3FF_FE00)), set()),
    "memory-overlap": (
        lambda: with_cell(lambda c: more_memory(c, MemoryRegion(0x8600_0000, 1 << 40, 4096, RAM))),
        set(),
    ),
    "comm-overlap": (overlapping_comm, set()),
    "comm-missing": (
        lambda: with_cell(lambda c: replace(c, flags=c.flags & ~1, memory=c.memory[:-1])),
        set(),
    ),
    "memory-loadable": (
        lambda: replace(
            with_cell(lambda c: region(c, 4, flags=RAM | n.DMA)),
            inmates=(replace(with_cell(lambda c: region(c, 4, flags=RAM)).inmates[0], image=None),),
        ),
        set(),
    ),
    "reset-address": (lambda: with_cell(lambda c: replace(c, cpu_reset_address=1 << 40)), set()),
    "pci-capabilities": (
        lambda: with_cell(
            lambda c: replace(
                c,
                pci_devices=(*c.pci_devices, replace(HOST_DEVICE, caps_start=1, num_caps=1)),
                pci_caps=(PciCap(5),),
            )
        ),
        set(),
    ),
    "ivshmem-regions": (lambda: alone(shmem_regions_start=100), set()),
    "ivshmem-peers": (lambda: alone(shmem_peers=1), set()),
    "ivshmem-limit": (
        lambda: with_cell(
            lambda c: replace(
                more_memory(c, *[MemoryRegion()] * 15),
                pci_devices=(
                    replace(c.pci_devices[0], bdf=0x40, shmem_peers=13, shmem_regions_start=7),
                ),
            )
        ),
        set(),
    ),
    "ivshmem-output": (
        lambda: with_cell(lambda c: region(c, 2, flags=c.memory[2].flags | n.WRITE)),
        set(),
    ),
    "ivshmem-silent": (
        lambda: with_cell(lambda c: region(c, 3, flags=c.memory[3].flags & ~n.WRITE)),
        set(),
    ),
    "cpu-not-root": (
        lambda: with_cell(lambda c: replace(c, cpu_set=b"\x10" + bytes(7))),
        set(),
    ),
    "cpu-taken": (lambda: with_second(lambda c: replace(c, cpu_set=cell_value().cpu_set)), set()),
    "cpu-root-empty": (
        lambda: with_second(lambda c: replace(c, cpu_set=b"\x0d" + bytes(7))),
        set(),
    ),
    "interrupt-taken": (
        lambda: with_second(lambda c: replace(c, irqchips=cell_value().irqchips)),
        set(),
    ),
    "interrupt-chip": (
        lambda: with_second(
            lambda c: replace(c, irqchips=(replace(c.irqchips[0], address=0xFF84_1000),))
        ),
        set(),
    ),
    "pci-taken": (
        lambda: replace(
            with_cell(lambda c: replace(c, pci_devices=(*c.pci_devices, HOST_DEVICE))),
            inmates=(
                with_cell(lambda c: replace(c, pci_devices=(*c.pci_devices, HOST_DEVICE))).inmates[
                    0
                ],
                with_second(lambda c: replace(c, pci_devices=(HOST_DEVICE,))).inmates[1],
            ),
        ),
        set(),
    ),
    "ivshmem-id": (
        lambda: with_cell(
            lambda c: replace(
                region(
                    region(c, 2, flags=c.memory[2].flags | n.WRITE),
                    3,
                    flags=c.memory[3].flags & ~n.WRITE,
                ),
                pci_devices=(replace(c.pci_devices[0], shmem_dev_id=0),),
            )
        ),
        set(),
    ),
    "ivshmem-peers-differ": (
        lambda: with_cell(
            lambda c: replace(
                c,
                memory=(*c.memory[:4], MemoryRegion(), *c.memory[4:]),
                pci_devices=(replace(c.pci_devices[0], shmem_peers=3),),
            )
        ),
        set(),
    ),
    "ivshmem-regions-differ": (
        lambda: with_cell(lambda c: region(c, 3, phys_start=0x8130_0000)),
        set(),
    ),
    "name-taken": (lambda: with_second(lambda c: replace(c, name="freertos")), set()),
    "layout-mismatch": (lambda: with_cell(lambda c: c, revision=12), set()),
    "arch-mismatch": (
        lambda: replace(
            with_cell(lambda c: c, revision=14, arch="arm"),
            root=cell_file("cells/root.cell", root_value(), revision=14),
            inmates=with_cell(lambda c: c, revision=14, arch="arm").inmates[:1],
            module=file("jailhouse.ko", elf({".modinfo": b"name=x\0", ".rodata": b"JHSYS\0"})),
        ),
        {"mica-revision"},
    ),
    "mica-revision": (
        lambda: replace(
            with_cell(lambda c: c, revision=12),
            root=cell_file("cells/root.cell", root_value(), revision=12),
            inmates=with_cell(lambda c: c, revision=12).inmates[:1],
        ),
        set(),
    ),
    "memory-hypervisor": (
        lambda: with_cell(lambda c: region(c, 4, phys_start=0x8080_0000, size=0x80_0000)),
        set(),
    ),
    "memory-not-root": (
        lambda: with_cell(
            lambda c: more_memory(
                c, MemoryRegion(0xD000_0000, 1 << 40, 4096, n.READ | n.ROOTSHARED)
            )
        ),
        set(),
    ),
    "memory-partly-root": (
        lambda: with_cell(
            lambda c: more_memory(
                c, MemoryRegion(0xBFFF_F000, 1 << 40, 0x2000, n.READ | n.ROOTSHARED)
            )
        ),
        set(),
    ),
    "device-not-root": (
        lambda: with_cell(
            lambda c: more_memory(c, MemoryRegion(0x0B00_0000, 1 << 40, 4096, n.READ | n.IO))
        ),
        set(),
    ),
    "memory-taken": (lambda: with_second(lambda c: region(c, 0, phys_start=0x88FF_F000)), set()),
    "memory-shared": (over_shared, {"ivshmem-regions-differ"}),
    "memory-shared-unused": (shared_unused, set()),
    "memory-intercepted": (iommu_over_ram, set()),
    "memory-linux": (lambda: with_cell(lambda c: region(c, 4, phys_start=0x7000_0000)), set()),
    "hypervisor-linux": (
        lambda: with_root(
            lambda root: replace(root, hypervisor_memory=MemoryRegion(0x7F00_0000, 0, 0x100_0000))
        ),
        set(),
    ),
    "memory-beyond-ram": (lambda: replace(sound(), machine=machine(ram=0x4800_0000)), set()),
    "smp-few": (lambda: replace(sound(), machine=machine(cpus=2)), set()),
    "smp-many": (lambda: replace(sound(), machine=machine(cpus=8)), set()),
    "gic-version": (lambda: replace(sound(), machine=machine(gic_version=2)), set()),
    "gic-address": (lambda: replace(sound(), machine=machine(gic={"gicd": 0x1000})), set()),
    "no-virtualization": (lambda: replace(sound(), machine=machine(virtualization=False)), set()),
    "cpu-model": (lambda: replace(sound(), machine=machine(cpu_model="max,sve=off")), set()),
    "module-format": (lambda: replace(sound(), module=file("jailhouse.ko", b"text")), set()),
    "module-vermagic": (
        lambda: replace(sound(), kernel=file("boot/Image", kernel("6.6.0"))),
        set(),
    ),
    "module-directory": (
        lambda: replace(
            sound(), module=file("jailhouse.ko", module(RELEASE), "p/lib/modules/6.6.0/x.ko")
        ),
        set(),
    ),
    "module-signature": (
        lambda: replace(
            sound(),
            module=file("jailhouse.ko", elf({".modinfo": b"name=x\0", ".rodata": b"JHSYS\0"})),
        ),
        set(),
    ),
    "firmware-format": (lambda: replace(sound(), firmware=file("jailhouse.bin", b"JAILHO")), set()),
    "firmware-size": (
        lambda: replace(sound(), firmware=file("jailhouse.bin", firmware() + bytes(16 << 20))),
        set(),
    ),
    "hypervisor-capacity": (
        lambda: replace(sound(), firmware=file("jailhouse.bin", firmware(core=0xFF_8000))),
        set(),
    ),
    "version-differs": (
        lambda: replace(sound(), firmware=file("jailhouse.bin", firmware(version="v0.11"))),
        set(),
    ),
    "file-arch": (
        lambda: replace(sound(), tool=file("bin/jailhouse", elf({".text": b"1"}, machine=62))),
        set(),
    ),
    "image-empty": (lambda: with_image(b""), set()),
    "image-elf": (lambda: with_image(elf({".text": IMAGE}, kind=2, entry=0x1000)), set()),
    "image-address": (lambda: with_image(IMAGE, address=0x3100_2000), set()),
    "image-size": (lambda: with_image(IMAGE, address=0x400_0000 - 8), set()),
}


def found(given: SetInput) -> set[str]:
    return {finding.rule for finding in check_set(given)}


def test_the_sound_set_is_sound() -> None:
    assert check_set(sound()) == []


def test_every_rule_has_a_planted_defect() -> None:
    assert set(PLANTED) == set(RULES)


@pytest.mark.parametrize("rule", PLANTED)
def test_a_planted_defect_is_found_by_its_rule_alone(rule: str) -> None:
    plant, too = PLANTED[rule]
    findings = check_set(plant())
    assert {f.rule for f in findings} == {rule, *too}
    for finding in findings:
        assert finding.severity == RULES[finding.rule].severity
        assert finding.message and finding.where
        assert (
            finding.message[0].islower()
            or not finding.message[0].isalpha()
            or (finding.message.startswith(("CPU", "GIC")))
        )


@pytest.mark.parametrize("rule", RULES)
def test_explanations(rule: str) -> None:
    row = RULES[rule]
    for text in (row.means, row.happens, row.mend):
        assert text.endswith(".") and len(text) > 20
    assert row.title and not row.title.endswith(".")
    assert row.severity in ("error", "warning", "information")


def test_a_cell_as_root_and_a_root_as_cell() -> None:
    swapped = replace(
        sound(),
        root=cell_file("a.cell", second_value()),
        inmates=(replace(sound().inmates[0], cell=cell_file("b.cell", root_value())),),
    )
    messages = [f.message for f in check_set(swapped) if f.rule == "cell-format"]
    assert messages == [
        "found a non-root cell, expected a system configuration as root",
        "found a system configuration, expected a non-root cell",
    ]


def test_a_tool_that_loads_elf() -> None:
    loads = file("bin/jailhouse", tool(b"load elf data failed"))
    fits = replace(with_image(elf({".text": IMAGE}, kind=2, entry=0x1000)), tool=loads)
    assert found(fits) == set()
    outside = replace(with_image(elf({".text": IMAGE}, kind=2, entry=0x7000_0000)), tool=loads)
    assert found(outside) == {"image-address"}
    # Each segment counts, its zeroed memory included: the stack's lies outside here.
    two = bytearray(elf({".text": IMAGE}, kind=2, entry=0x1000))
    two[64 + 40 : 64 + 48] = (0x500_0000).to_bytes(8, "little")  # p_memsz
    bss = replace(with_image(bytes(two)), tool=loads)
    assert found(bss) == {"image-size"}
    beyond = replace(with_image(elf({".t": bytes(0x20000)}, kind=2, entry=0x3FF_0000)), tool=loads)
    assert found(beyond) == {"image-size"}


def test_what_is_not_known_is_not_looked_at() -> None:
    assert check_set(SetInput()) == []
    assert check_set(SetInput(inmates=sound().inmates)) == []
    assert check_set(replace(sound(), machine=None, arch=None, kernel=None, tool=None)) == []


def test_gicr_frames_are_counted_by_cpu() -> None:
    """Four CPUs have four frames of 128 KiB: the last one is as forbidden as the first."""
    frame = 0x080A_0000 + 3 * 0x2_0000
    inside = MemoryRegion(frame, 1 << 40, 4096, n.READ | n.IO)
    after = MemoryRegion(frame + 0x2_0000, 1 << 40, 4096, n.READ | n.IO)
    assert "memory-intercepted" in found(with_cell(lambda c: more_memory(c, inside)))
    assert "memory-intercepted" not in found(with_cell(lambda c: more_memory(c, after)))


def test_on_x86_no_flag_tells_a_device() -> None:
    """A PCI device's registers have no IO flag there; what is not executable is no RAM."""
    registers = MemoryRegion(0xFEBC_0000, 0xFEBC_0000, 0x2_0000, n.READ | n.WRITE)
    cell = more_memory(replace(cell_value(), irqchips=(), pci_devices=()), registers)
    root = replace(root_value(), arch="x86", platform=X86Platform())
    given = SetInput(
        root=FileInput("root.cell", Identity("root-cell", 0, detail=root)),
        inmates=(InmateInput(cell_file("cell.cell", cell)),),
    )
    assert found(given) == {"device-not-root"}
