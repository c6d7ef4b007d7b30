# SPDX-License-Identifier: MIT
"""Reading exactly one zstd frame, in pieces of bounded size, from a file that nobody vouches for.

The decompressor is fed block by block (RFC 8878, section 3.1.1): a block holds at most 128 KiB and
unpacks to at most 128 KiB, so a few bytes can never unpack to gigabytes at once, and the frame's
end is known exactly. Whatever oejail does not write is refused: several frames, skippable frames,
dictionaries, bytes after the end. A frame without size or checksum, as another packer's, is read
all the same, so that what was changed in it can be named; `lacks` says what is not there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

from oejail.bundle.limits import MAX_RATIO, MAX_TOTAL, MAX_WINDOW, RATIO_FREE

MAGIC = b"\x28\xb5\x2f\xfd"
MAX_BLOCK = 128 * 1024


class FrameError(ValueError):
    """The archive is no single frame as oejail writes it; the message says what and where."""


class FrameReader:
    """Iterates over the unpacked bytes; `sha256` and `packed` cover what was read of the file."""

    def __init__(self, stream: BinaryIO, packed_size: int) -> None:
        self.stream = stream
        self.packed_size = packed_size
        self.packed = 0
        self.unpacked = 0
        self.content_size: int | None = None
        self.lacks: list[str] = []
        self._checksum = False
        self.sha256 = hashlib.sha256()

    def drain(self) -> None:
        """Read the file to its end, for its digest alone."""
        while data := self.stream.read(1 << 20):
            self._count(data)

    def __iter__(self) -> Iterator[bytes]:
        import zstandard

        engine = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()
        try:
            for piece in self._pieces():
                data = engine.decompress(piece)
                self.unpacked += len(data)
                if self.content_size is None:
                    self._bound(self.unpacked)
                elif self.unpacked > self.content_size:
                    raise FrameError(f"unpacks to more than the {self.content_size} bytes it says")
                if data:
                    yield data
        except zstandard.ZstdError as error:
            raise FrameError(f"damaged before byte {self.packed}: {error}") from None
        if not engine.eof or self.content_size not in (None, self.unpacked):
            raise FrameError(f"unpacks to {self.unpacked} bytes, says {self.content_size}")
        rest = self.packed_size - self.packed
        if rest or self.stream.read(1):
            raise FrameError(f"{max(rest, 1)} bytes follow the end of the archive")

    def _pieces(self) -> Iterator[bytes]:
        """The frame's header, then each block, then the checksum."""
        yield self._header()
        last = False
        while not last:
            head = self._take(3)
            word = int.from_bytes(head, "little")
            last, kind, size = bool(word & 1), word >> 1 & 3, word >> 3
            if kind == 3 or size > MAX_BLOCK:
                raise FrameError(f"no valid block at byte {self.packed - 3}")
            yield head + self._take(1 if kind == 1 else size)
        if self._checksum:
            yield self._take(4)

    def _header(self) -> bytes:
        raw = self._take(5)
        if raw[:4] != MAGIC:
            raise FrameError("no zstd archive (its first bytes are others)")
        descriptor = raw[4]
        single = bool(descriptor & 0x20)
        if descriptor & 0x1B:
            raise FrameError("uses a dictionary or reserved bits")
        self._checksum = bool(descriptor & 0x04)
        if not self._checksum:
            self.lacks.append("has no checksum")
        size_bytes = {0: 1 if single else 0, 1: 2, 2: 4, 3: 8}[descriptor >> 6]
        rest = self._take((0 if single else 1) + size_bytes)
        size = 0
        if size_bytes == 0:
            self.lacks.append("does not say its size")
        else:
            size = int.from_bytes(rest[-size_bytes:], "little") + (256 if size_bytes == 2 else 0)
            self.content_size = size
        window = size
        if not single:
            base = 1 << (10 + (rest[0] >> 3))
            window = base + base // 8 * (rest[0] & 7)
        if window > MAX_WINDOW:
            raise FrameError(f"wants a window of {window} bytes, more than {MAX_WINDOW}")
        self._bound(size)
        return raw + rest

    def _bound(self, size: int) -> None:
        if size > MAX_TOTAL:
            raise FrameError(f"unpacks to {size} bytes, more than the limit of {MAX_TOTAL}")
        if size > RATIO_FREE and size > MAX_RATIO * self.packed_size:
            raise FrameError(
                f"{self.packed_size} bytes unpack to {size}, more than {MAX_RATIO} times as many"
            )

    def _take(self, count: int) -> bytes:
        data = self.stream.read(count)
        self._count(data)
        if len(data) != count:
            raise FrameError(f"ends too early, at byte {self.packed}")
        return data

    def _count(self, data: bytes) -> None:
        self.packed += len(data)
        self.sha256.update(data)
