# SPDX-License-Identifier: MIT
"""Verifying: is the bundle whole, is it what it says, do its parts fit.

The archive is read once, as a stream, and judged against its own lists; what the rules look at is
unpacked meanwhile into a temporary directory, under names of our own.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from oejail.artifacts.layout import set_lines
from oejail.bundle import limits, manifest
from oejail.bundle.archive import MANIFEST, SUMS, ArchiveError, ArchiveReader, Member, order
from oejail.bundle.manifest import Manifest
from oejail.bundle.pack import sidecar
from oejail.bundle.rules import finding
from oejail.checks.finding import Finding, any_fails, sort
from oejail.errors import ConfigError, UsageFault
from oejail.files import naming, open_regular, read_limited, sha256_bytes

_CHECKED = ("module", "firmware", "tool", "kernel", "root-cell", "cell", "image", "inmate")
"""Roles of the files that the rules look at."""

_SET = "payload/oejail.set"


@dataclass(frozen=True)
class Verification:
    """What was found. `manifest` is None when it could not be read; `digest` is the bundle's."""

    findings: tuple[Finding, ...]
    manifest: Manifest | None = None
    digest: str = ""
    signer: str = ""
    """Who signed it, as the allowed signers name the key; empty where nobody was asked for."""

    @property
    def sample(self) -> bool:
        """The bundle calls itself a sample."""
        return self.manifest is not None and self.manifest.sample


def verify(path: Path) -> list[Finding]:
    """Everything that is wrong with the bundle at `path`, worst first.

    Raises UsageFault where there is no such file; what is in the file raises nothing.
    """
    return list(examine(path).findings)


def examine(path: Path, signers: Path | None = None) -> Verification:
    """As `verify`, with what the bundle says it is.

    With `signers`, a file of allowed signers, it has to be signed by one of them, and nothing else
    is looked at where it is not: of a stranger's files no more is read than their digests.
    """
    from oejail.bundle.setcheck import check, collection_of

    with open_bundle(path) as stream, ExitStack() as stack:
        unpacked = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oejail-")))
        stack.enter_context(naming(unpacked))
        seen = _Seen(unpacked)
        whole = seen.read(stream)
        _compare_sidecar(path, seen)
        if whole:
            _compare(seen)
        signer = _compare_signature(path, seen, signers) if signers is not None else ""
        head = seen.manifest
        if head is not None and not any_fails(seen.findings):
            seen.findings += check(collection_of(head), seen.unpacked.__getitem__)
        name = manifest.digest(seen.kept[MANIFEST]) if MANIFEST in seen.kept else ""
        return Verification(tuple(sort(seen.findings)), head, name, signer)


def open_bundle(path: Path) -> BinaryIO:
    """The file at `path`; UsageFault unless it is a regular file of a size that a bundle has."""
    try:
        return open_regular(path, limits.MAX_ARCHIVE)
    except OSError as error:
        raise UsageFault(f"{path}: {error.strerror}", hint="oejail bundle makes one") from None
    except ConfigError as error:
        raise UsageFault(error.message, hint="give the bundle's path, *.tar.zst") from None


@dataclass
class _Seen:
    """What reading the archive gave."""

    directory: Path
    findings: list[Finding] = field(default_factory=list)
    members: dict[str, Member] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)
    unpacked: dict[str, Path] = field(default_factory=dict)
    manifest: Manifest | None = None
    sha256: str = ""

    def report(self, rule: str, where: str, message: str) -> None:
        self.findings.append(finding(rule, where or "archive", message))

    def read(self, stream: BinaryIO) -> bool:
        """Read the archive to its end; false when that was not possible."""
        reader = ArchiveReader(stream, os.fstat(stream.fileno()).st_size, self.report)
        try:
            for member in reader.members():
                if member.name not in self.members:  # a duplicate has been reported
                    self._take(member, reader.data())
            whole = True
        except ArchiveError:
            whole = False
        reader.frame.drain()
        self.sha256 = reader.frame.sha256.hexdigest()
        return whole

    def _take(self, member: Member, data: Iterator[bytes]) -> None:
        digest = hashlib.sha256()
        keep = member.name in (MANIFEST, SUMS) and member.size <= limits.MAX_MANIFEST
        kept = bytearray()
        with ExitStack() as stack:
            target = None
            if self._is_checked(member):
                path = self.directory / str(len(self.unpacked))
                target = stack.enter_context(path.open("xb"))
                self.unpacked[member.name] = path
            for chunk in data:
                digest.update(chunk)
                if keep:
                    kept += chunk
                if target is not None:
                    target.write(chunk)
        self.members[member.name] = member
        self.digests[member.name] = digest.hexdigest()
        if keep:
            self.kept[member.name] = bytes(kept)
        if member.name == MANIFEST:
            self._parse()

    def _is_checked(self, member: Member) -> bool:
        if self.manifest is None:
            return False
        entry = self.manifest.find(member.name)
        return entry is not None and (
            entry.role in _CHECKED or member.name in _set_paths(self.manifest)
        )

    def _parse(self) -> None:
        try:
            self.manifest = manifest.parse(self.kept.get(MANIFEST, b""), MANIFEST)
        except ConfigError as error:
            self.report("bundle-manifest", MANIFEST, "; ".join([error.message, *error.details]))


