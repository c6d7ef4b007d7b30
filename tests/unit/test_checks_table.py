# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
from dataclasses import replace

import pytest

from oejail.cells import Cell, MemoryRegion, shipped
from oejail.checks import (
    RULES,
    FileInput,
    Finding,
    InmateInput,
    SetInput,
    any_fails,
    check_set,
    explain,
    from_dict,
)
from oejail.checks.finding import sort
from oejail.checks.model import machine_of
from oejail.checks.ranges import Range, Union
from oejail.checks.table import MAX_FINDINGS
from oejail.errors import UsageFault
from oejail.platforms import load
from tests.support.check_sets import (
    cell_file,
    cell_value,
    file,
    machine,
    sound,
    with_cell,
)


def several() -> SetInput:
    """One error, one warning, one information."""
    given = with_cell(lambda c: replace(c, trailing=b"x"), revision=12)
    root = cell_file("cells/root.cell", shipped("qemu-arm64-openeuler-demo"), revision=12)
    return replace(given, root=root, inmates=given.inmates[:1], machine=machine(cpus=8))


def test_worst_first() -> None:
    findings = check_set(several())
    assert [(f.severity, f.rule) for f in findings] == [
        ("error", "smp-many"),
        ("warning", "cell-trailing"),
        ("information", "mica-revision"),
    ]
    assert any_fails(findings)
    assert not any_fails(findings[1:])


def test_a_waived_finding_stays_and_fails_nothing() -> None:
    findings = check_set(several(), {"smp-many": "the board has a second cluster"})
    assert [f.rule for f in findings] == ["cell-trailing", "mica-revision", "smp-many"]
    assert findings[-1].waived == "the board has a second cluster"
    assert not any_fails(findings)
    assert findings[-1].line().endswith("[smp-many] (waived: the board has a second cluster)")


def test_waivers_name_rules_and_reasons() -> None:
    with pytest.raises(UsageFault, match="no rule 'smp-manny'") as caught:
        check_set(sound(), {"smp-manny": "because"})
    assert caught.value.hint == "nearest: smp-many"
    with pytest.raises(UsageFault, match="waiver of smp-many: no reason given"):
        check_set(sound(), {"smp-many": " "})


def test_findings_through_json() -> None:
    for finding in check_set(several(), {"smp-many": "known"}):
        assert from_dict(json.loads(json.dumps(finding.to_dict()))) == finding


def test_a_finding_is_one_printable_line() -> None:
    nasty = Finding("cell-name", "error", "the name 'a\x1b[31m\n'", "x\ny.cell")
    assert nasty.line() == "error: x\\ny.cell: the name 'a\\x1b[31m\\n' [cell-name]"


def test_order_within_a_severity_is_kept() -> None:
    findings = [Finding(str(i), s, "m", "w") for i, s in enumerate(["warning", "error"] * 3)]
    assert [f.rule for f in sort(findings)] == ["1", "3", "5", "0", "2", "4"]


def test_explain() -> None:
    text = explain("memory-hypervisor")
    assert text.startswith("memory-hypervisor (error): ")
    assert "On the target: " in text and "To mend it: " in text
    with pytest.raises(UsageFault, match="no rule 'nonesuch-at-all'"):
        explain("nonesuch-at-all")


def test_a_rule_stops_after_its_limit() -> None:
    """A hostile cell of 20 000 regions, each over the hypervisor, each over all others."""
    region = MemoryRegion(0x8000_0000, 0x8000_0000, 0x2000, 1 << 20)
    cell = replace(cell_value(), memory=(region,) * 20_000)
    given = replace(sound(), inmates=(InmateInput(cell_file("x.cell", cell)),))
    findings = check_set(given)
    flooded = [f for f in findings if f.rule == "memory-hypervisor"]
    assert len(flooded) == MAX_FINDINGS + 1
    assert flooded[-1].message == f"more than {MAX_FINDINGS} findings of this rule"
    assert len(findings) < MAX_FINDINGS * len(RULES)


@pytest.mark.parametrize(
    ("root", "inmates"),
    [
        ("qemu-arm64-openeuler-demo", ["qemu-arm64-freertos-demo"]),
        ("qemu-arm64-openeuler-demo", ["qemu-arm64-inmate-demo"]),
        ("qemu-arm64-mcs", ["qemu-arm64-zephyr-mcs-demo"]),
        ("rpi4", ["rpi4-zephyr"]),
        ("rpi4-mcs", ["rpi4-zephyr", "rpi4-linux"]),
    ],
)
@pytest.mark.parametrize("revision", [12, 13, 14])
@pytest.mark.parametrize("layout", ["upstream", "openeuler"])
def test_genuine_sets_give_no_error(
    root: str, inmates: list[str], revision: int, layout: str
) -> None:
    if (layout, revision) == ("openeuler", 12):
        layout = "upstream"  # the fork begins with revision 13

    def read(name: str) -> FileInput:
        config = shipped(name)
        return cell_file(f"{name}.cell", config, layout=layout, revision=revision, arch="arm64")

    given = SetInput(root=read(root), inmates=tuple(InmateInput(read(name)) for name in inmates))
    assert [f for f in check_set(given) if f.severity == "error"] == []


def test_layouts_that_read_alike_match_either_root() -> None:
    for layout in ("upstream", "openeuler"):
        root = cell_file("root.cell", shipped("qemu-arm64-openeuler-demo"), layout=layout)
        cell = cell_file("cell.cell", shipped("qemu-arm64-freertos-demo"), layout=layout)
        assert isinstance(cell.cell, Cell) and cell.cell.layout == "any"
        assert check_set(SetInput(root=root, inmates=(InmateInput(cell),))) == []


def test_the_forks_revision_14_does_not_match_upstreams() -> None:
    root = cell_file("root.cell", shipped("qemu-arm64-openeuler-demo"), revision=14)
    cell = cell_file(
        "cell.cell", shipped("qemu-arm64-freertos-demo"), layout="openeuler", revision=14
    )
    [finding] = [
        f
        for f in check_set(SetInput(root=root, inmates=(InmateInput(cell),)))
        if f.severity == "error"
    ]
    assert (finding.rule, finding.message) == (
        "layout-mismatch",
        "layout openeuler, the root has layout upstream",
    )


def test_the_release_of_a_modules_directory() -> None:
    for origin, release in [
        ("", ""),
        ("tmp/work/x/image/lib/modules/5.10.0/extra/driver/jailhouse.ko", "5.10.0"),
        ("lib/modules/6.6.0-a+b/x.ko", "6.6.0-a+b"),
        ("notlib/modules/6.6.0/x.ko", ""),
    ]:
        assert file("x", b"", origin).release == release


def test_the_machine_of_a_platform() -> None:
    platform = load("qemu-aarch64")
    machine = machine_of(platform)
    assert machine.linux == (Range(0x4000_0000, 0x8000_0000),)
    assert (machine.cpus, machine.gic_version, machine.cpu_model) == (4, 3, "cortex-a57")
    assert machine_of(platform, root="cells/qemu-arm64-openeuler-demo.cell") == machine
    # The platform's mem= is not for another root; Linux's share is then not known.
    assert machine_of(platform, root="cells/qemu-arm64-mcs.cell").linux is None
    given = machine_of(platform, 780 << 20, "cells/qemu-arm64-mcs.cell")
    assert given.linux == (Range(0x4000_0000, 0x70C0_0000),)
    board = machine_of(load("raspberrypi4-64"), root="cells/rpi4-mcs.cell")
    assert board.linux is not None
    assert not Union(board.linux).first_overlap(Range(0x1FC0_0000, 0x2000_0000))
