# SPDX-License-Identifier: MIT
"""ELF files: what the kernel module, the tool and images are, read within limits.

pyelftools knows the structures; the walk over them is ours, because its own builds whatever a
section header promises (hash tables, decompressed sections) and a hostile file promises much.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO

from oejail.errors import ConfigError

MAX_FILE = 64 << 20
"""Bytes of an ELF file that is read; an unstripped jailhouse.ko has less than one MiB."""
MAX_SECTIONS = 4096
MAX_SEGMENTS = 256
MAX_MODINFO = 64 << 10

SAMPLE_MARK = b"OEJAIL SAMPLE, NOT JAILHOUSE"
"""The text in firmware, module and tool of the sample tree."""
_TOOL_MARK = b"/dev/jailhouse"
_LOADS_ELF = b"load elf data failed"
"""A message of the tool that openEuler's patch for ELF loading brings."""

_MACHINES = {
    "EM_AARCH64": "arm64",
    "EM_ARM": "arm",
    "EM_X86_64": "x86",
    "EM_386": "x86",
}
_SIGNATURES = re.compile(rb"JHSYST?|JHCELL|JHCLL")


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the file that is loaded: addresses and sizes in bytes."""

    address: int
    physical: int
    file_size: int
    memory_size: int


@dataclass(frozen=True, slots=True)
class Elf:
    """The header of an ELF file and where its sections are."""

    arch: str
    """`arm64`, `arm`, `x86`, or what the ELF standard calls another machine."""
    bits: int
    type: str
    """`relocatable`, `executable`, `shared` (also position-independent programs), else the raw
    name."""
    entry: int
    interpreter: bool
    """The program needs a dynamic loader."""
    segments: tuple[Segment, ...]
    sections: dict[str, tuple[int, int]]
    """Name to offset and size, inside the file."""

    @property
    def static(self) -> bool:
        """A program that runs without a dynamic loader."""
        return self.type in ("executable", "shared") and not self.interpreter and self.entry != 0


@dataclass(frozen=True, slots=True)
class Module:
    """A kernel module's .modinfo and what its other bytes tell."""

    arch: str
    name: str
    version: str
    vermagic: str
    firmware: tuple[str, ...]
    signatures: tuple[str, ...]
    """Which of JHSYST, JHSYS, JHCELL, JHCLL occur: what the driver accepts (see `cells.layouts`).
    """

    @property
    def release(self) -> str:
        """The kernel release that the module was built for; empty when unknown."""
        return self.vermagic.split(" ", 1)[0]


@dataclass(frozen=True, slots=True)
class Program:
    """An executable or object file that is no kernel module."""

    elf: Elf
    jailhouse_tool: bool
    """It opens /dev/jailhouse."""
    loads_elf: bool
    """It is a `jailhouse` tool that can load ELF images."""


def parse_elf(data: bytes, where: object = "ELF file") -> Elf:
    """Header, loaded segments and section table of an ELF file.

    Raises ConfigError for anything malformed: no exception of the library gets out.
    """
    from elftools.elf.elffile import ELFFile

    try:
        stream = BytesIO(data)
        return _walk(ELFFile(stream), data, where)
    except ConfigError:
        raise
    except Exception as error:  # a hostile file makes pyelftools raise nearly anything
        raise ConfigError(f"{where}: malformed ELF file: {type(error).__name__}: {error}") from None


def _walk(file: object, data: bytes, where: object) -> Elf:
    from elftools.common.utils import struct_parse
    from elftools.elf.elffile import ELFFile

    assert isinstance(file, ELFFile)
    header, structs, stream = file.header, file.structs, file.stream
    count, strings = header["e_shnum"], header["e_shstrndx"]
    if header["e_shoff"] == 0:
        count = 0
    if count > MAX_SECTIONS or header["e_phnum"] > MAX_SEGMENTS:
        raise ConfigError(
            f"{where}: {count} sections and {header['e_phnum']} segments, more than the limits "
            f"of {MAX_SECTIONS} and {MAX_SEGMENTS}"
        )
    segments: list[Segment] = []
    interpreter = False
    for index in range(header["e_phnum"]):
        at = header["e_phoff"] + index * header["e_phentsize"]
        part = struct_parse(structs.Elf_Phdr, stream, at)
        interpreter |= part["p_type"] == "PT_INTERP"
        if part["p_type"] == "PT_LOAD":
            segments.append(
                Segment(part["p_vaddr"], part["p_paddr"], part["p_filesz"], part["p_memsz"])
            )
    rows = []
    for index in range(count):
        at = header["e_shoff"] + index * header["e_shentsize"]
        row = struct_parse(structs.Elf_Shdr, stream, at)
        size = 0 if row["sh_type"] == "SHT_NOBITS" else row["sh_size"]
        if row["sh_offset"] + size > len(data) and row["sh_type"] != "SHT_NULL":
            raise ConfigError(
                f"{where}: section {index} ends at {row['sh_offset'] + size:#x}, the file at "
                f"{len(data):#x}"
            )
        rows.append((row["sh_name"], row["sh_offset"], size))
    sections: dict[str, tuple[int, int]] = {}
    if strings < len(rows):
        _, start, size = rows[strings]
        for name_at, offset, length in rows:
            begin = start + name_at
            end = data.find(b"\0", begin, min(start + size, begin + 256))
            if end > begin:
                name = data[begin:end].decode("latin-1")
                sections.setdefault(name, (offset, length))
    kinds = {"ET_REL": "relocatable", "ET_EXEC": "executable", "ET_DYN": "shared"}
    machine, kind = str(header["e_machine"]), str(header["e_type"])
    return Elf(
        arch=_MACHINES.get(machine, machine),
        bits=int(file.elfclass),
        type=kinds.get(kind, kind),
        entry=int(header["e_entry"]),
        interpreter=interpreter,
        segments=tuple(segments),
        sections=sections,
    )


def read_elf(data: bytes, where: object = "ELF file") -> Module | Program:
    """What an ELF file is: a kernel module where it has a .modinfo, else a program.

    Raises ConfigError for a malformed file.
    """
    elf = parse_elf(data, where)
    offset, size = elf.sections.get(".modinfo", (0, 0))
    if elf.type == "relocatable" and size:
        if size > MAX_MODINFO:
            raise ConfigError(f"{where}: .modinfo of {size} bytes, more than {MAX_MODINFO}")
        values = modinfo(data[offset : offset + size])
        return Module(
            arch=elf.arch,
            name=_first(values, "name"),
            version=_first(values, "version"),
            vermagic=_first(values, "vermagic"),
            firmware=tuple(values.get("firmware", ())),
            signatures=tuple(sorted({match.decode() for match in set(_SIGNATURES.findall(data))})),
        )
    tool = _TOOL_MARK in data
    return Program(elf=elf, jailhouse_tool=tool, loads_elf=tool and _LOADS_ELF in data)


def modinfo(section: bytes) -> dict[str, list[str]]:
    """The `key=value` entries of a .modinfo section, in their order."""
    values: dict[str, list[str]] = {}
    for entry in section.split(b"\0"):
        key, sign, value = entry.partition(b"=")
        if sign:
            values.setdefault(key.decode("utf-8", "replace"), []).append(
                value.decode("utf-8", "replace")
            )
    return values


def _first(values: dict[str, list[str]], key: str) -> str:
    return values.get(key, [""])[0]
