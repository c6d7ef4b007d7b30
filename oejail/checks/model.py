# SPDX-License-Identifier: MIT
"""What is checked: the files that go on a target together, and the machine that they meet there.

Everything is a value. Files have been identified already (`artifacts.identify`); what is not
known is None, and rules that would need it do not look.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from oejail.artifacts.identify import Identity
from oejail.cells import ArmPlatform, Cell, CellBody, RootCell
from oejail.cells.sizes import size_text
from oejail.checks.ranges import Range, Union
from oejail.errors import UsageFault

if TYPE_CHECKING:
    from oejail.artifacts.model import Collection
    from oejail.platforms import Platform

_MODULE_DIRECTORY = r"(?:^|/)lib/modules/([^/]+)/"


@dataclass(frozen=True, slots=True)
class FileInput:
    """A file by the path that messages show. `origin` is where it came from, as far as known."""

    path: str
    identity: Identity
    origin: str = ""

    @property
    def root(self) -> RootCell | None:
        """The system configuration in it."""
        detail = self.identity.detail
        return detail if isinstance(detail, RootCell) else None

    @property
    def cell(self) -> Cell | None:
        """The non-root cell in it."""
        detail = self.identity.detail
        return detail if isinstance(detail, Cell) else None

    @property
    def body(self) -> CellBody | None:
        """The cell in it, a root's own cell included."""
        return self.root.cell if self.root else self.cell

    @property
    def release(self) -> str:
        """The kernel release of the directory that a module was installed in; empty: unknown."""
        match = re.search(_MODULE_DIRECTORY, self.origin)
        return match[1] if match else ""


@dataclass(frozen=True, slots=True)
class InmateInput:
    """A non-root cell and what is loaded into it, at `address` (None: see cells.load_address)."""

    cell: FileInput
    image: FileInput | None = None
    address: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The board, or QEMU, as the set meets it; None: not known."""

    name: str = "machine"
    ram: tuple[Range, ...] = ()
    """Empty: not known."""
    linux: tuple[Range, ...] | None = None
    """The RAM that Linux takes for itself (see `linux_ram`)."""
    linux_because: str = ""
    """What limits Linux: `mem=1G`, a reservation; for messages."""
    cpus: int | None = None
    cpu_model: str | None = None
    virtualization: bool | None = None
    gic_version: int | None = None
    gic: dict[str, int] = field(default_factory=dict)
    """Base addresses by name (gicd, gicr, …)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetInput:
    """The set: one root, its inmates, and the other files; None: not there, or not of interest."""

    root: FileInput | None = None
    inmates: tuple[InmateInput, ...] = ()
    others: tuple[FileInput, ...] = ()
    """Further cells that are packed: each is looked at alone."""
    module: FileInput | None = None
    firmware: FileInput | None = None
    tool: FileInput | None = None
    kernel: FileInput | None = None
    machine: Machine | None = None
    arch: str | None = None
    """The platform's architecture."""

    @property
    def root_config(self) -> RootCell | None:
        """The root, where there is one that can be read."""
        return self.root.root if self.root else None

    @property
    def cells(self) -> tuple[tuple[FileInput, Cell], ...]:
        """The inmates whose configuration can be read."""
        return tuple((i.cell, i.cell.cell) for i in self.inmates if i.cell.cell is not None)

    @property
    def configurations(self) -> tuple[FileInput, ...]:
        """Every configuration file: root, inmates, others."""
        first = (self.root,) if self.root else ()
        return (*first, *(inmate.cell for inmate in self.inmates), *self.others)


def linux_ram(
    ram: Iterable[Range], mem: int | None = None, reserved: Iterable[Range] = ()
) -> tuple[Range, ...]:
    """What Linux owns: the first `mem` bytes of RAM (the argument `mem=`) less what is reserved."""
    owned: list[Range] = []
    left = mem
    for bank in sorted(ram, key=lambda r: r.start):
        size = bank.end - bank.start if left is None else min(bank.end - bank.start, left)
        owned.append(Range(bank.start, bank.start + size))
        if left is not None:
            left -= size
    return Union(owned).without(reserved)


