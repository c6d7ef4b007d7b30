# SPDX-License-Identifier: MIT
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oejail.cells import Cell, MemoryRegion, RootCell, decode, encode, shipped_names, to_dict
from oejail.cells import names as n
from oejail.cells.source import Source, build
from oejail.cells.sources import PREFIX, load
from oejail.cells.sourcetree import MAX_INCLUDES, SourceError
from oejail.errors import ConfigError, OejailError
from oejail.platforms import load as platform
from tests.support.cell_values import LAYOUTS, RECORDED, cells, roots


def of(files: Mapping[str, str], first: str = "a.yaml") -> Source:
    """The source `first` among these texts."""

    def read(name: str, by: str) -> tuple[str, bytes]:
        if name not in files:
            raise ConfigError(f"{name}: No such file or directory")
        return name, files[name].encode()

    return build(first, read)


def cell(text: str, **more: str) -> Cell:
    config = of(
        {"a.yaml": f"kind: cell\n{text}"} | {f"{k}.yaml": v for k, v in more.items()}
    ).config
    assert isinstance(config, Cell)
    return config


BOARD = """
board:
  arch: arm64
  gic: {version: 3, gicd: 0x8000000, gicr: 0x80a0000, maintenance: 25}
  console: {type: pl011, address: 0x9000000, size: 4K, flags: [MMIO]}
  regions:
    uart: {at: 0x9000000, size: 4K, flags: [READ, WRITE, IO]}
links:
  net: {pci: "0001:00:02.0", peers: 2, protocol: veth, at: 0x70000000, output: 64K}
"""


@pytest.mark.parametrize("key", RECORDED)
def test_shipped_sources_build_to_the_listed_digests(key: str) -> None:
    stem, _, revision = key.partition("@rev")
    data = load(f"{PREFIX}{stem}.yaml").encode(revision=int(revision))
    assert hashlib.sha256(data).hexdigest() == RECORDED[key]["sha256"]


def test_every_shipped_source_builds_in_every_layout() -> None:
    assert len(shipped_names()) == 9
    for name in shipped_names():
        for layout, revision in LAYOUTS:
            source = load(f"{PREFIX}{name}.yaml")
            assert source.arch == "arm64"
            assert decode(source.encode(layout, revision)).revision == revision


@pytest.mark.parametrize(
    ("board", "root"),
    [("qemu-aarch64", "qemu-arm64-openeuler-demo"), ("raspberrypi4-64", "rpi4")],
)
def test_shipped_roots_agree_with_the_platform_files(board: str, root: str) -> None:
    config, known = load(f"{PREFIX}{root}.yaml").config, platform(board)
    assert isinstance(config, RootCell)
    part: Any = config.platform
    assert part.gic_version == known.gic.version
    for name in ("gicd", "gicr") if known.gic.version == 3 else ("gicd", "gicc", "gich", "gicv"):
        assert getattr(part, f"{name}_base") == getattr(known.gic, name)
    assert config.debug_console.address == known.console.address
    assert n.CONSOLE_TYPES[config.debug_console.type] == known.console.type
    assert len(config.cell.cpus) == known.cpus


def test_regions_links_and_interrupts() -> None:
    built = cell(
        """
include: [board.yaml]
name: c
cpus: 1-2
console: board
interrupts: [33, 40-41, 200]
memory:
  - {phys: 2G, virt: 0, size: 64M, flags: [READ, WRITE, EXECUTE, LOADABLE]}
  - {link: net, id: 1, virt: 0x30000000}
  - {region: uart, flags: [READ, IO]}
  - {comm: 0x80000000}
  - {size: 0}
""",
        board=BOARD,
    )
    assert built.cpus == (1, 2)
    assert (built.console.type, built.console.address, built.console.size) == (3, 0x900_0000, 0)
    assert [(c.address, c.pin_base, c.interrupts) for c in built.irqchips] == [
        (0x800_0000, 32, (33, 40, 41)),
        (0x800_0000, 160, (200,)),
    ]
    shared = n.READ | n.ROOTSHARED
    assert built.memory[1:] == (
        MemoryRegion(0x7000_0000, 0x3000_0000, 0x1000, shared),
        MemoryRegion(),
        MemoryRegion(0x7000_1000, 0x3000_1000, 0x10000, shared),
        MemoryRegion(0x7001_1000, 0x3001_1000, 0x10000, shared | n.WRITE),
        MemoryRegion(0x900_0000, 0x900_0000, 0x1000, n.READ | n.IO),
        MemoryRegion(0, 0x8000_0000, 0x1000, n.READ | n.WRITE | n.COMM_REGION),
        MemoryRegion(),
    )
    [device] = built.pci_devices
    assert (device.address, device.type, device.shmem_protocol) == ("0001:00:02.0", n.IVSHMEM, 1)
    assert (device.shmem_regions_start, device.shmem_dev_id, device.shmem_peers) == (1, 1, 2)
    assert device.bar_mask[0] == 0xFFFF_F000


