# SPDX-License-Identifier: MIT
"""What lies in the packages (rpm, ipk, deb) that a build left in tmp/deploy.

After a build from shared state they can be all that is left of a recipe. A package is somebody
else's file: it is read forward, in pieces, within limits; nothing is unpacked and no name in it
becomes a path of this machine.

Sources: rpm's header by the library rpmfile, its payload is a cpio archive (newc, kernel's
Documentation/driver-api/early-userspace/buffer-format); deb(5), of which ipk is a form, also as a
compressed tar of the three members (older opkg-build); the field `OE` of the latter two and rpm's
source package name the recipe (OE-core's package_ipk, package_deb, package_rpm).
"""

from __future__ import annotations

import bz2
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from oejail.artifacts.places import Places, current_packages, list_packages
from oejail.errors import ConfigError
from oejail.files import MIB

MAX_PACKAGE = 256 * MIB
"""Largest package file in bytes, and"""
MAX_UNPACKED = 512 * MIB
"""what it may hold, unpacked."""
MAX_MEMBERS = 50_000
_MAX_CONTROL = MIB
_MAX_MEMORY = 256 * MIB
_CHUNK = 256 << 10


class About(NamedTuple):
    """What a package says of itself."""

    package: str
    recipe: str
    version: str
    """VERSION-REVISION."""


@dataclass(frozen=True)
class Package:
    """A package file of a recipe."""

    path: Path
    stale: str | None = None
    """Why it cannot be meant."""


class _Source:
    """A stream of pieces as a file to read forward, of at most MAX_UNPACKED bytes."""

    def __init__(self, pieces: Iterator[bytes], place: str) -> None:
        self.pieces = pieces
        self.place = place
        self.buffer = b""
        self.total = 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes, less only at the end."""
        parts, have = [self.buffer], len(self.buffer)
        while have < size:
            piece = next(self.pieces, None)
            if piece is None:
                break
            parts.append(piece)
            have += len(piece)
            self.total += len(piece)
            if self.total > MAX_UNPACKED:
                raise ConfigError(f"{self.place}: more than {MAX_UNPACKED} bytes unpacked")
        data = b"".join(parts)
        self.buffer = data[size:]
        return data[:size]

    def exactly(self, size: int) -> bytes:
        """`size` bytes; ConfigError where the archive ends before."""
        data = self.read(size)
        if len(data) != size:
            raise ConfigError(f"{self.place}: ends in the middle of an archive")
        return data

    def pass_over(self, size: int) -> None:
        while size > 0:
            size -= len(self.exactly(min(size, _CHUNK)))


def find(places: Places, recipe: str) -> list[Package]:
    """The package files of `recipe`, of its current version where pkgdata knows one, sorted.

    Of a TMPDIR that serves several machines those of this machine count where there are any.
    Raises ConfigError for a package that cannot be read.
    """
    current = current_packages(places, recipe)
    names = tuple(current) or (recipe, f"kernel-module-{recipe}")
    found: dict[str, list[Package]] = {}
    for path in list_packages(places):
        if not path.name.startswith(names):
            continue
        said = about(places, path)
        if said.recipe != recipe or (current and said.package not in current):
            continue
        stale, wanted = None, current.get(said.package)
        if wanted is not None and _plain(wanted) != _plain(said.version):
            stale = f"version {said.version} is not the current one by pkgdata, {wanted}"
        found.setdefault(path.parent.name, []).append(Package(path, stale))
    mine = found.get(places.machine.replace("-", "_"))
    return mine or [package for name in sorted(found) for package in found[name]]


def _plain(version: str) -> str:
    """A version without its epoch; rpm allows no `-` in one, OE-core writes `+`."""
    return version.rpartition(":")[2].replace("-", "+")


def parts(member: str) -> tuple[str, ...]:
    """A member's name as path on the target; empty for debug files and sources."""
    found = tuple(part for part in member.split("/") if part not in ("", "."))
    if ".." in found or ".debug" in found or found[:2] == ("usr", "src"):
        return ()
    return found


