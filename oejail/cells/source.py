# SPDX-License-Identifier: MIT
"""A cell source: what a person writes, turned into a configuration.

The fields are those of `cell show --json` (see `jsonview`), and beside them what saves counting:

- `board:` (as a rule from an include): `arch`, `gic`, `console`, `regions` by name;
- `links:`: shared memory, declared once for all sides: `pci`, `peers`, `at`, the sizes `state`,
  `read_write`, `output`, and any field of a PCI device;
- in `memory:`, `{link: NAME, id: N}` stands for all regions of a link and for its PCI device,
  `{region: NAME}` for a region of the board, `{comm: ADDRESS}` for the communication region;
  `at` is `phys` and `virt` in one;
- `interrupts:` are numbers, and ranges of them, of the board's GIC.

Nothing here reads a file: see `sources` for that.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from oejail.cells import names
from oejail.cells.encode import encode
from oejail.cells.errors import CellFormatError
from oejail.cells.jsonview import from_dict, numbers
from oejail.cells.layouts import ARCHITECTURES
from oejail.cells.model import Cell, RootCell
from oejail.cells.sizes import parse_size
from oejail.cells.sourcetree import Node, Reader, SourceError, kind_of, merge, parse, read

DEFAULT_REVISION = 13
"""Of a source that names none: the one that openEuler's driver and MICA read."""

PINS = 128
"""Interrupts that one entry of a configuration describes."""
FIRST_SHARED = 32
"""The first interrupt of a GIC that is not a CPU's own."""

_PCI = re.compile(r"(?:([0-9a-fA-F]{1,4}):)?([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2})\.([0-7])")
_LINK_KEYS = ("pci", "peers", "protocol", "at", "state", "read_write", "output")
_BOARD_KEYS = ("arch", "gic", "console", "regions")
_GIC_KEYS = ("version", "maintenance", "gicd", "gicc", "gich", "gicv", "gicr")
_INTX_BARS = (0xFFFF_F000, 0, 0, 0, 0, 0)
"""A shared-memory device without MSI-X has one BAR, of a page of registers."""


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration as its source gives it, and the parts that errors point into."""

    config: Cell | RootCell
    arch: str | None
    """The board's, for layouts that name one."""
    tree: Node

    def encode(self, layout: str | None = None, revision: int | None = None) -> bytes:
        """The bytes in the layout that is asked for, else the source's own.

        Raises SourceError, with the place in the source, for a value that does not fit.
        """
        try:
            return encode(self.config, layout=layout, revision=revision, arch=self.arch)
        except CellFormatError as error:
            raise _placed(error, self.tree) from None


def build(name: str, read_file: Reader) -> Source:
    """The configuration that the source `name` describes; `read_file` gives it and its includes.

    What `cell show --json` printed for one file is a source as well. Raises SourceError, or
    ConfigError with several errors, each with file, line and column.
    """
    report = _report(*read_file(name, ""))
    if report is not None:
        return report
    expander = _Expander(read(name, read_file))
    tree = expander.top()
    try:
        config = from_dict(tree.plain())
    except CellFormatError as error:
        raise _placed(error, tree) from None
    return Source(config, config.arch or expander.arch(), tree)


def _placed(error: CellFormatError, tree: Node) -> SourceError:
    """The error with the place of its field: a root's own cell is a part of the source's."""
    inner = tree.value.get("cell") if isinstance(tree.value, dict) else None
    place = tree.place_of(error.field)
    if place == tree.place and inner is not None:
        place = inner.place_of(error.field)
    return SourceError(
        place, f"{error.field}: found {error.found}, expected {error.expected}", hint=error.hint
    )


def _report(shown: str, data: bytes) -> Source | None:
    """The one configuration of a report of `cell show --json`; None for any other text.

    json reads a report at once; only a defect is worth looking for with places.
    """
    if not data.lstrip().startswith(b"{"):
        return None
    try:
        report = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(report, dict) or "configurations" not in report:
        return None
    views = report["configurations"]
    if not isinstance(views, list) or len(views) != 1 or not isinstance(views[0], dict):
        count = len(views) if isinstance(views, list) else "no"
        raise SourceError(
            f"{shown}:1:1",
            f"{count} configurations, expected one",
            hint="oejail cell show --json FILE of a single file",
        )
    view = {key: value for key, value in views[0].items() if key != "file"}
    try:
        config = from_dict(view)
    except CellFormatError as error:
        placed = parse(data, shown).value["configurations"].value[0]
        raise _placed(error, placed) from None
    return Source(config, config.arch, Node({}, f"{shown}:1:1"))


