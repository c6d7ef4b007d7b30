# SPDX-License-Identifier: MIT
"""Write a commented oejail.yaml, for a new workspace or for one that oebuild made before."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from oejail import configfile, platforms
from oejail.errors import ConfigError, UsageFault
from oejail.files import atomic_write, make_directory
from oejail.platforms import Platform
from oejail.project.adopt import Adopted, adopt, is_workspace
from oejail.project.model import (
    META_OPENEULER,
    META_URL,
    SAMPLE_EXPECT,
    Config,
    bad_workspace_path,
)
from oejail.project.place import FILE


@dataclass(frozen=True)
class _Choice:
    """What the template is filled with."""

    platform: Platform
    platform_value: str
    sample: bool
    engine: str
    workspace: str | None
    build_name: str | None
    url: str
    branch: str


def init(
    directory: Path,
    *,
    platform: str | None = None,
    sample: bool = False,
    workspace: Path | None = None,
    build: str | None = None,
) -> Path:
    """Write `directory`/oejail.yaml and return its path; the directory is made when it is missing.

    `workspace` is where the oebuild workspace is to be. When oebuild made one there already, or
    `directory` is one itself, it is adopted: platform, build directory (`build`, where there are
    several), engine and sources are read from it. Raises UsageFault: there is an oejail.yaml
    already, the platform is unknown, the workspace's path has characters that oebuild cannot bear,
    or what is to be adopted does not fit.
    """
    directory = Path(os.path.abspath(directory))
    path = directory / FILE
    if path.exists() or path.is_symlink():
        raise UsageFault(f"{path} exists", hint="edit it, or move it away first")
    place = Path(os.path.abspath(workspace)) if workspace is not None else None
    if place is None and is_workspace(directory):
        place = directory
    adopted: Adopted | None = None
    if place is not None:
        _check_place(place)
        if is_workspace(place):
            if sample:
                raise UsageFault(
                    f"{place}: an oebuild workspace; the sample tree needs one of its own",
                    hint="leave out --workspace, or give a new directory",
                )
            adopted = adopt(place, platform, build)
    if build is not None and (adopted is None or adopted.build_name is None):
        raise UsageFault(
            f"no oebuild workspace with a build directory {build}", hint="leave out --build"
        )
    choice = _choose(directory, platform, sample, place, adopted)
    text = render(choice)
    configfile.check(text.encode(), Config, shown=FILE)
    make_directory(directory)
    atomic_write(path, text)
    return path


def _check_place(place: Path) -> None:
    if (wrong := bad_workspace_path(os.path.realpath(place))) is not None:
        raise UsageFault(
            f"workspace {place}: {wrong}", hint="give a path of letters, digits and . _ / + -"
        )
    if place.exists() and not place.is_dir():
        raise UsageFault(f"workspace {place}: not a directory", hint="oejail init --workspace DIR")


def _choose(
    directory: Path, platform: str | None, sample: bool, place: Path | None, adopted: Adopted | None
) -> _Choice:
    value = (adopted.platform if adopted else None) or platform or "qemu-aarch64"
    try:
        board = platforms.load(value, Path.cwd())
    except ConfigError as error:
        raise UsageFault(error.message, hint=error.hint, details=error.details) from None
    if value not in platforms.names():
        # A file: written so that it is found from the project, wherever oejail is started.
        value = _from(directory, Path(os.path.abspath(Path(value).expanduser())))
        value = value if "/" in value else f"./{value}"
    build_name = adopted.build_name if adopted else None
    return _Choice(
        platform=board,
        platform_value=value,
        sample=sample,
        engine=(adopted.engine if adopted else None) or ("host" if sample else "container"),
        workspace=None if place in (None, directory / "workspace") else _from(directory, place),
        build_name=None if build_name == board.name else build_name,
        url=(adopted.url if adopted else None) or META_URL,
        branch=(adopted.branch if adopted else None) or "master",
    )


def _from(directory: Path, place: Path | None) -> str:
    """`place` relative to the project where it lies inside, else absolute."""
    assert place is not None
    if place == directory:
        return "."
    return str(place.relative_to(directory)) if place.is_relative_to(directory) else str(place)


def render(choice: _Choice) -> str:
    """The file's text."""
    board = choice.platform
    rtos = board.rtos.get("freertos")
    freertos = rtos is not None and rtos.supported
    targets = ["jailhouse"]
    if freertos and rtos is not None and rtos.recipe:
        targets.append(rtos.recipe)
    if not choice.sample:
        targets.append("openeuler-image-mcs")
    sources = _SOURCES.format(
        meta=META_OPENEULER, url=_scalar(choice.url), branch=_scalar(choice.branch)
    )
    text = _TEMPLATE.format(
        board=board.name,
        tree="sample" if choice.sample else "openeuler",
        platform=_scalar(choice.platform_value),
        engine=choice.engine,
        build_name=_scalar(choice.build_name),
        rtos="freertos" if freertos else "null",
        rtos_why="" if freertos or rtos is None else f"# {rtos.reason}.\n",
        features=" or ".join((*board.features.v2, *board.features.v1)),
        layers=f"[{META_OPENEULER}/rtos/meta-freertos]" if freertos else "[]",
        targets=f"[{', '.join(targets)}]",
        workspace=_scalar(choice.workspace),
        sources="" if choice.sample else sources,
        root=board.cells.root,
        inmates=_inmates(board, choice.sample),
    )
    return _aligned(text)