def test_both_sides_of_a_link_come_from_one_place() -> None:
    """Moved in one file, it moves for root and cell alike, and the set stays sound."""
    from dataclasses import replace

    from oejail.checks import check_set
    from tests.support.check_sets import cell_file, sound

    moved = BOARD.replace("0x70000000", "0x81800000")
    side = "include: [board.yaml]\nname: {0}\ncpus: {1}\nmemory:\n"
    ram = "  - {{at: {0}, size: {1}, flags: [READ, WRITE, EXECUTE, LOADABLE]}}\n"
    root_text = side.format("r", "0-1") + "  - {link: net, id: 0}\n" + ram.format("1G", "2G")
    root = of(
        {
            "board.yaml": moved,
            "a.yaml": "include: [board.yaml]\nkind: root\n"
            "hypervisor_memory: {phys: 2G, size: 4M}\ncell:\n"
            + root_text.replace("include: [board.yaml]\n", "")
            .replace("\n", "\n  ")
            .join(["  ", "\n"]),
        }
    ).config
    other = cell(
        side.format("c", 1)
        + "  - {link: net, id: 1}\n"
        + ram.format("0x88000000", "64M")
        + "  - {comm: 0x100000000}\ncpu_reset_address: 0x88000000",
        board=moved,
    )
    assert isinstance(root, RootCell)
    assert root.cell.memory[0].phys_start == other.memory[0].phys_start == 0x8180_0000
    assert root.cell.memory[2].flags == n.READ | n.WRITE
    given_set = sound()
    inmate = replace(given_set.inmates[0], cell=cell_file("c.cell", other), image=None)
    checked = replace(given_set, root=cell_file("r.cell", root), inmates=(inmate,), machine=None)
    assert check_set(checked) == []


def test_includes_merge_and_the_file_itself_wins() -> None:
    files = {
        "a.yaml": "include: [b.yaml, c.yaml]\nkind: cell\nname: a\nconsole: {type: 8250}\n",
        "b.yaml": "name: b\nid: 1\nconsole: {address: 16, divider: 1}\ncpus: [1, 2]\n",
        "c.yaml": "include: [d.yaml]\nid: 2\ncpus: [3]\n",
        "d.yaml": "vpci_irq_base: 7\nid: 9\n",
    }
    files["a.yaml"] = files["a.yaml"].replace("8250", '"8250"')
    built = of(files).config
    assert isinstance(built, Cell)
    assert (built.name, built.id, built.vpci_irq_base, built.cpus) == ("a", 2, 7, (3,))
    assert (built.console.type, built.console.address, built.console.divider) == (2, 16, 1)