def about(places: Places, path: Path) -> About:
    """What the package at `path` says of itself. Raises ConfigError for a broken one."""
    with _opened(places, path) as stream:
        if path.suffix == ".rpm":
            return _rpm_about(_rpm_headers(stream))
        return _deb_about(stream, str(path))


def names(places: Places, path: Path) -> list[str]:
    """The names of the regular files in a package. Raises ConfigError for a broken one."""
    with _opened(places, path) as stream:
        return [name for name, _, _ in _files(stream, path)]


def chunks(places: Places, path: Path, member: str, limit: int) -> Iterator[bytes]:
    """The bytes of `member` of the package at `path`.

    Raises ConfigError for a broken package, one without it, and for more than `limit` bytes.
    """
    with _opened(places, path) as stream:
        for name, size, read in _files(stream, path):
            if name != member:
                continue
            if size > limit:
                raise ConfigError(f"{path}: {name} has {size} bytes, more than the limit {limit}")
            while size > 0:
                data = read(min(size, _CHUNK))
                if not data:
                    raise ConfigError(f"{path}: ends in the middle of {name}")
                size -= len(data)
                yield data
            return
    raise ConfigError(f"{path}: no {member} in it any more; is a build running?")


@contextmanager
def _opened(places: Places, path: Path) -> Iterator[BinaryIO]:
    """The package's bytes; whatever a reader of archives raises for them is a ConfigError."""
    from zstandard import ZstdError

    broken = (tarfile.TarError, lzma.LZMAError, zlib.error, ZstdError, EOFError, ValueError)
    with places.open(path, MAX_PACKAGE) as stream:
        try:
            yield stream
        except broken as error:
            raise ConfigError(f"{path}: no sound package: {error}") from None


Reader = Callable[[int], bytes]


def _files(stream: BinaryIO, path: Path) -> Iterator[tuple[str, int, Reader]]:
    """Name, size and a function that reads on, of each regular file in turn."""
    if path.suffix == ".rpm":
        entries = _rpm_files(stream, str(path))
    else:
        entries = _tar_files(_deb_member(stream, "data.tar", str(path)))
    for count, entry in enumerate(entries):
        if count >= MAX_MEMBERS:
            raise ConfigError(f"{path}: more than {MAX_MEMBERS} files")
        yield entry


# Decompression


def _unpacked(stream: _Readable, place: str) -> _Source:
    """What `stream` holds, unpacked by what its first bytes say."""
    head = stream.read(6)
    pieces = _pieces(stream, head)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _Source(_zstd(pieces), place)
    if head.startswith(b"\x1f\x8b"):
        inflate = zlib.decompressobj(31)
        return _Source(_inflated(inflate, pieces), place)
    if head.startswith(b"BZh"):
        return _Source(_plainly(bz2.BZ2Decompressor(), pieces), place)
    if head.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return _Source(_plainly(lzma.LZMADecompressor(memlimit=_MAX_MEMORY), pieces), place)
    return _Source(pieces, place)


class _Readable:
    """A part of a file, or a member of a tar file: what can be read forward."""

    def __init__(self, read: Reader, size: int) -> None:
        self._read = read
        self.left = size

    def read(self, size: int) -> bytes:
        data = self._read(min(size, self.left))
        self.left -= len(data)
        return data


def _pieces(stream: _Readable, head: bytes) -> Iterator[bytes]:
    if head:
        yield head
    while data := stream.read(_CHUNK):
        yield data


def _plainly(
    machine: bz2.BZ2Decompressor | lzma.LZMADecompressor, pieces: Iterator[bytes]
) -> Iterator[bytes]:
    for piece in pieces:
        if machine.eof:
            return
        data = machine.decompress(piece, _CHUNK)
        while data:
            yield data
            data = b"" if machine.eof or machine.needs_input else machine.decompress(b"", _CHUNK)
    if not machine.eof:
        raise EOFError("compressed data end too early")


