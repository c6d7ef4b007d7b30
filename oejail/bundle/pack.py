# SPDX-License-Identifier: MIT
"""Packing: from OUT, the directory that `collect` left, to a bundle."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from oejail import __version__
from oejail.artifacts import elf
from oejail.artifacts.layout import read_index
from oejail.artifacts.model import Artifact, Collection
from oejail.bundle import limits, manifest, tarformat
from oejail.bundle.archive import CHUNK, MANIFEST, SUMS, Member, archive_size, order, write_archive
from oejail.bundle.manifest import FileEntry, Jailhouse, Manifest, Sources, Tools
from oejail.checks.finding import Finding
from oejail.errors import BuildFailed, ConfigError, UsageFault, WorkspaceBusy
from oejail.files import (
    give,
    make_directory,
    naming,
    read_limited,
    sha256_bytes,
    sha256_file,
    sync_directory,
)


@dataclass(frozen=True)
class PackResult:
    """The bundle, its SHA-256, its digest (see `manifest.digest`) and its size in bytes."""

    path: Path
    sha256: str
    digest: str
    size: int


def pack(
    out_dir: Path,
    destination: Path,
    *,
    name: str,
    release: str,
    findings: Iterable[Finding] = (),
    sample: bool = False,
    sources: Sources | None = None,
) -> PackResult:
    """Write the bundle of `out_dir` to `destination`, and `<destination>.sha256`.

    The same files, names and versions give the same bytes. `sample` marks the bundle of a sample
    tree; a sample's files mark it anyway. `sources` is what it was built from.
    Whatever happens, `destination` is the old bundle or the new one.

    Raises UsageFault when `out_dir` is no collection or differs from it, WorkspaceBusy when
    somebody else is writing the same bundle.
    """
    collection = read_index(out_dir)
    files = _check(out_dir, collection)
    head = Manifest(
        schema_version=manifest.SCHEMA,
        name=name,
        release=release,
        platform=collection.platform,
        sample=sample or collection.sample,
        kernel_release=_info(collection, "module", "vermagic").partition(" ")[0] or None,
        jailhouse=_jailhouse(collection),
        tools=_tools(out_dir, collection),
        set=collection.set,
        files=tuple(FileEntry(a.path, a.kind, a.sha256, a.size, f"{a.mode:04o}") for a in files),
        absent=collection.absent,
        findings=tuple(findings),
        sources=sources,
    ).encode()
    listed = manifest.sums([(MANIFEST, sha256_bytes(head)), *((a.path, a.sha256) for a in files)])
    members: list[tuple[Member, Iterable[bytes]]] = [
        (Member(MANIFEST, len(head), 0o644), [head]),
        (Member(SUMS, len(listed), 0o644), [listed]),
        *((Member(a.path, a.size, a.mode), _content(out_dir / a.path, a)) for a in files),
    ]
    total = archive_size(member.size for member, _ in members)
    if len(members) > limits.MAX_MEMBERS or total > limits.MAX_TOTAL:
        raise UsageFault(f"{out_dir}: {len(members)} files, {total} bytes: too much for a bundle")
    make_directory(destination.parent)
    with _replacing(destination) as stream:
        hashed = _Hashing(stream)
        write_archive(hashed, members, total)
        if total > max(limits.RATIO_FREE, limits.MAX_RATIO * hashed.size):
            raise UsageFault(
                f"{out_dir}: {total} bytes shrink to {hashed.size}; verify would take it for a bomb"
            )
        sha256 = hashed.sha256.hexdigest()
        digest_file = _partial(sidecar(destination))
        digest_file.unlink(missing_ok=True)  # of a killed run, or somebody's link
        digest_file.write_text(f"{sha256}  {destination.name}\n")
    return PackResult(destination, sha256, manifest.digest(head), hashed.size)


def sidecar(bundle: Path) -> Path:
    """The file with the bundle's own SHA-256."""
    return bundle.with_name(f"{bundle.name}.sha256")


def signature(bundle: Path) -> Path:
    """The file with the signature over its SHA256SUMS, where there is one (`sign.py`)."""
    return bundle.with_name(f"{bundle.name}.sig")


def _same(old: Path, new: Path) -> bool:
    try:
        return old.read_bytes() == new.read_bytes()
    except OSError:
        return False


