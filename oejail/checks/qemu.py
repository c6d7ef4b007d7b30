# SPDX-License-Identifier: MIT
"""QEMU command lines: what machine one makes, and the one that a set of cells needs.

What is taken for granted of a machine (addresses, defaults) is QEMU's own documentation of `virt`,
`q35` and `pc`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from oejail.cells import Cell, RootCell
from oejail.cells.names import IO
from oejail.cells.regions import is_exclusive_ram, ivshmem_devices, ivshmem_regions
from oejail.cells.sizes import size_text
from oejail.checks.model import Machine, linux_ram
from oejail.checks.ranges import Range
from oejail.errors import UsageFault

if TYPE_CHECKING:
    from oejail.platforms import Platform

MIB = 1 << 20
_RAM_STEP = 256 * MIB
"""RAM that a set needs is rounded up to this."""

_ARCHES = {"aarch64": "arm64", "arm": "arm", "x86_64": "x86", "i386": "x86"}
_VIRT_RAM = 0x4000_0000
_VIRT_GIC = {
    2: {
        "gicd": 0x0800_0000,
        "gicc": 0x0801_0000,
        "gich": 0x0803_0000,
        "gicv": 0x0804_0000,
    },
    3: {"gicd": 0x0800_0000, "gicr": 0x080A_0000},
}
_SIZE = re.compile(r"(0[xX][0-9a-fA-F]+|[0-9]+)([kKmMgGtTpPeE]?)[bB]?")
_MEMMAP = re.compile(r"(.+?)\\?([$@#!])(.+)")
_EXPONENTS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a command line says, QEMU's defaults in place of what it does not; sizes in bytes."""

    arch: str | None = None
    type: str = ""
    """`virt`, `q35`, …, without the version in its name."""
    properties: dict[str, str] = field(default_factory=dict)
    """Of -machine."""
    cpu: str | None = None
    cpus: int = 1
    ram: int = 128 * MIB
    mem: int | None = None
    """The kernel's argument `mem=`."""
    memmap: tuple[Range, ...] = ()
    """Ranges that `memmap=SIZE$START` reserves."""

    @property
    def arm(self) -> bool:
        """The machine is no PC."""
        return self.arch in ("arm64", "arm") or self.type == "virt"

    def machine(self) -> Machine:
        """The machine that cells meet. What is not known of another machine type stays open."""
        banks: tuple[Range, ...] = ()
        if self.type == "virt":
            banks = (Range(_VIRT_RAM, _VIRT_RAM + self.ram),)
        elif self.type in ("q35", "pc"):
            banks = _pc_banks(self.type, self.ram)
        # The kernel knows memmap= on x86 alone; elsewhere the argument reserves nothing.
        reserved = () if self.arm else self.memmap
        because = [f"mem={size_text(self.mem)}"] if self.mem is not None else ["no mem="]
        ignored = ", which only x86 kernels obey" if self.arm else ""
        because += [f"memmap= reserves {span}{ignored}" for span in self.memmap]
        gic = self._gic()
        return Machine(
            name="QEMU",
            ram=banks,
            linux=linux_ram(banks, self.mem, reserved) if banks else None,
            linux_because=", ".join(because),
            cpus=self.cpus,
            cpu_model=self.cpu,
            virtualization=_on(self.properties, "virtualization") if self.type == "virt" else None,
            gic_version=gic,
            gic=_VIRT_GIC.get(gic, {}) if gic is not None else {},
        )

    def _gic(self) -> int | None:
        """2 is what `virt` has unless it is told otherwise."""
        if self.type != "virt":
            return None
        version = self.properties.get("gic-version", "2")
        return {"2": 2, "3": 3, "4": 3, "max": 3}.get(version)


def _on(properties: dict[str, str], name: str) -> bool:
    return properties.get(name, "off") in ("on", "true", "yes")


def _pc_banks(kind: str, ram: int) -> tuple[Range, ...]:
    """A PC's RAM: below 4 GiB as far as there is room, the rest from 4 GiB on."""
    low, high = (0x8000_0000, 0xB000_0000) if kind == "q35" else (0xC000_0000, 0xE000_0000)
    below = min(ram, low) if ram >= high else ram
    banks = [Range(0, below)]
    if ram > below:
        banks.append(Range(1 << 32, (1 << 32) + ram - below))
    return tuple(banks)


def parse(command: str) -> Options:
    """Read a command line as it would be given to a shell.

    `-machine`, `-cpu`, `-smp`, `-m` and, of the kernel's arguments in `-append`, `mem=` and
    `memmap=` are understood, everything else is passed over. Raises UsageFault for quotes that do
    not close and for values that QEMU would refuse.
    """
    try:
        words = shlex.split(command.replace("\\\n", " "))
    except ValueError as error:
        raise UsageFault(f"--qemu: {error}", hint="quote it as a shell would want it") from None
    options = Options()
    for word in words:
        if match := re.fullmatch(r"qemu-system-(\w+)", PurePath(word).name):
            options = replace(options, arch=_ARCHES.get(match[1]))
            break
    rest = iter(words)
    for word in rest:
        take = _TAKE.get(word.lstrip("-")) if word.startswith("-") else None
        if take is None:
            continue
        value = next(rest, None)
        if value is None:
            raise UsageFault(f"--qemu: {word} needs a value")
        options = take(options, value)
    if options.type == "virt" and options.cpu is None:
        options = replace(options, cpu="cortex-a15")
    return options


