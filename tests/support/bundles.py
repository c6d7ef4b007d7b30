# SPDX-License-Identifier: MIT
"""Bundles to test with, and ways to take one apart and put it together differently."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import zstandard

from oejail import platforms
from oejail.artifacts import Collection, SetSpec, collect
from oejail.bundle import PackResult, manifest, pack, sidecar, tarformat
from oejail.files import sha256_bytes, sha256_file
from tests.support import foreign_build


@dataclass
class Entry:
    """A member, to be changed."""

    name: str
    data: bytes
    mode: int


def collected(directory: Path) -> Collection:
    """OUT in `directory/out`, collected from a foreign build in `directory/build`."""
    build = foreign_build.make(directory / "build")
    platform = platforms.load("qemu-aarch64")
    return collect(build.directory, platform, SetSpec.from_platform(platform), directory / "out")


def packed(out: Path, destination: Path) -> PackResult:
    """The bundle of `out`."""
    return pack(out, destination, name="test", release="1")


def foreign(directory: Path) -> Path:
    """A bundle of a foreign build, made in `directory`."""
    collected(directory)
    path: Path = packed(directory / "out", directory / "b.tar.zst").path
    return path


def entries(bundle: Path) -> list[Entry]:
    """The members of a bundle, read by other tools than oejail."""
    tar = zstandard.ZstdDecompressor().decompress(bundle.read_bytes())
    found = []
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            assert stream is not None
            found.append(Entry(member.name, stream.read(), member.mode))
    return found


def frame(tar: bytes) -> bytes:
    """`tar` in a zstd frame with size and checksum."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3, source_size=len(tar), write_checksum=True
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(tar)


def tar(members: list[Entry]) -> bytes:
    """A tar archive of `members` in that order, in the form that bundles have."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for entry in members:
            info = tarfile.TarInfo(entry.name)
            info.size, info.mode, info.mtime = len(entry.data), entry.mode, tarformat.MTIME
            archive.addfile(info, io.BytesIO(entry.data))
    return stream.getvalue()


def write_bundle(path: Path, archive: bytes, *, digest: bool = True) -> Path:
    """Write an archive, with its .sha256 (a forger writes that as well) or without one."""
    path.write_bytes(archive)
    sidecar(path).unlink(missing_ok=True)
    if digest:
        sidecar(path).write_text(f"{sha256_file(path)}  {path.name}\n")
    return path


def change(bundle: Path, edit: Callable[[list[Entry]], object], target: Path) -> Path:
    """A copy of `bundle` with its members edited, the .sha256 made to fit."""
    members = entries(bundle)
    edit(members)
    return write_bundle(target, frame(tar(members)))


def replace_member(bundle: Path, name: str, data: bytes, target: Path) -> Path:
    """A bundle that is whole, with other bytes of the member `name`."""

    def edit(members: list[Entry]) -> None:
        by_name = {entry.name: entry for entry in members}
        by_name[name].data = data
        head = manifest.parse(by_name["manifest.json"].data, "manifest.json")
        files = tuple(
            replace(file, sha256=sha256_bytes(data), size=len(data)) if file.path == name else file
            for file in head.files
        )
        by_name["manifest.json"].data = replace(head, files=files).encode()
        sums = [(e.name, sha256_bytes(e.data)) for e in members if e.name != "SHA256SUMS"]
        by_name["SHA256SUMS"].data = manifest.sums(sums)

    return change(bundle, edit, target)