def _inmates(board: Platform, sample: bool) -> str:
    rtos = board.rtos.get("freertos")
    if rtos is None or rtos.image is None or rtos.cell is None:
        return _NO_INMATE
    return _INMATE.format(
        cell=rtos.cell,
        image=rtos.image,
        expect=json.dumps(SAMPLE_EXPECT if sample else rtos.expect, ensure_ascii=False),
        repeat="true" if sample else "false",
    )


def _scalar(value: str | None) -> str:
    """A value as YAML: plain where that reads back as the same text."""
    if value is None:
        return "null"
    from oejail.yamltext import parse

    document = parse(f"x: {value}".encode())
    plain = not document.problems and document.value == {"x": value}
    return value if plain else json.dumps(value, ensure_ascii=False)


# Two spaces and `#|` stand before a comment that is moved to a common column.
_COLUMN = 28

_TEMPLATE = """\
# oejail.yaml: what `oejail up` builds, checks and packs. This file is code: it chooses what is
# built and run here. Every key but version may be left out; `oejail schema` prints the schema.
version: 1

name: null  #| default oejail-{board}; the bundle is dist/<name>-<release>.tar.zst
release: "0"

tree: {tree}  #| sources: openeuler, sample (travels with oejail), or the path of a src/
platform: {platform}  #| a board that oejail knows, or the path of a platform file
engine: {engine}  #| where BitBake runs: container or host; --engine overrides
rtos: {rtos}  #| the RTOS beside Linux; null: none of oejail's own
{rtos_why}rtos_in_image: false  #| also install it and oejail-start in the image; --rtos-in-image

oebuild: null  #| path of another oebuild executable
nativesdk: null  #| engine host: where openEuler's nativesdk is installed, if it is
build_user: null  #| when oejail runs as root: who runs oebuild and BitBake
workspace: {workspace}  #| where oebuild works; default workspace/ beside this file
build_name: {build_name}  #| directory below the workspace's build/; default {board}

# oebuild features: auto takes what the tree has of {features}; or a list of them.
features: auto
layers: {layers}  #| added; below src/
targets: {targets}  #| --no-image leaves *-image-* out
local_conf: []  #| lines for conf/local.conf, such as 'BB_NUMBER_THREADS = "4"'
{sources}
cells:  #| the set that is checked, packed and booted
  root: {root}
{inmates}
waive: {{}}  #| findings to accept: {{RULE: reason}}
signers: null  #| file of allowed signers, for verify and deploy
bundle: {{compression: zstd}}
"""

_SOURCES = """
sources:  #| also repositories of your own, cloned to src/NAME
  {meta}: {{url: {url}, ref: {branch}}}
mirrors: []  #| such as {{match: "https://atomgit.com/", path: /srv/mirror/}}
"""

_INMATE = """\
  inmates:
    - cell: {cell}  #| a configuration's file name without .cell
      image: {image}  #| looked up in the collected files, then in inmates/
      address: null  #| load address, when it is not the start of the cell's region
      expect: {expect}  #| what the cell prints; null: anything
      expect_repeat: {repeat}  #| whether it prints that again and again
"""

_NO_INMATE = """\
  inmates: []  #| such as {cell: rpi4-zephyr, image: zephyr.bin, expect: "Hello World!"}
"""


def _aligned(text: str) -> str:
    lines = []
    for line in text.splitlines():
        value, mark, comment = line.partition("  #| ")
        lines.append(f"{value:<{_COLUMN - 2}}  # {comment}" if mark else line)
    return "\n".join(lines) + "\n"
