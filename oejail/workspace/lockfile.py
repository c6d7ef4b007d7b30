# SPDX-License-Identifier: MIT
"""oejail.lock: which commits, image and versions a project is built with; read and written.

The file comes from somebody else's commit: names, URLs and commits are limited like those of
oejail.yaml before git sees them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from oejail import configfile
from oejail.constraints import STRICT, Check, Matches, short
from oejail.errors import ConfigError
from oejail.files import MIB, atomic_write, read_limited
from oejail.project.model import META_OPENEULER, FileName, bad_url
from oejail.yamltext import parse as parse_yaml

FILE = "oejail.lock"
SCHEMA = 1

COMMIT = r"[0-9a-f]{40}|[0-9a-f]{64}"
_HEAD = """\
# oejail.lock: written by `oejail lock`, used by `oejail up`; keep it under version control.
# `oejail lock --check` tells what differs, `oejail lock --update` moves to what upstream has now.
"""


def _image_name(value: str) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,254}", value):
        return None
    return f"{short(value)} is no image's name"


Commit = Annotated[str, Matches(COMMIT, "a commit (40 or 64 hex digits)")]
Sha256 = Annotated[str, Matches(r"[0-9a-f]{64}", "a SHA-256 (64 hex digits)")]
Word = Annotated[str, Matches(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}", "a version or name")]


@dataclass(frozen=True)
class Pin:
    """A repository: its commit, and where that can be fetched."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    commit: Commit
    url: Annotated[str, Check(bad_url)] | None = None
    """None for one that is nobody's but the sample's, or whose place oejail does not know."""


@dataclass(frozen=True)
class Image:
    """The container's image."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    name: Annotated[str, Check(_image_name)]
    id: Annotated[str, Matches(r"sha256:[0-9a-f]{64}", "an image's id (sha256:…)")]
    """Digest of its configuration."""
    digest: Annotated[str, Check(_image_name)] | None = None
    """`REPOSITORY@sha256:…` by which it can be pulled; none for one that was loaded."""


@dataclass(frozen=True)
class Lock:
    """oejail.lock."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    schema_version: Literal[1]
    oejail: Word
    oebuild: Word
    tree: Literal["openeuler", "sample", "path"]
    platform: Word
    feature_schema: Literal["v1", "v2"]
    image: Image | None
    """None when it was written with the host engine."""
    manifest: Sha256 | None
    """Of yocto-meta-openeuler's .oebuild/manifest.yaml; none in a tree that has no such file."""
    repositories: Mapping[FileName, Pin]
    """By their names in src/."""


def read(path: Path) -> Lock | None:
    """The lock at `path`; None when there is none.

    Raises ConfigError, with `oejail.lock:LINE:COLUMN:` of each error, for a file that is no lock
    of this version.
    """
    try:
        data = read_limited(path, MIB)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    return parse(data)


def parse(data: bytes) -> Lock:
    """As `read`, of the file's bytes."""
    document = parse_yaml(data)
    if isinstance(document.value, dict) and not document.problems:
        version = document.value.get("schema_version")
        if type(version) is not int or version != SCHEMA:
            line, column = document.place(("schema_version",) if version is not None else ())
            raise ConfigError(
                f"{FILE}:{line}:{column}: schema version {short(version)}, this oejail reads "
                f"{SCHEMA}",
                hint="use the oejail that wrote it, or write it anew: oejail lock",
            )
    return configfile.check(data, Lock, shown=FILE, rules=(_has_main,))


def _has_main(lock: Lock) -> list[tuple[tuple[str | int, ...], str]]:
    if META_OPENEULER in lock.repositories:
        return []
    return [(("repositories",), f"no {META_OPENEULER}")]


def render(lock: Lock) -> str:
    """The file's text: one line a repository, in the order of their names; always the same."""
    image = "null"
    if lock.image is not None:
        image = _flow(name=lock.image.name, id=lock.image.id, digest=lock.image.digest)
    lines = [
        f"schema_version: {lock.schema_version}",
        f"oejail: {_scalar(lock.oejail)}",
        f"oebuild: {_scalar(lock.oebuild)}",
        f"tree: {lock.tree}",
        f"platform: {_scalar(lock.platform)}",
        f"feature_schema: {lock.feature_schema}",
        f"image: {image}",
        f"manifest: {'null' if lock.manifest is None else _scalar(lock.manifest)}",
        "repositories:",
    ]
    for name, pin in sorted(lock.repositories.items()):
        lines.append(f"  {_scalar(name)}: {_flow(commit=pin.commit, url=pin.url)}")
    return _HEAD + "\n".join(lines) + "\n"


def write(path: Path, lock: Lock) -> None:
    """Write `lock`, whole or not at all; what would not read back is not written."""
    text = render(lock)
    parse(text.encode())
    atomic_write(path, text)


def _flow(**words: str | None) -> str:
    given = [f"{key}: {_scalar(value)}" for key, value in words.items() if value is not None]
    return f"{{{', '.join(given)}}}"


def _scalar(value: str) -> str:
    """Plain where it can be taken for nothing but text: a name or commit may look like a number.
    Commits and digests are always quoted, so that all of them look alike."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9._/+-]*", value) and len(value) < 40
    if plain and value.lower() not in _WORDS:
        return value
    return json.dumps(value)


_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
