# SPDX-License-Identifier: MIT
from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oejail.cells import Cell, MemoryRegion, RootCell, shipped
from oejail.cells.sizes import size_text
from oejail.checks import InmateInput, SetInput, check_set
from oejail.checks.qemu import Options, Plan, parse, plan
from oejail.checks.ranges import Range
from oejail.errors import UsageFault
from oejail.platforms import load
from tests.support.check_sets import cell_file, sound
from tests.support.sound_plans import Plan as Planned
from tests.support.sound_plans import plans

GUIDE = (
    "qemu-system-aarch64 -machine virt,gic-version=3,virtualization=on,its=off -cpu cortex-a57 "
    '-nographic -smp 4 -m 2G -append "console=ttyAMA0 loglevel=8 mem=1G" -kernel zImage '
    "-initrd rootfs.cpio.gz"
)
GIB = 1 << 30


def test_the_guides_command_line() -> None:
    options = parse(GUIDE)
    assert (options.arch, options.type, options.cpu, options.cpus) == (
        "arm64",
        "virt",
        "cortex-a57",
        4,
    )
    assert (options.ram, options.mem) == (2 * GIB, GIB)
    machine = options.machine()
    assert machine.ram == (Range(0x4000_0000, 0xC000_0000),)
    assert machine.linux == (Range(0x4000_0000, 0x8000_0000),)
    assert (machine.cpus, machine.gic_version, machine.virtualization) == (4, 3, True)
    assert machine.gic == {"gicd": 0x0800_0000, "gicr": 0x080A_0000}
    assert check_set(replace(sound(), machine=machine)) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("mem=1G", ""), {"hypervisor-linux", "memory-linux"}),
        (("-m 2G", "-m 1G"), {"memory-beyond-ram"}),
        (("-m 2G", "-m 1025"), {"memory-beyond-ram"}),
        (("-smp 4", "-smp 8"), {"smp-many"}),
        (("-smp 4", "-smp 2"), {"smp-few"}),
        (("-smp 4", ""), {"smp-few"}),
        (("virtualization=on", "virtualization=off"), {"no-virtualization"}),
        (("virtualization=on,", ""), {"no-virtualization"}),
        (("cortex-a57", "max"), {"cpu-model"}),
        (("cortex-a57", "neoverse-n1"), {"cpu-model"}),
        (("-cpu cortex-a57", ""), {"cpu-model"}),
        (("gic-version=3,", ""), {"gic-version"}),
        (("gic-version=3", "gic-version=2"), {"gic-version"}),
        (("mem=1G", "memmap=2G\\$0x80000000"), {"hypervisor-linux", "memory-linux"}),
        (("-m 2G", "-m size=2G,slots=2"), set()),
        (("-smp 4", "-smp cpus=4,maxcpus=4"), set()),
        (("-smp 4", "-smp sockets=1,cores=2,threads=2"), set()),
        (("-machine", "-M"), set()),
        (("-machine", "--machine"), set()),
        (("virt,", "virt-7.2,"), set()),
        (("virt,", "type=virt,"), set()),
        (("gic-version=3", "gic-version=max"), set()),
        (("mem=1G", "mem=1048576K"), set()),
        (("mem=1G", "mem=2G mem=0x40000000"), set()),
    ],
)
def test_each_failure_of_a_command_line(change: tuple[str, str], found: set[str]) -> None:
    assert change[0] in GUIDE
    options = parse(GUIDE.replace(*change))
    given_set = replace(sound(), machine=options.machine(), arch=options.arch)
    assert {f.rule for f in check_set(given_set)} == found


def test_memmap_reserves_on_x86_alone() -> None:
    text = "-append 'memmap=82M$0x3a000000 memmap=1M@0x1000,64K$0x2000000'"
    options = parse(f"qemu-system-x86_64 -machine q35 -m 1G -smp 4 {text}")
    assert options.memmap == (Range(0x3A00_0000, 0x3F20_0000), Range(0x200_0000, 0x201_0000))
    machine = options.machine()
    assert machine.linux == (
        Range(0, 0x200_0000),
        Range(0x201_0000, 0x3A00_0000),
        Range(0x3F20_0000, 0x4000_0000),
    )
    arm = parse(f"qemu-system-aarch64 -machine virt -m 1G {text}").machine()
    assert arm.linux == (Range(0x4000_0000, 0x8000_0000),)
    assert "memmap= reserves 0x3a000000-0x3f200000, which only x86" in arm.linux_because


@pytest.mark.parametrize(
    ("words", "banks"),
    [
        ("-M pc -m 1G", (Range(0, GIB),)),
        ("-M pc-i440fx-7.2 -m 4G", (Range(0, 3 * GIB), Range(4 * GIB, 5 * GIB))),
        ("-M q35 -m 4G", (Range(0, 2 * GIB), Range(4 * GIB, 6 * GIB))),
        ("-M virt", (Range(GIB, GIB + (128 << 20)),)),
        ("-M raspi3b -m 1G", ()),
    ],
)
def test_ram_of_machines(words: str, banks: tuple[Range, ...]) -> None:
    machine = parse(words).machine()
    assert machine.ram == banks
    assert (machine.linux is None) == (not banks)


