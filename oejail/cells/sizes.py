# SPDX-License-Identifier: MIT
"""Sizes as people write them: `64M`, `0x1000`, `780MiB`; units are powers of 1024."""

from __future__ import annotations

import re

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(0[xX][0-9a-fA-F]+|[0-9]+)\s*(?:([kKmMgGtT])(?:i?[bB])?)?")


def parse_size(text: str) -> int:
    """Bytes; ValueError for anything else than a number with an optional unit, below 2^64."""
    match = _SIZE.fullmatch(text.strip())
    value = int(match[1], 0 if match[1][:2].lower() == "0x" else 10) if match else 0
    if match:
        value *= _UNITS[(match[2] or "").lower()]
    if match is None or value >= 1 << 64:
        raise ValueError(f"{text!r} is no size; write 64M, 2G or 0x4000000")
    return value


def format_size(size: int) -> str:
    """`64 MiB`, `4 KiB`, `64 B`: in the largest unit that divides it."""
    for unit, scale in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= scale and size % scale == 0:
            return f"{size // scale} {unit}"
    return f"{size} B"


def rough_size(size: int) -> str:
    """As `format_size`, in four digits at most: `15.6 MiB` for 15936 KiB."""
    text = format_size(size)
    if len(text.split()[0]) <= 4:
        return text
    for unit, scale in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return text


def size_text(size: int) -> str:
    """`2G`, `780M`, `64K` or plain bytes, as QEMU and the kernel read them."""
    for unit, scale in (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if size and size % scale == 0:
            return f"{size // scale}{unit}"
    return str(size)