def _check(out: Path, collection: Collection) -> list[Artifact]:
    """The collected files in the archive's order, after a look whether they are what they were."""
    listed = {artifact.path: artifact for artifact in collection.artifacts}
    there = {str(p.relative_to(out)) for top in ("payload", "boot") for p in _files(out / top)}
    wrong = [f"{path}: not listed" for path in sorted(there - listed.keys())]
    faults = {path: _fault(out, a) for path, a in sorted(listed.items())}
    wrong += [f"{path}: {fault}" for path, fault in faults.items() if fault is not None]
    present = {path: a for path, a in listed.items() if faults[path] is None}
    # Two threads hash: hashlib lets go of the interpreter's lock, and disks like company.
    with ThreadPoolExecutor(2) as pool:
        digests = pool.map(lambda path: sha256_file(out / path), present)
        for artifact, sha256 in zip(present.values(), digests, strict=True):
            if sha256 != artifact.sha256:
                wrong.append(f"{artifact.path}: is {sha256}, was {artifact.sha256}")
    if wrong:
        raise UsageFault(
            f"{out}: not as it was collected: {wrong[0]}",
            hint="collect again",
            details=wrong[1:20],
        )
    return sorted(listed.values(), key=lambda artifact: order(artifact.path))


def _files(top: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(top):
        yield from (Path(directory, name) for name in names)


def _fault(out: Path, artifact: Artifact) -> str | None:
    """What is wrong with a listed file at first sight: its name, its kind or its size."""
    if not tarformat.valid_name(artifact.path) or artifact.mode not in tarformat.MODES:
        return "is listed with a name or mode that no bundle may hold"
    try:
        info = (out / artifact.path).lstat()
    except OSError as error:
        return error.strerror or "cannot be read"
    if not stat.S_ISREG(info.st_mode):
        return "is no regular file"
    if info.st_size != artifact.size:
        return f"is of {info.st_size} bytes, was of {artifact.size}"
    return None


def _content(path: Path, artifact: Artifact) -> Iterator[bytes]:
    """The file's bytes; BuildFailed at their end when they are others than were listed."""
    sha256 = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            sha256.update(chunk)
            yield chunk
    if sha256.hexdigest() != artifact.sha256:
        raise BuildFailed(f"{path}: changed while it was packed", hint="collect again")


def _info(collection: Collection, kind: str, key: str) -> str:
    """What the first artefact of that kind says of itself under `key`, as text."""
    found = [artifact.info.get(key) for artifact in collection.of_kind(kind)]
    return str(found[0]) if found and found[0] is not None else ""


def _jailhouse(collection: Collection) -> Jailhouse:
    version = _info(collection, "module", "version") or _info(collection, "firmware", "version")
    root = collection.find(f"payload/{collection.set.root}")
    revision = root.info.get("revision") if root is not None else None
    return Jailhouse(version or None, revision if isinstance(revision, int) else None)


def _tools(out: Path, collection: Collection) -> Tools:
    import zstandard

    named = {n for a in collection.of_kind("module", "tool") for n in _compilers(out / a.path)}
    zstd = ".".join(map(str, zstandard.ZSTD_VERSION))
    return Tools(__version__, zstandard.__version__, zstd, tuple(sorted(named)))


def _compilers(path: Path) -> set[str]:
    """What an ELF file's section .comment says of the compilers that made it."""
    try:
        data = read_limited(path, elf.MAX_FILE)
        start, size = elf.parse_elf(data, path).sections.get(".comment", (0, 0))
    except ConfigError:
        return set()  # a script, say
    names = data[start : start + min(size, 4096)].decode("ascii", "replace").split("\0")
    return {name for name in names if name and name.isprintable()}


class _Hashing:
    """A binary stream that counts and hashes what is written to it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size += len(data)
        return self._stream.write(data)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


@contextlib.contextmanager
def _replacing(destination: Path) -> Iterator[BinaryIO]:
    """A stream to a file that becomes `destination` when the block ends well.

    The block also writes the partial file of the digest. Partial files have fixed names, so that
    what a killed run left is taken over, not piled up; a lock tells a killed run from one that is
    at work. The old digest goes before the old bundle does: a kill in between leaves a bundle
    without digest, never one with a wrong digest. A signature stays beside the same bytes only.
    """
    partial, digest = _partial(destination), _partial(sidecar(destination))
    with naming(destination), _locked(partial) as stream:
        try:
            yield stream
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)
            digest.chmod(0o644)
            if os.geteuid() == 0:
                owner = destination.parent.stat()
                for path in (partial, digest):
                    give(path, owner.st_uid, owner.st_gid)
            os.fsync(stream.fileno())
            if not _same(sidecar(destination), digest):
                signature(destination).unlink(missing_ok=True)  # it is another bundle's
            sidecar(destination).unlink(missing_ok=True)
            partial.rename(destination)
            digest.rename(sidecar(destination))
            sync_directory(destination.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            digest.unlink(missing_ok=True)
            raise


def _locked(partial: Path) -> BinaryIO:
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        stream = os.fdopen(os.open(partial, flags, 0o644), "r+b")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held the lock may have renamed the file between our two calls.
            if os.path.samestat(os.fstat(stream.fileno()), os.stat(partial)):
                stream.truncate(0)
                return stream
        except BlockingIOError:
            stream.close()
            raise WorkspaceBusy(
                f"{partial.parent}: another oejail is writing {partial.name[1:-8]}",
                hint="wait for it",
            ) from None
        except FileNotFoundError:
            pass
        stream.close()