def test_what_is_said_twice_and_what_is_passed_over() -> None:
    options = parse("-machine virt -machine gic-version=3 -m 1G -m 2G -drive if=none,id=-m -foo")
    assert (options.type, options.properties, options.ram) == (
        "virt",
        {"gic-version": "3"},
        2 * GIB,
    )
    assert parse("") == Options()
    assert parse("-smp \\\n 3").cpus == 3
    assert parse("-append 'a=\"x mem=9\" mem=nopentium'").mem is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('-append "', "--qemu: No closing quotation"),
        ("-m", "--qemu: -m needs a value"),
        ("-m 2Q", "--qemu: -m 2Q: '2Q' is no size"),
        ("-m 0", "--qemu: -m 0: '0' is no size"),
        ("-m 99999999999999T", "is no size"),
        ("-smp x", "--qemu: -smp x: 'x' is no number"),
        ("-smp cores=-1", "'-1' is no number"),
        ("-append mem=1X", "--qemu: mem=1X: '1X' is no size"),
        ("-append memmap=1X$1", "is no size"),
    ],
)
def test_what_qemu_would_refuse(text: str, message: str) -> None:
    with pytest.raises(UsageFault) as caught:
        parse(text)
    assert message in caught.value.message


@given(st.text(max_size=60) | st.lists(st.sampled_from(GUIDE.split()), max_size=9).map(" ".join))
def test_any_command_line_ends_in_a_machine_or_an_error(text: str) -> None:
    with contextlib.suppress(UsageFault):
        parse(text).machine()


def pair(root: str, *cells: str) -> tuple[RootCell, list[Cell]]:
    first, rest = shipped(root), [shipped(name) for name in cells]
    assert isinstance(first, RootCell)
    return first, [cell for cell in rest if isinstance(cell, Cell)]


@pytest.mark.parametrize(
    ("root", "cells", "mem"),
    [
        ("qemu-arm64-openeuler-demo", ["qemu-arm64-freertos-demo"], "1G"),
        ("qemu-arm64-openeuler-demo", ["qemu-arm64-inmate-demo"], "1018M"),
        ("qemu-arm64-mcs", ["qemu-arm64-zephyr-mcs-demo"], "928M"),
        ("qemu-arm64-mcs", [], "1018M"),
    ],
)
def test_the_machine_that_a_genuine_set_needs(root: str, cells: list[str], mem: str) -> None:
    found = plan(*pair(root, *cells), load("qemu-aarch64"), named=f"x/{root}.cell")
    assert found.line() == (
        "qemu-system-aarch64 -machine virt,gic-version=3,virtualization=on,its=off "
        f"-cpu cortex-a57 -smp 4 -m 2G -append mem={mem}"
    )


def test_more_ram_where_the_set_needs_it() -> None:
    root, [cell] = pair("qemu-arm64-openeuler-demo", "qemu-arm64-freertos-demo")
    high = replace(cell, memory=(MemoryRegion(0xC000_0000, 0, 1 << 20, 0x47),))
    assert plan(root, [high], load("qemu-aarch64")).ram == 2 * GIB + (256 << 20)


def test_no_machine() -> None:
    with pytest.raises(UsageFault, match=r"raspberrypi4-64 has no machine of QEMU's"):
        plan(*pair("rpi4"), load("raspberrypi4-64"))
    root, [cell] = pair("qemu-arm64-openeuler-demo", "qemu-arm64-freertos-demo")
    low = replace(cell, memory=(MemoryRegion(0x4000_0000, 0, 1 << 20, 0x47),))
    with pytest.raises(UsageFault, match="nothing is left for Linux: 0x40000000 is taken"):
        plan(root, [low], load("qemu-aarch64"))


@given(plans())
def test_the_planned_machine_fits(planned: Planned) -> None:
    """Any sound set: what `plan` says, given to `check --qemu`, finds nothing."""
    found = plan(planned.root, planned.cells, load("qemu-aarch64"))
    given_set = SetInput(
        root=cell_file("root.cell", planned.root),
        inmates=tuple(InmateInput(cell_file(f"{c.name}.cell", c)) for c in planned.cells),
        machine=parse(found.line()).machine(),
    )
    assert [f for f in check_set(given_set) if f.severity == "error"] == []


@pytest.mark.parametrize(
    ("size", "text"), [(2 * GIB, "2G"), (780 << 20, "780M"), (4096, "4K"), (5, "5"), (0, "0")]
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text
    if size:
        assert parse(Plan("qemu", "virt", "cortex-a57", 1, size, size).line()).mem == size
