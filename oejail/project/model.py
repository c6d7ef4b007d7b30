# SPDX-License-Identifier: MIT
"""The model of oejail.yaml, version 1: from it come validation, errors and the JSON Schema.

Strings that end up in oebuild's hands are limited here, once, to characters that no shell
interprets: oebuild joins its arguments into a shell script.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from oejail.constraints import STRICT, Check, Matches, WordOr, short

META_OPENEULER = "yocto-meta-openeuler"
META_URL = "https://atomgit.com/openeuler/yocto-meta-openeuler.git"
SAMPLE_EXPECT = "oejail sample inmate: tick"

WORKSPACE_PATH = r"[A-Za-z0-9._/+-]+"
"""What oebuild can bear in a path (it uses paths unquoted in shell scripts)."""
TARGET = r"[A-Za-z0-9][A-Za-z0-9.+_:/-]*"
BUILD_NAME = r"[a-z0-9_-]+"


def bad_workspace_path(path: str) -> str | None:
    """What is wrong with `path` in oebuild's hands; None when nothing is."""
    if re.fullmatch(WORKSPACE_PATH, path):
        return None
    bad = sorted({letter for letter in path if not re.fullmatch(WORKSPACE_PATH, letter)})
    return f"oebuild cannot bear {', '.join(map(repr, bad[:5]))} in a path"


def _relative(value: str) -> str | None:
    """What is wrong with `value` as a path that stays inside its directory."""
    if value.startswith("/"):
        return f"{short(value)} is absolute; write it relative"
    if ".." in PurePosixPath(value).parts:
        return f"{short(value)} leaves its directory ('..')"
    if value.strip("/.") == "":
        return f"{short(value)} names no file"
    return None


def _one_line(value: str) -> str | None:
    if any((ord(letter) < 32 and letter != "\t") or ord(letter) == 127 for letter in value):
        return f"{short(value)} has a line break or control character"
    return None


def _text(value: str) -> str | None:
    return "is empty" if not value.strip() else _one_line(value)


def _conf_line(value: str) -> str | None:
    if value.lstrip().startswith("#"):
        # oebuild takes such a line as an order to comment that text out, wherever it stands.
        return f"{short(value)} is a comment; write it in oejail.yaml instead"
    return _text(value)


def _expect(value: str) -> str | None:
    if len(value) > 200:
        return f"{len(value)} characters, more than 200"
    return _text(value)


def _address(value: int) -> str | None:
    return None if 0 <= value < 1 << 64 else f"{short(value)} is no 64-bit address"


def _tree(value: str) -> str | None:
    if value in ("openeuler", "sample"):
        return None
    if "/" in value or value in (".", ".."):
        return _text(value)
    return f"{short(value)} is neither openeuler, sample nor a path (a path has a '/')"


def bad_url(value: str) -> str | None:
    """What is wrong with `value` as a repository's URL; None when nothing is."""
    if re.fullmatch(r"(https?|ssh|git|file)://[A-Za-z0-9@:/._~+%=-]+", value):
        return None
    if re.fullmatch(r"[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[A-Za-z0-9/._~+-]+", value):
        return None  # ssh in scp's way of writing
    if re.fullmatch(r"/[A-Za-z0-9/._+-]+", value):
        return None
    return f"{short(value)} is no http, https, ssh, git or file URL and no absolute path"


