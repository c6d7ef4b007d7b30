# SPDX-License-Identifier: MIT
"""Kernel images: an arm64 `Image`, plain or in gzip, an arm `zImage`; and their release."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from oejail.errors import ConfigError

ARM64_MAGIC = b"ARMd"
ARM64_MAGIC_AT = 0x38
ARM_ZIMAGE_MAGIC = bytes.fromhex("18286f01")
ARM_ZIMAGE_MAGIC_AT = 0x24
GZIP_MAGIC = b"\x1f\x8b"
CPIO_MAGICS = (b"070701", b"070702")

MAX_UNPACKED = 512 << 20
"""Bytes of a kernel image that are looked at, unpacked; a bomb ends here."""
_CHUNK = 1 << 20
_OVERLAP = 512

# The banner; the format string of /proc/version ("Linux version %s") has no digit there.
_BANNER = re.compile(rb"Linux version (\d+\.\d[\w.+~-]{0,127}) \(")


@dataclass(frozen=True, slots=True)
class Kernel:
    """`release` is empty when the image does not say (a compressed arm `zImage`)."""

    arch: str
    release: str
    compression: str
    """`gzip` or `none`; a `zImage` counts as what it is packed with, unknown: `self`."""


def kernel_arch(head: bytes) -> str | None:
    """The architecture of a kernel image that begins with `head` (64 bytes suffice), else None."""
    if head[ARM64_MAGIC_AT : ARM64_MAGIC_AT + 4] == ARM64_MAGIC:
        return "arm64"
    if head[ARM_ZIMAGE_MAGIC_AT : ARM_ZIMAGE_MAGIC_AT + 4] == ARM_ZIMAGE_MAGIC:
        return "arm"
    return None


def find_release(chunks: Iterable[bytes]) -> str:
    """The kernel release in the banner `Linux version X …`, else the empty string."""
    kept = b""
    for chunk in chunks:
        window = kept + chunk
        match = _BANNER.search(window)
        if match:
            return match[1].decode()
        kept = window[-_OVERLAP:]
    return ""


def file_chunks(stream: BinaryIO) -> Iterator[bytes]:
    """A stream from where it is, in pieces, up to the limit."""
    left = MAX_UNPACKED
    while left > 0 and (chunk := stream.read(min(_CHUNK, left))):
        left -= len(chunk)
        yield chunk


def gzip_chunks(stream: BinaryIO, limit: int = MAX_UNPACKED) -> Iterator[bytes]:
    """The first member of a gzip stream, unpacked in pieces, up to `limit` bytes.

    Raises ConfigError for damaged data.
    """
    unpacker = zlib.decompressobj(wbits=31)
    pending = b""
    while limit > 0 and not unpacker.eof:
        if not pending:
            pending = stream.read(_CHUNK)
            if not pending:
                return  # cut short: what there was has been looked at
        try:
            piece = unpacker.decompress(pending, min(_CHUNK, limit))
        except zlib.error as error:
            raise ConfigError(f"damaged gzip data: {error}") from None
        pending = unpacker.unconsumed_tail
        limit -= len(piece)
        if piece:
            yield piece
