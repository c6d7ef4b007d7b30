# SPDX-License-Identifier: MIT
"""What oejail knows of a board: the model of the files `platforms/<name>.yaml`.

All sizes and addresses are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from oejail.constraints import STRICT, Check, Matches, short

NAME = r"[A-Za-z0-9][A-Za-z0-9.+_-]*"

Name = Annotated[str, Matches(NAME, "a name (letters, digits, . + _ -)")]


def _whole(limit: int) -> Check:
    def check(value: int) -> str | None:
        return None if 0 <= value <= limit else f"{short(value)} is not from 0 to {limit:#x}"

    return Check(check)


Address = Annotated[int, _whole((1 << 64) - 1)]
Count = Annotated[int, _whole(1024)]


@dataclass(frozen=True)
class Features:
    """oebuild features that give Jailhouse, by the feature schema of the tree."""

    __pydantic_config__: ClassVar[Any] = STRICT

    v1: tuple[str, ...]
    """Flat `.oebuild/features/*.yaml`."""
    v2: tuple[str, ...]
    """`.oebuild/features/<category>/*.yaml`."""


@dataclass(frozen=True)
class PlatformCells:
    """Cells that the board's recipe installs, and the set that oejail takes by default."""

    __pydantic_config__: ClassVar[Any] = STRICT

    pattern: Annotated[str, Matches(r"[A-Za-z0-9.*?_+-]+", "a shell pattern of a file name")]
    """Shell pattern of the configurations' file names without `.cell`."""
    root: Name
    inmates: tuple[Name, ...] = ()


@dataclass(frozen=True)
class Span:
    """A range of physical memory, and why it stands here."""

    __pydantic_config__: ClassVar[Any] = STRICT

    start: Address
    size: Address
    what: str = ""


@dataclass(frozen=True)
class Gic:
    """The interrupt controller: base addresses, 0 where that version has none."""

    __pydantic_config__: ClassVar[Any] = STRICT

    version: Literal[2, 3]
    gicd: Address
    gicc: Address = 0
    gich: Address = 0
    gicv: Address = 0
    gicr: Address = 0


@dataclass(frozen=True)
class Console:
    """The UART that hypervisor, cells and Linux share."""

    __pydantic_config__: ClassVar[Any] = STRICT

    type: Literal["pl011", "8250"]
    address: Address


@dataclass(frozen=True)
class Qemu:
    """How QEMU stands in for the board."""

    __pydantic_config__: ClassVar[Any] = STRICT

    machine: str
    cpu: str
    smp: Count
    ram: Address
    """`-m`, bytes."""
    mem: Address
    """Linux's own share, the kernel argument `mem=`, bytes."""


@dataclass(frozen=True)
class Rtos:
    """One RTOS on this board. Without support, `reason` says why and the rest is empty."""

    __pydantic_config__: ClassVar[Any] = STRICT

    supported: bool
    reason: str = ""
    recipe: Name | None = None
    image: Name | None = None
    cell: Name | None = None
    expect: str | None = None


@dataclass(frozen=True)
class Platform:
    """A board."""

    __pydantic_config__: ClassVar[Any] = STRICT

    name: Annotated[str, Matches(r"[a-z0-9][a-z0-9_-]*", "a platform's name (a-z, 0-9, _ -)")]
    machine: Name
    """MACHINE, as the tree's platform file has it."""
    arch: Literal["arm64", "arm"]
    features: Features
    cells: PlatformCells
    image_names: tuple[Name, ...]
    """File names of the kernel image below tmp/deploy/images/<machine>, best first."""
    cpus: Count
    ram: tuple[Span, ...]
    gic: Gic
    console: Console
    reservations: tuple[Span, ...] = ()
    """What Linux does not own although `mem=` does not say so (device tree)."""
    qemu: Qemu | None = None
    rtos: Mapping[str, Rtos] = field(default_factory=dict)
