# SPDX-License-Identifier: MIT
"""A cpio archive (newc) that brings files into a guest's initial RAM file system.

The kernel unpacks one archive after the other from what it is given as initrd, so that ours is
appended to the guest's own and nothing is rebuilt. Every entry lies below one directory of our own:
an entry for a directory such as `lib` would replace a guest's symbolic link of that name, and with
it all that the guest needs. The format is that of Linux's Documentation/driver-api/early-userspace/
buffer-format.rst.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

TOP = "oejail"
"""The directory, below the guest's root."""

_DIRECTORY, _REGULAR = 0o040755, 0o100000
_ALIGNED = 4
_BLOCK = 512
_MAX_SIZE = 0xFFFF_FFFF  # the format has eight hex digits


@dataclass(frozen=True)
class Member:
    """A file: its path below TOP, where its bytes are, its permission bits."""

    path: str
    source: Path
    mode: int


def append(stream: BinaryIO, members: Iterable[Member]) -> None:
    """Write the archive of `members`, with the directories above them, to the end of `stream`.

    The same files make the same bytes: owner root, time 0, sorted. Raises ValueError for a path
    that leaves TOP and for a file of 4 GiB or more.
    """
    files = sorted(members, key=lambda member: member.path)
    directories = {TOP}
    for member in files:
        parts = member.path.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in member.path:
            raise ValueError(f"path {member.path!r} leaves {TOP}")
        directories |= {"/".join([TOP, *parts[:end]]) for end in range(1, len(parts))}
    if stream.tell():
        # Four zeros more: with fewer, what follows is a block's size to Linux's unlz4.
        stream.write(bytes(-stream.tell() % _ALIGNED + _ALIGNED))
    start = stream.tell()
    for number, name in enumerate(sorted(directories), 1):
        _entry(stream, name, number, _DIRECTORY, 0)
    for number, member in enumerate(files, len(directories) + 1):
        size = member.source.stat().st_size
        if size > _MAX_SIZE:
            raise ValueError(f"{member.path}: {size} bytes, more than cpio can hold")
        _entry(stream, f"{TOP}/{member.path}", number, _REGULAR | member.mode & 0o777, size)
        with member.source.open("rb") as source:
            shutil.copyfileobj(source, stream, 1 << 20)
        stream.write(bytes(-size % _ALIGNED))
    _entry(stream, "TRAILER!!!", 0, 0, 0)
    stream.write(bytes((start - stream.tell()) % _BLOCK))


def _entry(stream: BinaryIO, name: str, inode: int, mode: int, size: int) -> None:
    raw = name.encode() + b"\0"
    links = 2 if mode == _DIRECTORY else 1
    # inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name, checksum
    fields = (inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, len(raw), 0)
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + raw
    stream.write(head + bytes(-len(head) % _ALIGNED))
