# SPDX-License-Identifier: MIT
"""The archive: members in one order, in one form, compressed with one set of parameters.

Order: manifest.json, SHA256SUMS, then everything else by name; so the first two say what is in a
bundle without unpacking the rest. The reader wants exactly what the writer writes, and reports
every difference through a callback; where it cannot go on it raises ArchiveError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NoReturn, Protocol, cast

from oejail.bundle import limits, tarformat
from oejail.bundle.zstdframe import FrameError, FrameReader

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"

LEVEL = 9
THREADS = 2
"""Any number from 1 up gives the same bytes (zstd cuts its jobs by size); 0 would give others."""
JOB = 8 << 20
"""Bytes of a job. zstd's own choice at this level is twice that, and takes 50 MB more memory."""

CHUNK = 1 << 20

Report = Callable[[str, str, str], None]
"""Called with a rule's id, the member concerned (or "") and what is wrong."""


class ArchiveError(Exception):
    """Reading cannot go on. The reason has been reported."""


@dataclass(frozen=True)
class Member:
    """A file of the archive: `size` in bytes, `mode` as it stands there."""

    name: str
    size: int
    mode: int


def order(name: str) -> tuple[int, str]:
    """Sort key of a member's name."""
    return ({MANIFEST: 0, SUMS: 1}.get(name, 2), name)


def archive_size(sizes: Iterable[int]) -> int:
    """Bytes of the tar archive of members of these sizes."""
    total = sum(tarformat.BLOCK + size + tarformat.padding(size) for size in sizes)
    return total + 2 * tarformat.BLOCK + -(total + 2 * tarformat.BLOCK) % tarformat.RECORD


class Writer(Protocol):
    """What an archive is written to."""

    def write(self, data: bytes, /) -> int:
        """Take all of `data`, and say how many bytes that were."""


def write_archive(
    stream: Writer, members: Iterable[tuple[Member, Iterable[bytes]]], total: int
) -> None:
    """Write the compressed archive of `members`, given in order, to `stream`.

    `total` is `archive_size` of them. A member whose data is not exactly its size is a defect of
    the caller and raises ValueError.
    """
    import zstandard

    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL,
        source_size=total,
        threads=THREADS,
        job_size=JOB,
        write_checksum=True,
        write_content_size=True,
    )
    engine = zstandard.ZstdCompressor(compression_params=parameters)
    # No `with`: its end would hide the error that a member's data raises behind one of its own.
    packed = engine.stream_writer(cast(BinaryIO, stream), size=total, closefd=False)
    written = 0
    for member, data in members:
        packed.write(tarformat.header(member.name, member.size, member.mode))
        size = 0
        for chunk in data:
            packed.write(chunk)
            size += len(chunk)
        if size != member.size:
            raise ValueError(f"{member.name}: {size} bytes instead of {member.size}")
        packed.write(bytes(tarformat.padding(size)))
        written += tarformat.BLOCK + size + tarformat.padding(size)
    packed.write(bytes(total - written))
    packed.flush(zstandard.FLUSH_FRAME)


class ArchiveReader:
    """Reads an archive member by member. Iterate over `members`, then over `data` of each."""

    def __init__(self, stream: BinaryIO, packed_size: int, report: Report) -> None:
        self.frame = FrameReader(stream, packed_size)
        self.report = report
        self._source = iter(self.frame)
        self._buffer = bytearray()
        self._left = 0
        self._padding = 0
        self._offset = 0

    def members(self) -> Iterator[Member]:
        """The members, in the archive's order; unread data is skipped, and checked as well."""
        seen: set[str] = set()
        total = 0
        previous: str | None = None
        while True:
            raw = self._read(tarformat.BLOCK)
            if raw == bytes(tarformat.BLOCK):
                break
            member = self._member(raw)
            total += member.size
            if len(seen) >= limits.MAX_MEMBERS:
                self._stop("bundle-limit", "", f"more than {limits.MAX_MEMBERS} members")
            if member.size > limits.MAX_MEMBER or total > limits.MAX_TOTAL:
                self._stop("bundle-limit", member.name, f"{member.size} bytes, {total} so far")
            if member.name in seen:
                self.report("bundle-duplicate", member.name, "stands in the archive twice")
            elif previous is not None and order(member.name) < order(previous):
                self.report("bundle-order", member.name, f"stands after {previous}")
            seen.add(member.name)
            previous = member.name
            self._left, self._padding = member.size, tarformat.padding(member.size)
            yield member
            for _ in self.data():
                pass
            if any(self._read(self._padding)):
                self.report("bundle-header", member.name, "padding is not zero")
        self._end()

    def data(self) -> Iterator[bytes]:
        """The current member's bytes, in chunks."""
        while self._left:
            if not self._buffer:
                self._fill()
            chunk = bytes(self._buffer[: self._left])
            del self._buffer[: self._left]
            self._left -= len(chunk)
            self._offset += len(chunk)
            yield chunk

    def _member(self, raw: bytes) -> Member:
        try:
            name, size, mode, what = tarformat.parse(raw)
        except tarformat.HeaderError as error:
            self._stop("bundle-archive", "", f"no tar header at byte {self._offset - 512}: {error}")
        if what is not None:
            self.report("bundle-type", name, f"is {what}; only regular files belong in a bundle")
        elif not tarformat.valid_name(name):
            self.report("bundle-path", name, "is no path that a bundle may have")
        else:
            if mode not in tarformat.MODES:
                self.report("bundle-mode", name, f"mode {mode:04o} is neither 0644 nor 0755")
            wrong = tarformat.differences(raw, name, size, mode)
            if wrong:
                self.report("bundle-header", name, f"{', '.join(wrong)} not as oejail writes it")
        return Member(name, size, mode)

    def _end(self) -> None:
        """After the first zero block: the second one, zeros up to the record's end, no more."""
        expected = tarformat.BLOCK + -(self._offset + tarformat.BLOCK) % tarformat.RECORD
        # The decompressor says only at its end whether the checksum fits and nothing follows.
        rest, clean = 0, True
        while self._buffer or self._more():
            clean = clean and not any(self._buffer)
            rest += len(self._buffer)
            self._buffer.clear()
        if rest != expected:
            self.report("bundle-trailing", "", f"{rest} bytes end the archive, not {expected}")
        if not clean:
            self.report("bundle-trailing", "", "data follows the last member")

    def _read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._fill()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        self._offset += count
        return data

    def _fill(self) -> None:
        if not self._more():
            self._stop("bundle-archive", "", f"ends too early, at byte {self._offset} of the tar")

    def _more(self) -> bool:
        try:
            data = next(self._source, b"")
        except FrameError as error:
            self._stop("bundle-archive", "", str(error))
        while self.frame.lacks:
            self.report("bundle-archive", "", self.frame.lacks.pop(0))
        self._buffer += data
        return bool(data)

    def _stop(self, rule: str, where: str, message: str) -> NoReturn:
        self.report(rule, where, message)
        raise ArchiveError(message)