def _compare_sidecar(path: Path, seen: _Seen) -> None:
    beside = sidecar(path)
    try:
        text = read_limited(beside, 4096).decode("ascii", "replace")
    except OSError as error:
        seen.report("bundle-no-sha256", path.name, f"{beside.name}: {error.strerror}")
        return
    except ConfigError as error:
        seen.report("bundle-sha256", path.name, error.message)
        return
    match = re.fullmatch(r"([0-9a-f]{64})  [^\n]+\n", text)
    if match is None:
        seen.report("bundle-sha256", path.name, f"{beside.name} is not `SHA-256  name`")
    elif match[1] != seen.sha256:
        seen.report("bundle-sha256", path.name, f"is {seen.sha256}, {beside.name} has {match[1]}")


def _compare_signature(path: Path, seen: _Seen, signers: Path) -> str:
    from oejail.bundle.signature import check_signature

    signed = check_signature(path, seen.kept.get(SUMS, b""), signers)
    seen.findings += signed.findings
    return signed.signer


def _compare(seen: _Seen) -> None:
    """The members against what SHA256SUMS and manifest.json say of them."""
    for name, rule in ((MANIFEST, "bundle-manifest"), (SUMS, "bundle-sums")):
        if name not in seen.members:
            seen.report(rule, name, "is missing")
        elif name not in seen.kept:
            seen.report(rule, name, f"larger than {limits.MAX_MANIFEST} bytes")
        elif seen.members[name].mode != 0o644:
            seen.report("bundle-mode", name, f"mode {seen.members[name].mode:04o}, not 0644")
    lists: dict[str, dict[str, str]] = {}
    if SUMS in seen.kept:
        lists[SUMS] = _parse_sums(seen, seen.kept[SUMS])
    if seen.manifest is not None:
        lists[MANIFEST] = {entry.path: entry.sha256 for entry in seen.manifest.files}
        _compare_manifest(seen, seen.manifest)
    for name in sorted({*seen.digests, *(n for files in lists.values() for n in files)}, key=order):
        _compare_member(seen, name, lists)


def _compare_member(seen: _Seen, name: str, lists: dict[str, dict[str, str]]) -> None:
    """One line for a member, whichever list it disagrees with. No list has itself."""
    lists = {k: v for k, v in lists.items() if name != k and (k, name) != (MANIFEST, SUMS)}
    having = [place for place, files in lists.items() if name in files]
    lacking = [place for place in lists if place not in having]
    if name not in seen.digests:
        seen.report("bundle-missing", name, f"is not in the archive, but in {_and(having)}")
        return
    if lacking:
        seen.report("bundle-extra", name, f"is in the archive, but not in {_and(lacking)}")
    other = [place for place in having if lists[place][name] != seen.digests[name]]
    if other:
        listed = lists[other[0]][name]
        text = f"is {seen.digests[name]}, but {listed} in {_and(other)}"
        seen.report("bundle-digest", name, text)


def _and(places: list[str]) -> str:
    return " and ".join(places)


def _parse_sums(seen: _Seen, data: bytes) -> dict[str, str]:
    listed: dict[str, str] = {}
    for number, line in enumerate(data.decode("ascii", "replace").splitlines(), 1):
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if match is None or match[2] in listed:
            text = f"is no new `SHA-256  path`: {line[:80]!r}"
            seen.report("bundle-sums", f"{SUMS}:{number}", text)
        else:
            listed[match[2]] = match[1]
    expected = manifest.sums((name, listed[name]) for name in sorted(listed, key=order))
    if data != expected:
        seen.report("bundle-sums", SUMS, "lines are not in the archive's order, or end otherwise")
    return listed


def _compare_manifest(seen: _Seen, head: Manifest) -> None:
    paths = [entry.path for entry in head.files]
    if len(set(paths)) != len(paths) or {MANIFEST, SUMS} & set(paths):
        seen.report("bundle-manifest", MANIFEST, "files: a path that must not stand there (again)")
    for entry in head.files:
        member = seen.members.get(entry.path)
        if member is not None and f"{member.mode:04o}" != entry.mode:
            text = f"mode {member.mode:04o}, {MANIFEST} has {entry.mode}"
            seen.report("bundle-mode", entry.path, text)
        if member is not None and member.size != entry.size:
            text = f"{member.size} bytes, {MANIFEST} has {entry.size}"
            seen.report("bundle-size", entry.path, text)
    if seen.digests.get(_SET) != sha256_bytes(set_lines(head.set).encode()):
        seen.report("bundle-set", _SET, f"is not the set of {MANIFEST}")
    for path in _set_paths(head):
        if path not in seen.members:
            seen.report("bundle-set", _SET, f"{path} is not in the bundle")


def _set_paths(head: Manifest) -> list[str]:
    """The archive's members that the set names."""
    inmates = (path for inmate in head.set.inmates for path in (inmate.cell, inmate.image))
    return [f"payload/{path}" for path in (head.set.root, *inmates)]