class _Expander:
    """From what people write to the fields of `jsonview`, each part keeping its place."""

    def __init__(self, tree: Node) -> None:
        self.tree = tree
        self.given = tree.mapping("source")
        empty = Node({}, tree.place)
        board = self.given.pop("board", empty)
        self.board = self.known(board, "board", _BOARD_KEYS)
        self.gic = self.known(self.board.get("gic", empty), "board.gic", _GIC_KEYS)
        self.regions = self.board.get("regions", empty).mapping("board.regions")
        self.links = self.given.pop("links", empty).mapping("links")

    @staticmethod
    def known(node: Node, what: str, keys: Iterable[str]) -> dict[str, Node]:
        """A mapping that has no other keys than these."""
        parts = node.mapping(what)
        for key, part in parts.items():
            if key not in keys:
                near = difflib.get_close_matches(key, keys, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(keys)}"
                part.fault(f"{what}.{key}: unknown key", hint=hint)
        return parts

    def top(self) -> Node:
        given = self.given
        kind = given.get("kind", Node(None, self.tree.place))
        if kind.value not in ("cell", "root"):
            kind.fault(f"kind: found {kind_of(kind.value)}, expected cell or root")
        given.setdefault("revision", self.at(kind, DEFAULT_REVISION))
        if kind.value == "cell":
            body = self.body(given, Node(given, self.tree.place), root=False)
            return Node(body, self.tree.place)
        if "arch" in self.board:
            given.setdefault("arch", self.board["arch"])
        if "console" in self.board:
            given.setdefault("debug_console", self.board["console"])
        if self.gic:
            given["platform"] = merge(self.platform(), given.get("platform", Node({}, kind.place)))
        if "hypervisor_memory" in given:
            given["hypervisor_memory"] = self.region(given["hypervisor_memory"])
        cell = given.get("cell", Node({}, kind.place))
        given["cell"] = Node(self.body(cell.mapping("cell"), cell, root=True), cell.place)
        return Node(given, self.tree.place)

    def arch(self) -> str | None:
        """The board's architecture."""
        arch = self.board.get("arch")
        if arch is None:
            return None
        if arch.value not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            arch.fault(f"board.arch: found {kind_of(arch.value)}, expected one of {known}")
        return str(arch.value)

    @staticmethod
    def at(node: Node, value: Any) -> Node:
        """Something that a part of the source stands for, at that part's place."""
        return Node(value, node.place)

    def platform(self) -> Node:
        """The GIC as a root's platform part."""
        fields = {"version": "gic_version", "maintenance": "maintenance_irq"}
        place = self.board["gic"]
        parts = {fields.get(key, f"{key}_base"): node for key, node in self.gic.items()}
        return Node({"arch": self.at(place, "arm"), **parts}, place.place)

    def body(self, given: dict[str, Node], where: Node, *, root: bool) -> dict[str, Node]:
        """The fields of a cell, or of a root's own cell."""
        regions: list[Node] = []
        devices = list(given["pci_devices"].items("pci_devices")) if "pci_devices" in given else []
        for entry in given["memory"].items("memory") if "memory" in given else ():
            parts = entry.mapping("memory")
            if "link" in parts:
                sections, device = self.link(entry, parts, len(regions), root)
                regions += sections
                devices.append(device)
            else:
                regions.append(self.region(entry))
        if "memory" in given:
            given["memory"] = self.at(given["memory"], regions)
        if devices:
            place = given.get("pci_devices", given.get("memory", where))
            given["pci_devices"] = self.at(place, devices)
        if "interrupts" in given:
            interrupts = given.pop("interrupts")
            if "irqchips" in given:
                interrupts.fault("interrupts: irqchips are given too", hint="write one of the two")
            given["irqchips"] = self.chips(interrupts)
        console = given.get("console")
        if console is not None and console.value == "board":
            given["console"] = self.console(console)
        return given

    def console(self, said: Node) -> Node:
        """The board's console as a cell's: its size is the hypervisor's business."""
        if "console" not in self.board:
            said.fault("console: board has none", hint="write board.console, or the console here")
        parts = self.board["console"].mapping("board.console")
        parts.pop("size", None)
        return self.at(said, parts)

    def region(self, entry: Node) -> Node:
        """A memory region, with the board's under it and its addresses spelt out."""
        parts = entry.mapping("memory")
        if "comm" in parts:
            return self.comm(entry, parts)
        if "region" in parts:
            name = parts.pop("region")
            base = self.named(name, self.regions, "region", "board.regions")
            parts = merge(base, Node(parts, entry.place)).mapping("memory")
        if "at" in parts:
            both = parts.pop("at")
            parts.setdefault("phys", both)
            parts.setdefault("virt", both)
        for short, long in (("phys", "phys_start"), ("virt", "virt_start")):
            if short in parts:
                if long in parts:
                    parts[short].fault(f"memory.{short}: {long} is given too")
                parts[long] = parts.pop(short)
        return Node(parts, entry.place)

    def comm(self, entry: Node, parts: dict[str, Node]) -> Node:
        """The communication region: one page that the hypervisor provides."""
        address = parts.pop("comm")
        flags = [self.at(entry, name) for name in ("READ", "WRITE", "COMM_REGION")]
        region = {"virt_start": address, "size": self.at(entry, 4096)}
        region["flags"] = self.at(entry, flags)
        return Node(region | parts, entry.place)

    @staticmethod
    def named(said: Node, table: Mapping[str, Node], what: str, where: str) -> Node:
        name = said.value
        if not isinstance(name, str) or name not in table:
            near = difflib.get_close_matches(str(name), table, 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(table) or 'none'}"
            said.fault(f"{what} {kind_of(name)}: not in {where}", hint=hint)
        return table[name]

    @staticmethod
    def number(node: Node, what: str, limit: int = (1 << 64) - 1) -> int:
        value = node.value
        if isinstance(value, str):
            try:
                value = parse_size(value)
            except ValueError as error:
                node.fault(f"{what}: {error}")
        if isinstance(value, bool) or not isinstance(value, int):
            node.fault(f"{what}: found {kind_of(node.value)}, expected a number")
        if not 0 <= value <= limit:
            node.fault(f"{what}: found {value:#x}, expected 0 to {limit:#x}")
        return value

    def link(
        self, entry: Node, parts: dict[str, Node], first: int, root: bool
    ) -> tuple[list[Node], Node]:
        """The regions of one side of a link, from memory[first] on, and its PCI device."""
        side = self.known(entry, "memory", ("link", "id", "virt"))
        link = self.named(parts["link"], self.links, "link", "links")
        given = link.mapping("link")
        for key in ("pci", "peers", "at"):
            if key not in given:
                link.fault(f"links: {key} is missing in {parts['link'].value}")
        peers = self.number(given["peers"], "links.peers", 255)
        if "id" not in side:
            entry.fault(f"memory: id is missing: which of the {peers} sides of the link is this?")
        own = self.number(side["id"], "memory.id", 255)
        start = self.number(given["at"], "links.at")
        shift = self.number(side["virt"], "memory.virt") - start if "virt" in side else 0
        zero = self.at(link, 0)
        sizes = [
            self.number(given.get("state", self.at(link, 4096)), "links.state"),
            self.number(given.get("read_write", zero), "links.read_write"),
        ]
        sizes += [self.number(given.get("output", zero), "links.output")] * peers
        regions = []
        for number, size in enumerate(sizes):
            flags = ["READ"]
            if number == 1 or number - 2 == own:
                flags.append("WRITE")
            if not root:
                flags.append("ROOTSHARED")
            values = {"phys_start": start, "virt_start": start + shift, "size": size}
            region = {key: self.at(entry, value) for key, value in values.items()}
            region["flags"] = self.at(entry, [self.at(entry, flag) for flag in flags])
            regions.append(Node(region if size else {}, entry.place))
            start += size
        return regions, self.device(entry, given, first, own, peers)

    def device(self, entry: Node, given: dict[str, Node], first: int, own: int, peers: int) -> Node:
        """A link's PCI device; fields of its own that the link names win."""
        text = given["pci"].value
        match = _PCI.fullmatch(text) if isinstance(text, str) else None
        if match is None or int(match[3], 16) > 31:
            given["pci"].fault(
                f"links.pci: found {kind_of(text)}, expected an address like '0001:00:07.0'",
                hint="write it in quotes",
            )
        domain, bus, device, function = (int(part or "0", 16) for part in match.groups())
        values: dict[str, Any] = {
            "type": names.IVSHMEM,
            "domain": domain,
            "bdf": bus << 8 | device << 3 | function,
            "shmem_regions_start": first,
            "shmem_dev_id": own,
            "shmem_peers": peers,
        }
        parts = {key: self.at(entry, value) for key, value in values.items()}
        parts["bar_mask"] = self.at(entry, [self.at(entry, mask) for mask in _INTX_BARS])
        if "protocol" in given:
            parts["shmem_protocol"] = given["protocol"]
        own_fields = {key: node for key, node in given.items() if key not in _LINK_KEYS}
        return Node(parts | own_fields, entry.place)

    def chips(self, interrupts: Node) -> Node:
        """Interrupt numbers as entries of 128 pins each, of the board's GIC."""
        if "gicd" not in self.gic:
            interrupts.fault(
                "interrupts: the board names no board.gic.gicd",
                hint="name it, or write irqchips with address, pin_base and interrupts",
            )
        try:
            wanted = numbers(interrupts.plain())
        except ValueError as error:
            interrupts.fault(f"interrupts: {error}")
        if wanted and wanted[0] < FIRST_SHARED:
            interrupts.fault(
                f"interrupts: {wanted[0]} is a CPU's own, shared ones begin at {FIRST_SHARED}"
            )
        chips = []
        for base in sorted({number - (number - FIRST_SHARED) % PINS for number in wanted}):
            pins = [self.at(interrupts, n) for n in wanted if base <= n < base + PINS]
            chip = {"pin_base": self.at(interrupts, base), "interrupts": self.at(interrupts, pins)}
            chips.append(Node({"address": self.gic["gicd"], **chip}, interrupts.place))
        return self.at(interrupts, chips)