def test_revision_and_layout_are_chosen_when_built() -> None:
    source = of({"a.yaml": "kind: cell\nname: x\nboard: {arch: arm64}"})
    assert decode(source.encode()).revision == 13
    assert decode(source.encode(revision=14)).arch == "arm64"
    assert decode(source.encode("openeuler", 14)).layout == "openeuler"
    assert decode(of({"a.yaml": "kind: cell\nname: x\nrevision: 12"}).encode()).revision == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: cel", "a.yaml:1:1: kind: found 'cel', expected cell or root"),
        ("name: x", "a.yaml:1:1: kind: found nothing, expected cell or root"),
        ("- 1", "a.yaml:1:1: source: found a list, expected a mapping"),
        ("kind: cell\nmemory:\n  - {phys: 64Q}", "a.yaml:3:6: memory[0].phys_start: found '64Q'"),
        (
            "kind: cell\nmemory:\n  - {sise: 1}",
            "a.yaml:3:6: memory[0].sise: found an unknown",
        ),
        ("kind: cell\nmemory:\n  - 7", "a.yaml:3:5: memory: found 7, expected a mapping"),
        ("kind: cell\nmemory: 7", "a.yaml:2:1: memory: found 7, expected a list"),
        (
            "kind: cell\nmemory:\n  - {size: 4K, flags: [READ, WRIT]}",
            "a.yaml:3:16: memory[0].flags: found ['READ', 'WRIT'], expected known names",
        ),
        ("kind: cell\ncpus: 3-1", "a.yaml:2:1: cpus: found '3-1', expected numbers and ranges"),
        ("kind: cell\ncpus: [64]", "a.yaml:2:1: cpus: found 64, expected 0 to 63"),
        ("kind: cell\nflags: 5G\nid: -1", "a.yaml:3:1: id: found -0x1, expected 0 to 0xffffffff"),
        (
            "kind: cell\nmemory:\n  - {phys: 1, phys_start: 1}",
            "a.yaml:3:6: memory.phys: ",
        ),
        ("kind: cell\nmemory:\n  - {region: uart}", "a.yaml:3:6: region 'uart': not in board.reg"),
        ("kind: cell\nmemory:\n  - {link: net, id: 0}", "a.yaml:3:6: link 'net': not in links"),
        ("kind: cell\nconsole: board", "a.yaml:2:1: console: board has none"),
        ("kind: cell\ninterrupts: [40]", "a.yaml:2:1: interrupts: the board names no board.gic"),
        (
            "kind: cell\ninterrupts: [40]\nirqchips: []",
            "a.yaml:2:1: interrupts: irqchips are given too",
        ),
        (
            "kind: cell\nboard: {gic: {gicd: 4096}}\ninterrupts: [31, 40]",
            "a.yaml:3:1: interrupts: 31 is a CPU's own",
        ),
        (
            "kind: cell\nboard: {gic: {gicd: 4096}}\ninterrupts: x",
            "a.yaml:3:1: interrupts: x is no number",
        ),
        ("kind: cell\nboard: {gik: {}}", "a.yaml:2:9: board.gik: unknown key; did you mean gic?"),
        ("kind: cell\nboard: {arch: mips}", "a.yaml:2:9: board.arch: found 'mips'"),
        ("kind: cell\nbord: {}", "a.yaml:2:1: bord: found an unknown field"),
        ("kind: root\ncell: {nam: x}", "a.yaml:2:8: cell.nam: found an unknown field"),
        ("kind: root\ncell: {id: -1}", "a.yaml:2:8: id: found -0x1"),
        ("kind: root\ncell: 4", "a.yaml:2:1: cell: found 4, expected a mapping"),
        ("kind: cell\nname: [", "a.yaml:2:8: YAML syntax"),
        ("kind: cell\nname: x\nname: y", "a.yaml:3:1: key 'name' again"),
        ("include: [b.yaml]\nkind: cell", "a.yaml:1:11: b.yaml: No such file or directory"),
        ("include: [7]\nkind: cell", "a.yaml:1:11: include: found 7, expected a file's name"),
        ("include: b.yaml\nkind: cell", "a.yaml:1:1: include: found 'b.yaml', expected a list"),
        ("include: [a.yaml]\nkind: cell", "a.yaml:1:11: include a.yaml: a circle, a.yaml inclu"),
        ("kind: cell\nrevision: 11", "layout: found upstream revision 11, expected one of"),
    ],
)
def test_errors_name_file_line_and_column(text: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        of({"a.yaml": text}).encode()
    shown = "; ".join([caught.value.message, caught.value.hint or ""])
    assert message in shown
    assert caught.value.place.startswith("a.yaml:")


LINK = """
links:
  net: {LINK}
kind: cell
memory:
  - {SIDE}
"""


@pytest.mark.parametrize(
    ("link", "side", "message"),
    [
        ("pci: '0:0.0', peers: 2", "link: net, id: 0", "a.yaml:3:3: links: at is missing in net"),
        ("pci: 'x', peers: 2, at: 0", "link: net, id: 0", "a.yaml:3:9: links.pci: found 'x'"),
        ("pci: 0:07.0, peers: 2, at: 0", "link: net, id: 0", "write it in quotes"),
        ("pci: '0:20.0', peers: 2, at: 0", "link: net, id: 0", "links.pci: found '0:20.0'"),
        ("pci: '0:0.0', peers: 999, at: 0", "link: net, id: 0", "links.peers: found 0x3e7"),
        ("pci: '0:0.0', peers: x, at: 0", "link: net, id: 0", "links.peers: 'x' is no size"),
        ("pci: '0:0.0', peers: 2, at: []", "link: net, id: 0", "links.at: found a list"),
        ("pci: '0:0.0', peers: 2, at: 0", "link: net", "a.yaml:6:5: memory: id is missing"),
        ("pci: '0:0.0', peers: 2, at: 0", "link: nett, id: 0", "did you mean net?"),
        ("pci: '0:0.0', peers: 2, at: 0", "link: net, ids: 0", "memory.ids: unknown key"),
        (
            "pci: '0:0.0', peers: 2, at: 0, x: 1",
            "link: net, id: 0",
            "pci_devices[0].x: found an",
        ),
    ],
)
def test_errors_of_links(link: str, side: str, message: str) -> None:
    text = LINK.replace("LINK", link).replace("SIDE", side)
    with pytest.raises(SourceError) as caught:
        of({"a.yaml": text})
    assert message in "; ".join([caught.value.message, caught.value.hint or ""])


def test_an_error_in_an_include_names_that_file() -> None:
    with pytest.raises(SourceError, match=r"^b\.yaml:2:3: memory\[0\]\.size: found 'x'"):
        of({"a.yaml": "include: [b.yaml]\nkind: cell", "b.yaml": "memory: [\n {size: x}]"})


def test_includes_are_limited() -> None:
    files = {f"{i}.yaml": "id: 1" for i in range(MAX_INCLUDES)}
    files["a.yaml"] = f"include: [{', '.join(files)}]\nkind: cell"
    with pytest.raises(SourceError, match=f"more than {MAX_INCLUDES} files"):
        of(files)
    # Each file twice the one below it: no bomb.
    bomb = {f"{i}.yaml": f"include: [{i + 1}.yaml, {i + 1}.yaml]" for i in range(20)}
    with pytest.raises(SourceError, match=f"more than {MAX_INCLUDES} files"):
        of(bomb | {"a.yaml": "include: [0.yaml]\nkind: cell", "20.yaml": "id: 1"})


def report(*configs: Cell | RootCell) -> str:
    views = [{"file": "x.cell", **to_dict(config)} for config in configs]
    return json.dumps({"schema_version": 1, "configurations": views}, indent=2)


@given(st.data(), st.sampled_from(LAYOUTS))
def test_what_show_prints_is_a_source(data: st.DataObject, layout: tuple[str, int]) -> None:
    for config in (data.draw(cells(*layout)), data.draw(roots(*layout))):
        raw = encode(config)
        assert of({"a.yaml": report(decode(raw, layout[0]))}).encode() == raw


def test_reports_that_are_no_source() -> None:
    one = load(f"{PREFIX}rpi4-zephyr.yaml").config
    with pytest.raises(SourceError, match="2 configurations, expected one"):
        of({"a.yaml": report(one, one)})
    with pytest.raises(SourceError, match="no configurations"):
        of({"a.yaml": '{"configurations": 7}'})
    wrong = report(one).replace('"cpu_reset_address": 2046820352', '"cpu_reset_address": "x"')
    with pytest.raises(SourceError, match=r"^a\.yaml:\d+:7: cpu_reset_address: found 'x'"):
        of({"a.yaml": wrong})


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_text_ends_in_a_value_or_an_error(data: bytes) -> None:
    try:
        source = build("a.yaml", lambda _name, _by: ("a.yaml", data))
        source.encode()
    except OejailError as error:
        assert error.exit_code == 2


KEYS = ["kind", "board", "links", "memory", "cell", "include", "pci_devices", "interrupts", "at"]
KEYS += ["link", "region", "id", "console", "platform", "gic", "gicd", "regions", "flags", "size"]
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["cell", "root", "64M", "board"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(KEYS), _values), st.sampled_from(["cell", "root"]))
def test_any_shape_ends_in_a_value_or_an_error(top: dict[str, Any], kind: str) -> None:
    text = json.dumps(top | {"kind": kind})
    try:
        of({"a.yaml": text}).encode()
    except OejailError as error:
        assert error.exit_code == 2