def machine_of(
    platform: Platform, mem: int | None = None, root: str | None = None, *, ram: int | None = None
) -> Machine:
    """The machine that a platform file describes; `mem` and `ram` (bytes) replace its QEMU's.

    The file's `mem=` is for the root configuration that it names: with another `root` (a path or
    file stem) and no `mem`, what Linux takes is not known.
    """
    qemu = platform.qemu
    own = root is None or PurePath(root).name.removesuffix(".cell") == platform.cells.root
    limit = qemu.mem if mem is None and qemu and own else mem
    banks = tuple(Range(span.start, span.start + span.size) for span in platform.ram)
    if ram is not None:
        banks = (Range(banks[0].start, banks[0].start + ram),)
    reserved = [Range(span.start, span.start + span.size) for span in platform.reservations]
    because = [f"mem={size_text(limit)}"] if limit is not None else []
    because += [f"reserved {span}" for span in reserved]
    known = limit is not None or qemu is None
    return Machine(
        name=f"platform {platform.name}",
        ram=banks,
        linux=linux_ram(banks, limit, reserved) if known else None,
        linux_because=", ".join(because) or "no mem=",
        cpus=qemu.smp if qemu else platform.cpus,
        cpu_model=qemu.cpu if qemu else None,
        gic_version=platform.gic.version,
        gic={
            name: getattr(platform.gic, name) for name in ("gicd", "gicc", "gich", "gicv", "gicr")
        },
    )


def board_of(root: RootCell | None, platform: str | None = None) -> Platform:
    """The platform that is named, else the one whose interrupt controller is where the root says.

    UsageFault where there is none.
    """
    from oejail.platforms import load, names

    if platform is not None:
        return load(platform)
    arm = root.platform if root else None
    gicd = arm.gicd_base if isinstance(arm, ArmPlatform) else None
    boards = [board for board in map(load, names()) if board.gic.gicd == gicd]
    if len(boards) != 1:
        at = "nowhere that is known" if gicd is None else f"at {gicd:#x}"
        raise UsageFault(
            f"the root's interrupt controller is {at}: {len(boards)} platforms have it there",
            hint=f"name one with --platform ({', '.join(names())})",
        )
    return boards[0]


def machine_from_options(
    board: Platform,
    root: str,
    *,
    mem: int | None = None,
    ram: int | None = None,
    cpus: int | None = None,
    gic: int | None = None,
) -> Machine:
    """The machine that options of a command line describe, the rest being the board's.

    `root` is the root configuration's path (see `machine_of`); sizes in bytes.
    """
    machine = machine_of(board, mem, root, ram=ram)
    return with_options(replace(machine, name=f"machine ({board.name})"), cpus=cpus, gic=gic)


def with_options(machine: Machine, *, cpus: int | None, gic: int | None) -> Machine:
    """The machine with other CPUs and another GIC, whose addresses are then not known."""
    if cpus is not None:
        machine = replace(machine, cpus=cpus)
    if gic is not None and gic != machine.gic_version:
        machine = replace(machine, gic_version=gic, gic={})
    return machine


def set_input(
    collection: Collection,
    identity_of: Callable[[str], Identity],
    *,
    machine: Machine | None = None,
    arch: str | None = None,
) -> SetInput:
    """The set of what `collect` left, or a bundle holds.

    `identity_of` gives the identity of a path relative to that directory (`payload/…`, `boot/…`).
    """
    seen: dict[str, FileInput] = {}

    def file(path: str) -> FileInput:
        if path not in seen:
            artifact = collection.find(path)
            origin = artifact.origin if artifact else ""
            seen[path] = FileInput(path, identity_of(path), origin)
        return seen[path]

    def only(kind: str, name: str = "") -> FileInput | None:
        paths = [a.path for a in collection.of_kind(kind)]
        named = [path for path in paths if path.rpartition("/")[2] == name]
        return file((named or paths)[0]) if paths else None

    chosen = collection.set
    root = file(f"payload/{chosen.root}")
    inmates = tuple(
        InmateInput(file(f"payload/{i.cell}"), file(f"payload/{i.image}"), i.address)
        for i in chosen.inmates
    )
    of_set = {root.path, *(inmate.cell.path for inmate in inmates)}
    return SetInput(
        root=root,
        inmates=inmates,
        others=tuple(
            file(a.path) for a in collection.of_kind("root-cell", "cell") if a.path not in of_set
        ),
        module=only("module"),
        firmware=only("firmware", "jailhouse.bin"),
        tool=only("tool"),
        kernel=only("kernel"),
        machine=machine,
        arch=arch,
    )
