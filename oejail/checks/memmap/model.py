# SPDX-License-Identifier: MIT
"""A memory map as values: one column an owner, one row a stretch of addresses.

The conflicts are those that the rules memory-hypervisor, memory-linux, hypervisor-linux,
memory-taken and memory-shared find, here with the addresses that two owners both have.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from oejail.cells import ArmPlatform, Cell, CellBody, MemoryRegion, RootCell
from oejail.cells.names import COMM_REGION, EXECUTE, IO, LOADABLE, ROOTSHARED
from oejail.cells.regions import ivshmem_devices
from oejail.checks.model import Machine
from oejail.errors import UsageFault

HYPERVISOR, LINUX, ROOT = "hypervisor", "linux", "root"
RAM, SHARED, DEVICE = "ram", "shared", "device"
KINDS = {
    HYPERVISOR: "the hypervisor's memory",
    LINUX: "Linux's RAM",
    ROOT: "RAM of the root that Linux does not use",
    RAM: "RAM of a cell alone",
    SHARED: "shared memory",
    DEVICE: "devices",
}
"""What a claim is: kind and what it is called in a legend."""

MAX_CLAIMS = 400
"""More cannot be drawn so that anybody could read it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """`start` to `end` (not included), physical, belong to the column `owner`."""

    start: int
    end: int
    owner: int
    kind: str
    label: str
    exclusive: bool = True
    section: bool = False
    """It is a section of one of the root's shared-memory links."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    @property
    def rank(self) -> tuple[int, int, int]:
        """Of two claims of one owner, the one with the greater rank lies on top.

        What Linux takes lies on what the root could give it, and devices and shared memory on
        both; else the smaller one is cut out of the larger.
        """
        level = {ROOT: 0, LINUX: 1}.get(self.kind, 2)
        return level, -self.size, self.start

    def clashes(self, other: Claim) -> bool:
        """Whether the two owners cannot both have the same memory."""
        if self.owner == other.owner:
            return False
        kinds = {self.kind, other.kind}
        if ROOT in kinds:
            return False
        if HYPERVISOR in kinds:
            return DEVICE not in kinds or LINUX not in kinds
        cells = [claim for claim in (self, other) if claim.owner > 1]
        if LINUX in kinds:
            return any(claim.kind == RAM and claim.exclusive for claim in cells)
        if len(cells) == 2:
            return self.exclusive or other.exclusive
        root_side = self if self.owner == 1 else other
        return root_side.section and any(claim.exclusive for claim in cells)


@dataclass(frozen=True, slots=True)
class Band:
    """A row: the claims that cover all of it; none: a gap."""

    start: int
    end: int
    claims: tuple[Claim, ...]
    conflict: bool = False
    ram: bool = False
    """The machine has RAM there."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Conflict:
    """Memory that two owners have and cannot both have."""

    start: int
    end: int
    first: Claim
    second: Claim


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """`columns` are the owners' names: hypervisor, Linux with its cell, then each cell."""

    columns: tuple[str, ...]
    bands: tuple[Band, ...]
    claims: tuple[Claim, ...]
    conflicts: tuple[Conflict, ...]
    machine: str
    """What limits Linux and RAM, in words; empty: not known."""

    def conflict_lines(self) -> list[str]:
        """`0x80000000-0x81000000: cell 'x', memory[4] RAM and hypervisor`, one a conflict."""
        return [
            f"{c.start:#x}-{c.end:#x}: {self._name(c.first)} and {self._name(c.second)}"
            for c in self.conflicts
        ]

    def _name(self, claim: Claim) -> str:
        label = f", memory{claim.label}" if claim.label.startswith("[") else ""
        return f"{self.columns[claim.owner]}{label}"