def test_files_beside_each_other(tmp_path: Path) -> None:
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards/common.yaml").write_text("include: [more.yaml]\ncpus: [1]")
    (tmp_path / "boards/more.yaml").write_text("id: 3")
    own = tmp_path / "own.yaml"
    own.write_text("include: [boards/common.yaml]\nkind: cell\nname: own")
    built = load(str(own)).config
    assert (built.name, isinstance(built, Cell) and built.id) == ("own", 3)


def test_a_shipped_source_as_the_base_of_an_own_one(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("include: ['oejail:qemu-arm64-freertos-demo.yaml']\ncpus: [2]\n")
    built = load(str(own)).config
    assert isinstance(built, Cell)
    assert (built.name, built.cpus, len(built.memory)) == ("freertos", (2,), 7)


@pytest.mark.parametrize("name", ["../out.yaml", "/etc/passwd", "oejail:../names.py", "link.yaml"])
def test_includes_stay_inside(tmp_path: Path, name: str) -> None:
    (tmp_path / "out.yaml").write_text("id: 3")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link.yaml").symlink_to("../out.yaml")
    own = tmp_path / "in/own.yaml"
    own.write_text(f"include: ['{name}']\nkind: cell")
    with pytest.raises(
        SourceError, match=r"own\.yaml:1:11: .*(leaves its directory|a link out of)"
    ):
        load(str(own))


def test_unreadable_sources(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file or directory"):
        load(str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match="not a regular file"):
        load(str(tmp_path))
    with pytest.raises(ConfigError, match=r"^oejail:nonesuch\.yaml: No such file"):
        load("oejail:nonesuch.yaml")
    assert load("-", b"kind: cell\nname: piped").config.name == "piped"
    with pytest.raises(SourceError, match=r"^standard input:1:1: "):
        load("-", b"kind: cel")