def bad_ref(value: str) -> str | None:
    """What is wrong with `value` as the name of a branch; None when nothing is."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/+-]*", value) and ".." not in value:
        return None
    return f"{short(value)} is no branch, tag or commit"


FileName = Annotated[
    str, Matches(r"[A-Za-z0-9][A-Za-z0-9._+-]*", "a file name (letters, digits, . _ + -)")
]
Layer = Annotated[
    str,
    Matches(r"[A-Za-z0-9._/+-]+", "a layer's path below src/ (letters, digits, . _ / + -)"),
    Check(_relative),
]
Target = Annotated[str, Matches(TARGET, "a BitBake target (letters, digits, . + _ : / -)")]
Feature = Annotated[
    str, Matches(r"[A-Za-z0-9][A-Za-z0-9._/+-]*", "an oebuild feature (letters, digits, . _ / + -)")
]
Text = Annotated[str, Check(_text)]
Line = Annotated[str, Check(_conf_line)]


@dataclass(frozen=True)
class Source:
    """Where a repository of the tree comes from."""

    __pydantic_config__: ClassVar[Any] = STRICT

    url: Annotated[str, Check(bad_url)]
    """http, https, ssh, git or file URL, or an absolute path."""
    ref: Annotated[str, Check(bad_ref)] = "master"
    """Branch."""


@dataclass(frozen=True)
class Mirror:
    """Repositories whose URL begins with `match` are fetched from `path` instead."""

    __pydantic_config__: ClassVar[Any] = STRICT

    match: Annotated[str, Check(bad_url)]
    """Beginning of the URLs that this mirror serves."""
    path: Text
    """Local directory or URL that replaces it."""


@dataclass(frozen=True)
class Inmate:
    """A cell beside the root cell, and what runs in it."""

    __pydantic_config__: ClassVar[Any] = STRICT

    cell: FileName
    """File stem of the cell's configuration."""
    image: Annotated[str, Matches(r"[A-Za-z0-9][A-Za-z0-9._/+-]*", "a file name"), Check(_relative)]
    """Looked up in the collected files, then in inmates/."""
    address: Annotated[int, Check(_address)] | None = None
    """Load address, when it is not the start of the loadable region."""
    expect: Annotated[str, Check(_expect)] | None = None
    """Text that the cell prints; null: any output of the cell, reported as unverified (of
    Jailhouse's own uart-demo.bin and gic-demo.bin what they print)."""
    expect_repeat: bool = False
    """The text has to come again and again."""


@dataclass(frozen=True)
class Cells:
    """The set that is checked, packed and booted."""

    __pydantic_config__: ClassVar[Any] = STRICT

    root: FileName
    """File stem of the root cell's configuration."""
    inmates: tuple[Inmate, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """How the bundle is packed."""

    __pydantic_config__: ClassVar[Any] = STRICT

    compression: Literal["zstd"] = "zstd"


def _default_layers() -> tuple[str, ...]:
    return (f"{META_OPENEULER}/rtos/meta-freertos",)


def _default_targets() -> tuple[str, ...]:
    return ("jailhouse", "jailhouse-freertos", "openeuler-image-mcs")


@dataclass(frozen=True)
class Config:
    """oejail.yaml."""

    __pydantic_config__: ClassVar[Any] = STRICT

    version: Literal[1]
    """Version of this file's format."""
    name: FileName | None = None
    """Default oejail-<platform>; the bundle is <name>-<release>.tar.zst."""
    release: FileName = "0"
    tree: Annotated[str, Check(_tree)] = "openeuler"
    """openeuler, sample, or the path of an existing src/."""
    platform: Text = "qemu-aarch64"
    """A platform that oejail knows, or the path of a platform file."""
    build_name: Annotated[str, Matches(BUILD_NAME, "a build name (a-z, 0-9, _ -)")] | None = None
    """Directory below the workspace's build/; default the platform's name."""
    oebuild: Text | None = None
    """Path of another oebuild executable."""
    engine: Literal["container", "host"] = "container"
    """Where BitBake runs."""
    nativesdk: Text | None = None
    """Host engine: where openEuler's nativesdk is installed; null for oebuild's default."""
    build_user: (
        Annotated[str, Matches(r"[a-z_][a-z0-9_.-]*\$?|[0-9]{1,10}", "a user's name or id")] | None
    ) = None
    """When oejail runs as root: the user who runs oebuild and BitBake."""
    rtos: Literal["freertos"] | None = "freertos"
    """The RTOS beside Linux; null for none of oejail's own."""
    rtos_in_image: bool = False
    """The RTOS and oejail-start are installed in the image, too."""
    features: Annotated[str | tuple[Feature, ...], WordOr("auto")] = "auto"
    """auto, or the oebuild features themselves."""
    layers: tuple[Layer, ...] = field(default_factory=_default_layers)
    """Layers added to the build, relative to src/."""
    targets: tuple[Target, ...] = field(default_factory=_default_targets)
    """What BitBake builds."""
    workspace: Text | None = None
    """Default workspace/ beside this file."""
    sources: Mapping[FileName, Source] = field(
        default_factory=lambda: {META_OPENEULER: Source(META_URL)}
    )
    """Where yocto-meta-openeuler comes from, and repositories of your own beside it in src/."""
    mirrors: tuple[Mirror, ...] = ()
    """Other places for the repositories of `sources` and of the tree's manifest."""
    local_conf: tuple[Line, ...] = ()
    """Lines for conf/local.conf."""
    cells: Cells | None = None
    """Default: the platform's set."""
    waive: Mapping[str, Text] = field(default_factory=dict)
    """Findings that are accepted: rule and reason."""
    signers: Text | None = None
    """Allowed signers, for verify and deploy."""
    bundle: Bundle = field(default_factory=Bundle)
