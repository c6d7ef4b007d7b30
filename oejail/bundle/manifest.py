# SPDX-License-Identifier: MIT
"""manifest.json: what a bundle is. Its digest is the bundle's identity."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from oejail import jsonfile
from oejail.artifacts.model import CollectedSet
from oejail.checks.finding import Finding
from oejail.constraints import STRICT
from oejail.files import canonical_json, sha256_bytes

SCHEMA = 1


@dataclass(frozen=True)
class FileEntry:
    """A member. `role` is the artefact's kind, `mode` four octal digits, `size` in bytes."""

    __pydantic_config__: ClassVar[Any] = STRICT

    path: str
    role: str
    sha256: str
    size: int
    mode: str


@dataclass(frozen=True)
class Jailhouse:
    """`version` as module and firmware print it; `revision` of the root cell's configuration."""

    __pydantic_config__: ClassVar[Any] = STRICT

    version: str | None
    revision: int | None


@dataclass(frozen=True)
class Tools:
    """What made the bundle: its bytes are the same for the same files and these versions."""

    __pydantic_config__: ClassVar[Any] = STRICT

    oejail: str
    zstandard: str
    zstd: str
    compilers: tuple[str, ...]
    """As the ELF files name them, in their section .comment."""


@dataclass(frozen=True)
class Source:
    """A repository that it was built from. `commit` is None for a directory without git; `dirty`:
    it held local changes, which are in no commit."""

    __pydantic_config__: ClassVar[Any] = STRICT

    name: str
    commit: str | None
    dirty: bool


@dataclass(frozen=True)
class Sources:
    """What it was built from: the repositories with layers, and of the others those that did not
    stand at the commit that the tree's manifest (its SHA-256) says."""

    __pydantic_config__: ClassVar[Any] = STRICT

    manifest: str | None
    repositories: tuple[Source, ...]


@dataclass(frozen=True)
class Manifest:
    """manifest.json. `files` are all members but manifest.json and SHA256SUMS, in order."""

    __pydantic_config__: ClassVar[Any] = STRICT

    schema_version: int
    name: str
    release: str
    platform: str
    sample: bool
    """Made from the sample tree, or with a file of it: not Jailhouse."""
    kernel_release: str | None
    """The kernel that the module is for."""
    jailhouse: Jailhouse
    tools: Tools
    set: CollectedSet
    files: tuple[FileEntry, ...]
    absent: tuple[str, ...]
    """Kinds of files that the build did not leave."""
    findings: tuple[Finding, ...]
    """What the checks said before it was packed."""
    sources: Sources | None = None
    """None where oejail did not build it."""

    def find(self, path: str) -> FileEntry | None:
        """The entry of `path`."""
        return next((entry for entry in self.files if entry.path == path), None)

    def encode(self) -> bytes:
        """The bytes of manifest.json."""
        return canonical_json(dataclasses.asdict(self))


def parse(data: bytes, place: str) -> Manifest:
    """The manifest that `data` holds; ConfigError, beginning with `place`, for anything else."""
    return jsonfile.parse(Manifest, data, place, SCHEMA)


def digest(data: bytes) -> str:
    """The name of a bundle with these bytes of manifest.json: 16 hex digits."""
    return sha256_bytes(data)[:16]


def sums(entries: Iterable[tuple[str, str]]) -> bytes:
    """SHA256SUMS, as sha256sum reads it, of pairs of path and SHA-256 in the archive's order."""
    return "".join(f"{sha256}  {path}\n" for path, sha256 in entries).encode()