def memory_map(root: RootCell, cells: Sequence[Cell], machine: Machine | None = None) -> MemoryMap:
    """The map of a root and its cells; `machine` adds what Linux takes and where RAM is.

    UsageFault where there are more regions than a picture can show.
    """
    claims = list(_claims(root, cells, machine))
    if len(claims) > MAX_CLAIMS:
        raise UsageFault(f"{len(claims)} regions, more than the {MAX_CLAIMS} that a map can show")
    edges = sorted({edge for claim in claims for edge in (claim.start, claim.end)})
    rows: list[list[Claim]] = [[] for _ in edges[1:]]
    for claim in claims:
        for row in range(bisect_left(edges, claim.start), bisect_left(edges, claim.end)):
            rows[row].append(claim)
    bands, conflicts = [], dict[tuple[Claim, Claim], Conflict]()
    for (start, end), held in zip(pairwise(edges), rows, strict=True):
        found = [(a, b) for i, a in enumerate(held) for b in held[:i] if a.clashes(b)]
        for pair in found:
            known = conflicts.get(pair)
            conflicts[pair] = Conflict(known.start if known else start, end, *pair)
        ram = machine is not None and any(b.start <= start and end <= b.end for b in machine.ram)
        bands.append(Band(start, end, tuple(held), bool(found), ram))
    said = ""
    if machine is not None:
        said = ", ".join([machine.name, *([machine.linux_because] if machine.linux else [])])
    titles = ("hypervisor", f"Linux (root {root.name!r})", *(f"cell {c.name!r}" for c in cells))
    return MemoryMap(titles, tuple(bands), tuple(claims), tuple(conflicts.values()), said)


def _claims(root: RootCell, cells: Sequence[Cell], machine: Machine | None) -> Iterator[Claim]:
    memory = root.hypervisor_memory
    if memory.size:
        yield Claim(memory.phys_start, memory.phys_end, 0, HYPERVISOR, "hypervisor")
    arm = isinstance(root.platform, ArmPlatform)
    for span in machine.linux or () if machine else ():
        yield Claim(span.start, span.end, 1, LINUX, "Linux")
    sections = _sections(root.cell)
    for index, region in _backed(root.cell):
        section = sections.get(index, "")
        kind = SHARED if section else DEVICE if _is_device(region, arm) else ROOT
        yield Claim(
            region.phys_start,
            region.phys_end,
            1,
            kind,
            _label(index, kind, region, section),
            exclusive=False,
            section=bool(section),
        )
    for owner, cell in enumerate(cells, 2):
        sections = _sections(cell)
        for index, region in _backed(cell):
            shared = bool(region.flags & ROOTSHARED)
            device = _is_device(region, arm)
            kind = DEVICE if device else SHARED if shared else RAM
            label = _label(index, kind, region, sections.get(index, ""))
            yield Claim(region.phys_start, region.phys_end, owner, kind, label, not shared)


def _backed(body: CellBody) -> Iterator[tuple[int, MemoryRegion]]:
    """Regions that are somewhere in the machine: the communication region is the hypervisor's."""
    for index, region in enumerate(body.memory):
        if region.size and not region.flags & COMM_REGION:
            yield index, region


def _is_device(region: MemoryRegion, arm: bool) -> bool:
    # On x86 no flag tells devices from RAM; what holds code or is loaded is RAM there.
    return bool(region.flags & IO) if arm else not region.flags & (EXECUTE | LOADABLE)


def _sections(body: CellBody) -> dict[int, str]:
    """Region index to what it is to a shared-memory link."""
    parts: dict[int, str] = {}
    for _, device in ivshmem_devices(body):
        for number in range(2 + device.shmem_peers):
            part = ("state", "read/write")[number] if number < 2 else f"output {number - 2}"
            parts[device.shmem_regions_start + number] = f"{part} of {device.address[5:]}"
    return parts


def _label(index: int, kind: str, region: MemoryRegion, section: str) -> str:
    what = section or {DEVICE: "device", SHARED: "shared"}.get(kind, "RAM")
    moved = f" at {region.virt_start:#x}" if region.virt_start != region.phys_start else ""
    return f"[{index}] {what}{moved}"
