# SPDX-License-Identifier: MIT
"""Small real ELF files for AArch64, laid out by the ELF-64 specification."""

from __future__ import annotations

from struct import pack

EM_AARCH64 = 183


def elf(
    sections: dict[str, bytes], *, kind: int = 1, machine: int = EM_AARCH64, entry: int = 0
) -> bytes:
    """An ELF64 file with these sections (PROGBITS). `kind`: 1 relocatable, 2 executable.

    An executable gets one segment, which loads the whole file at `entry` rounded down to 64 KiB.
    """
    names = b"\0" + b"".join(name.encode() + b"\0" for name in sections) + b".shstrtab\0"
    everything = {**sections, ".shstrtab": names}
    programs = 1 if kind == 2 else 0
    body = bytearray()
    start = 64 + 56 * programs
    headers = [bytes(64)]
    for name, data in everything.items():
        body += bytes(-len(body) % 8)
        at = names.index(b"\0" + name.encode() + b"\0") + 1
        typ = 3 if name == ".shstrtab" else 1
        headers.append(pack("<IIQQQQIIQQ", at, typ, 0, 0, start + len(body), len(data), 0, 0, 1, 0))
        body += data
    body += bytes(-len(body) % 8)
    table = start + len(body)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += pack("<HHIQQQI", kind, machine, 1, entry, 64 if programs else 0, table, 0)
    header += pack("<HHHHHH", 64, 56, programs, 64, len(headers), len(headers) - 1)
    size = table + 64 * len(headers)
    base = entry & ~0xFFFF
    segment = pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x10000) if programs else b""
    return header + segment + bytes(body) + b"".join(headers)


def module(
    release: str = "5.10.0-openeuler",
    version: str = "v0.12 (324-ge57d1eff)",
    *,
    debug: bytes = b"",
    extra: bytes = b"",
) -> bytes:
    """A jailhouse.ko: .modinfo, the driver's signatures, with `debug` as it is before stripping."""
    entries = {
        "license": "GPL",
        "version": version,
        "firmware": "jailhouse.bin",
        "name": "jailhouse",
        "vermagic": f"{release} SMP preempt mod_unload aarch64",
    }
    sections = {
        ".modinfo": b"".join(f"{k}={v}\0".encode() for k, v in entries.items()),
        ".rodata": b"JHSYST\0JHCELL\0" + extra,
        ".comment": b"GCC: (GNU) 10.3.1\0",
    }
    if debug:
        sections[".debug_info"] = debug
    return elf(sections)


def tool(extra: bytes = b"") -> bytes:
    """A program `jailhouse`."""
    text = bytes.fromhex("000080d2a80b80d2010000d4")  # mov x0, 0; mov x8, 93 (exit); svc 0
    sections = {".text": text, ".rodata": b"/dev/jailhouse\0" + extra}
    return elf(sections, kind=2, entry=0x400000 + 64 + 56)