def _take_machine(options: Options, value: str) -> Options:
    kind, properties = options.type, dict(options.properties)
    for number, part in enumerate(value.split(",")):
        key, sign, text = part.partition("=")
        if number == 0 and not sign:
            kind = part
        elif key == "type":
            kind = text
        elif part:
            properties[key] = text if sign else "on"
    kind = re.sub(r"-\d+\.\d+$", "", kind).removeprefix("pc-")
    if kind == "i440fx":
        kind = "pc"
    return replace(options, type=kind, properties=properties)


def _take_smp(options: Options, value: str) -> Options:
    given: dict[str, int] = {}
    for part in value.split(","):
        key, sign, text = part.partition("=")
        key, text = (key, text) if sign else ("cpus", part)
        if not text.isdecimal() or len(text) > 6:
            raise UsageFault(f"--qemu: -smp {value}: {text!r} is no number")
        given[key] = int(text)
    cpus = given.get("cpus")
    if cpus is None:
        cpus = 1
        for key in ("drawers", "books", "sockets", "dies", "clusters", "cores", "threads"):
            cpus *= given.get(key, 1)
    return replace(options, cpus=cpus)


def _take_ram(options: Options, value: str) -> Options:
    parts = dict(p.partition("=")[::2] if "=" in p else ("size", p) for p in value.split(","))
    if "size" not in parts:
        return options
    text = parts["size"]
    return replace(options, ram=_size(f"-m {value}", text, 20 if text.isdecimal() else 0))


def _take_kernel_arguments(options: Options, value: str) -> Options:
    """As the kernel does: split at blanks outside double quotes; the last `mem=` counts."""
    mem, reserved = None, []
    for word in re.findall(r'(?:[^\s"]|"[^"]*")+', value):
        key, _, text = word.replace('"', "").partition("=")
        if key == "mem" and text[:1].isdecimal():
            mem = _size(f"mem={text}", text.partition("@")[0])
        elif key == "memmap":
            for item in text.split(","):
                match = _MEMMAP.fullmatch(item)
                if match and match[2] == "$":
                    start = _size(f"memmap={item}", match[3])
                    reserved.append(Range(start, start + _size(f"memmap={item}", match[1])))
    return replace(options, mem=mem, memmap=tuple(reserved))


def _size(what: str, text: str, exponent: int = 0) -> int:
    match = _SIZE.fullmatch(text)
    size = 0
    if match and len(text) < 32:
        digits, unit = match[1], match[2].lower()
        base = 16 if digits[:2].lower() == "0x" else 10
        size = int(digits, base) << (_EXPONENTS[unit] + exponent)
    if match is None or not 0 < size < 1 << 64:
        raise UsageFault(f"--qemu: {what}: {text!r} is no size")
    return size


_TAKE: dict[str, Callable[[Options, str], Options]] = {
    "machine": _take_machine,
    "M": _take_machine,
    "cpu": lambda options, value: replace(options, cpu=value),
    "smp": _take_smp,
    "m": _take_ram,
    "append": _take_kernel_arguments,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A QEMU machine for a set; sizes in bytes."""

    program: str
    machine: str
    cpu: str
    smp: int
    ram: int
    mem: int
    """What Linux may have: its argument `mem=`."""

    def arguments(self) -> list[str]:
        """For QEMU; `-append` has `mem=` alone."""
        return [
            *("-machine", self.machine, "-cpu", self.cpu, "-smp", str(self.smp)),
            *("-m", size_text(self.ram), "-append", f"mem={size_text(self.mem)}"),
        ]

    def line(self) -> str:
        """The command, as a shell wants it."""
        return shlex.join([self.program, *self.arguments()])


def plan(
    root: RootCell, cells: Sequence[Cell], platform: Platform, *, named: str | None = None
) -> Plan:
    """The machine that fits a root and its cells, on QEMU as the platform describes it.

    As many CPUs as the root's set reaches to, RAM for the hypervisor, each cell and the memory
    that they share, and for Linux what lies below all that is not Linux's. Where the platform's
    own values do, they are taken; its `mem=` is for the root that it names (`named`: a path).

    Raises UsageFault for a platform that QEMU does not stand in for, and where nothing is left for
    Linux.
    """
    qemu = platform.qemu
    if qemu is None:
        raise UsageFault(
            f"platform {platform.name} has no machine of QEMU's", hint="cell check --platform"
        )
    base = platform.ram[0].start
    exclusive = [r for cell in cells for r in cell.memory if is_exclusive_ram(r)]
    taken = [root.hypervisor_memory, *(r for r in exclusive if not r.flags & IO)]
    shared = [
        region
        for _, device in ivshmem_devices(root.cell)
        for region in ivshmem_regions(root.cell, device)
    ]
    lowest = min(region.phys_start for region in taken if region.size)
    below = [lowest - base]
    # Linux is to use no RAM but what the root's configuration gives it.
    first = [r for r in root.cell.memory if not r.flags & IO and r.phys_start <= base < r.phys_end]
    below += [region.phys_end - base for region in first]
    own = named is not None and PurePath(named).name.removesuffix(".cell") == platform.cells.root
    below += [qemu.mem] if own else []
    mem = min(below) // MIB * MIB
    if mem <= 0:
        raise UsageFault(
            f"nothing is left for Linux: {lowest:#x} is taken, RAM begins at {base:#x}"
        )
    need = max(region.phys_end for region in (*taken, *shared)) - base
    ram = qemu.ram if need <= qemu.ram else -(-need // _RAM_STEP) * _RAM_STEP
    program = {"arm64": "aarch64"}.get(platform.arch, platform.arch)
    return Plan(
        program=f"qemu-system-{program}",
        machine=qemu.machine,
        cpu=qemu.cpu,
        smp=max(root.cell.cpus, default=0) + 1,
        ram=ram,
        mem=mem,
    )