def _inflated(machine: zlib._Decompress, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        while piece and not machine.eof:
            yield machine.decompress(piece, _CHUNK)
            piece = machine.unconsumed_tail
    if not machine.eof:
        raise EOFError("compressed data end too early")


def _zstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    from zstandard import ZstdDecompressor

    machine = ZstdDecompressor(max_window_size=_MAX_MEMORY)
    with machine.stream_reader(_Source(pieces, "zstd")) as reader:  # type: ignore[arg-type]
        while data := reader.read(_CHUNK):
            yield data


# rpm


def _rpm_headers(stream: BinaryIO) -> dict[str, object]:
    """The header's tags; the stream stands at the payload afterwards."""
    import struct

    from rpmfile import RPMFile
    from rpmfile.errors import RPMError

    try:
        package = RPMFile(fileobj=stream)
    except (RPMError, struct.error, LookupError, TypeError, AssertionError, MemoryError) as error:
        raise ValueError(f"rpm header: {error}") from None
    stream.seek(package.data_offset)
    headers: dict[str, object] = package.headers
    return headers


def _rpm_about(headers: dict[str, object]) -> About:
    def text(tag: str) -> str:
        value = headers.get(tag, b"")
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    # NAME-VERSION-RELEASE.src.rpm
    recipe = text("sourcerpm").rsplit("-", 2)[0]
    return About(text("name"), recipe, f"{text('version')}-{text('release')}")


def _rpm_files(stream: BinaryIO, place: str) -> Iterator[tuple[str, int, Reader]]:
    _rpm_headers(stream)
    source = _unpacked(_Readable(stream.read, MAX_PACKAGE), place)
    while True:
        head = source.exactly(110)
        if head[:6] not in (b"070701", b"070702"):
            raise ConfigError(f"{place}: payload of another kind than cpio newc ({head[:6]!r})")
        fields = [int(head[at : at + 8], 16) for at in range(6, 110, 8)]
        mode, links, size, length = fields[1], fields[4], fields[6], fields[11]
        if not 1 <= length <= 4096:
            raise ConfigError(f"{place}: a file name of {length} bytes")
        name = source.exactly(length)[:-1].decode("utf-8", "replace")
        source.pass_over(-(110 + length) % 4)
        if name == "TRAILER!!!":
            return
        part = _Readable(source.read, size)
        # Of several names of one file the last alone has the bytes.
        if mode & 0o170000 == 0o100000 and (size or links < 2):
            yield name, size, part.read
        source.pass_over(part.left)
        source.pass_over(-size % 4)


# deb and ipk


def _deb_about(stream: BinaryIO, place: str) -> About:
    for name, size, read in _tar_files(_deb_member(stream, "control.tar", place)):
        if parts(name) == ("control",):
            if size > _MAX_CONTROL:
                raise ConfigError(f"{place}: control of {size} bytes")
            lines = read(size).decode("utf-8", "replace").splitlines()
            fields = dict(line.split(": ", 1) for line in lines if ": " in line and line[0] != " ")
            recipe = fields.get("OE") or fields.get("Source", "").split("_")[0]
            return About(fields.get("Package", ""), recipe, fields.get("Version", ""))
    raise ConfigError(f"{place}: no control file in it")


def _deb_member(stream: BinaryIO, wanted: str, place: str) -> _Source:
    """The tar archive `wanted` (any compression), of a package in either form."""
    if stream.read(8) != b"!<arch>\n":
        stream.seek(0)
        outer = _unpacked(_Readable(stream.read, MAX_PACKAGE), place)
        for name, size, read in _tar_files(outer):
            if name.removeprefix("./").startswith(wanted):
                return _unpacked(_Readable(read, size), place)
        raise ConfigError(f"{place}: no {wanted} in it")
    for _ in range(16):
        head = stream.read(60)
        if len(head) != 60 or head[58:] != b"`\n":
            break
        size = int(head[48:58])
        if size < 0:
            break
        if head[:16].decode("ascii", "replace").startswith(wanted):
            return _unpacked(_Readable(stream.read, size), place)
        stream.seek(size + size % 2, 1)
    raise ConfigError(f"{place}: no {wanted} in it")


def _tar_files(source: _Source) -> Iterator[tuple[str, int, Reader]]:
    with closing(tarfile.open(fileobj=source, mode="r|")) as archive:  # type: ignore[call-overload]
        for member in archive:
            archive.members = []  # it would keep them all
            if not member.isreg():
                continue
            content = archive.extractfile(member)
            assert content is not None
            yield member.name, member.size, content.read
