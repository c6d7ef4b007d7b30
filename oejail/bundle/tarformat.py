# SPDX-License-Identifier: MIT
"""The one tar header that a bundle uses: POSIX ustar, a regular file, everything else fixed.

A header is a function of name, size and mode, so a reader checks the fields that it does not
need (time, owner, padding) by building the header again and comparing bytes. The layout is that of
POSIX.1-1988's `struct posix_header`; GNU tar and Python's tarfile write the same bytes for such a
file.
"""

from __future__ import annotations

import re

BLOCK = 512
RECORD = 20 * BLOCK
"""A tar archive is padded with zeros to a multiple of this, like every tar's."""

MTIME = 315532800
"""Modification time of every member: 1980-01-01T00:00:00Z, the earliest that all tools can show.

A constant, because a bundle's bytes must not depend on the environment of who packs it.
"""

MODES = (0o644, 0o755)

_FIELDS = (
    ("name", 0, 100),
    ("mode", 100, 108),
    ("owner", 108, 124),
    ("size", 124, 136),
    ("time", 136, 148),
    ("checksum", 148, 156),
    ("type", 156, 157),
    ("link target", 157, 257),
    ("magic", 257, 265),
    ("owner's name", 265, 329),
    ("device", 329, 345),
    ("name prefix", 345, 500),
    ("padding", 500, 512),
)

_TYPES = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a directory",
    b"6": "a FIFO",
    b"L": "a GNU long name",
    b"K": "a GNU long link",
    b"S": "a GNU sparse file",
    b"x": "a PAX header",
    b"g": "a global PAX header",
}

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@,=-]*(?:/[A-Za-z0-9_][A-Za-z0-9._+@,=-]*)*")


class HeaderError(ValueError):
    """A header that says nothing about what follows it: reading cannot go on."""


def valid_name(name: str) -> bool:
    """True for a path that may stand in a bundle: relative, ASCII, no hidden names, short."""
    return len(name) <= 100 and _NAME.fullmatch(name) is not None


def header(name: str, size: int, mode: int) -> bytes:
    """The 512 bytes before a member. `name` satisfies valid_name; `size` is below 8 GiB."""
    raw = bytearray(BLOCK)
    encoded = name.encode()
    raw[0 : len(encoded)] = encoded
    raw[100:136] = b"%07o\0%07o\0%07o\0%011o\0" % (mode, 0, 0, size)
    raw[136:148] = b"%011o\0" % MTIME
    raw[148:156] = b" " * 8
    raw[156:157] = b"0"
    raw[257:265] = b"ustar\x0000"
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def padding(size: int) -> int:
    """How many zero bytes follow a member of `size` bytes."""
    return -size % BLOCK


def parse(raw: bytes) -> tuple[str, int, int, str | None]:
    """Name, size, mode and, for anything but a regular file, what the member is instead.

    Raises HeaderError where the checksum or the size cannot be trusted. Numbers in base 256 (a
    GNU extension for large files) are refused.
    """
    checksum = _octal(raw[148:156], "checksum")
    if checksum != sum(raw[:148]) + 8 * 0x20 + sum(raw[156:]):
        raise HeaderError("checksum differs")
    size = _octal(raw[124:136], "size")
    mode = _octal(raw[100:108], "mode")
    name = raw[:100].split(b"\0", 1)[0]
    prefix = raw[345:500].split(b"\0", 1)[0]
    if prefix:
        name = prefix + b"/" + name
    kind = raw[156:157]
    what = None if kind in (b"0", b"\0") else _TYPES.get(kind, f"of unknown type {kind!r}")
    return name.decode("ascii", "backslashreplace"), size, mode, what


def differences(raw: bytes, name: str, size: int, mode: int) -> list[str]:
    """The header's fields that are not as `header` would write them."""
    wanted = header(name, size, mode)
    if raw == wanted:
        return []
    fields = [field for field, start, end in _FIELDS if raw[start:end] != wanted[start:end]]
    # The checksum differs because another field does.
    return [field for field in fields if field != "checksum"] or fields


def _octal(field: bytes, what: str) -> int:
    text = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", text):
        raise HeaderError(f"{what} is no octal number")
    return int(text or b"0", 8)
