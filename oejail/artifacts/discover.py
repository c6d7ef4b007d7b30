# SPDX-License-Identifier: MIT
"""Which files of a build directory may be what is wanted: found by place and name, not opened."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from oejail.artifacts import packages
from oejail.artifacts.deployed import INDEX, read_index
from oejail.artifacts.model import SetSpec
from oejail.artifacts.places import (
    TREES,
    Places,
    current_version,
    find_places,
    list_deployed,
    list_tree,
    work_directories,
)

if TYPE_CHECKING:
    from oejail.platforms import Platform

DEPLOYED = "deploy"
INDEXED = "index"
PACKED = "package file"

MODULE = "payload/jailhouse.ko"
FIRMWARE = "payload/jailhouse.bin"
TOOL = "payload/bin/jailhouse"
LINUX_LOADER = "payload/linux-loader.bin"
INITRD = "boot/initrd.cpio.gz"


@dataclass(frozen=True)
class Candidate:
    """A file that may be `key`, its place in OUT. `path` is absolute."""

    key: str
    kind: str
    path: Path
    tree: str
    """One of TREES, INDEXED (by meta-oejail's index), PACKED (in an rpm, ipk, deb) or DEPLOYED."""
    home: str
    """The work directory, the package file or the deploy directory, for the reader."""
    stale: str | None = None
    """Why it cannot be meant."""
    member: str | None = None
    """PACKED: the name in the package file `path`."""
    expected: str | None = None
    """INDEXED: the SHA-256 that the index says."""


@dataclass(frozen=True)
class Discovery:
    """What was found, and where was looked (for the reader)."""

    places: Places
    candidates: tuple[Candidate, ...]
    looked: tuple[str, ...]


def discover(build_dir: Path, platform: Platform, wanted: SetSpec) -> Discovery:
    """Look through the places where recipes and images leave what is wanted.

    Raises UsageFault for a directory that cannot be read or was never built in.
    """
    places = find_places(build_dir, platform.machine)
    candidates: list[Candidate] = []
    looked: list[str] = []
    for recipe in wanted.recipes:
        candidates += _of_recipe(places, recipe, looked, platform, wanted)
    looked.append(places.show(places.deployed))
    candidates += _deployed(places, platform, wanted)
    return Discovery(places, tuple(candidates), tuple(looked))


def _of_recipe(
    places: Places, recipe: str, looked: list[str], platform: Platform, wanted: SetSpec
) -> list[Candidate]:
    """What `recipe` left: by its index, in its work directories, failing both in its packages."""
    current = current_version(places, recipe)
    found = _indexed(places, recipe, current, looked, platform, wanted)
    directories = work_directories(places, recipe)
    if current is not None and current not in (d.name for d in directories):
        looked.append(
            f"{recipe}: the current version by pkgdata, {current}, has no work directory "
            f"(restored from shared state?); bitbake -c package {recipe} makes it"
        )
    elif not directories:
        looked.append(f"{places.show(places.tmp / 'work')}/*/{recipe}: nothing there")
    for directory in directories:
        stale = None
        if current not in (None, directory.name):
            stale = f"version {directory.name} is not the current one by pkgdata, {current}"
        for tree in TREES:
            looked.append(places.show(directory / tree) + (f" ({stale})" if stale else ""))
            found += _in_tree(places, directory, tree, stale, platform, wanted)
    if not any(c.stale is None and c.tree != "image" for c in found):
        found += _packed(places, recipe, looked, platform, wanted)
    return found


def _indexed(
    places: Places,
    recipe: str,
    current: str | None,
    looked: list[str],
    platform: Platform,
    wanted: SetSpec,
) -> list[Candidate]:
    """What the recipe's index lists; nothing where one of its files is gone."""
    directory = places.indexed(recipe)
    index = read_index(places, recipe)
    if index is None:
        looked.append(f"{places.show(directory / INDEX)}: not there")
        return []
    stale = None
    if current not in (None, index.version):
        stale = f"version {index.version} is not the current one by pkgdata, {current}"
    looked.append(places.show(directory) + (f" ({stale})" if stale else ""))
    found = []
    for file in index.files:
        match = classify(tuple(file.path.split("/")), platform, wanted)
        if match is None:
            continue
        path = directory / file.path
        if not path.exists():
            looked[-1] += f": {file.path} is gone, so its other files do not count"
            return []
        home = places.show(directory)
        found.append(
            Candidate(match[1], match[0], path, INDEXED, home, stale, expected=file.sha256)
        )
    return found


def _packed(
    places: Places, recipe: str, looked: list[str], platform: Platform, wanted: SetSpec
) -> list[Candidate]:
    found = []
    for package in packages.find(places, recipe):
        home = places.show(package.path)
        looked.append(home + (f" ({package.stale})" if package.stale else ""))
        for member in packages.names(places, package.path):
            parts = packages.parts(member)
            match = classify(parts, platform, wanted) if parts else None
            if match is not None:
                kind, key = match
                found.append(
                    Candidate(key, kind, package.path, PACKED, home, package.stale, member)
                )
    if not found:
        forms = f"{places.show(places.tmp / 'deploy')}/{{rpm,ipk,deb}}"
        looked.append(f"{forms}: nothing of {recipe} that is wanted")
    return found


def _in_tree(
    places: Places,
    directory: Path,
    tree: str,
    stale: str | None,
    platform: Platform,
    wanted: SetSpec,
) -> list[Candidate]:
    root, home = directory / tree, places.show(directory)
    found = []
    for parts in list_tree(places, root):
        match = classify(parts, platform, wanted)
        if match is not None:
            kind, key = match
            found.append(Candidate(key, kind, root.joinpath(*parts), tree, home, stale))
    return sorted(found, key=lambda candidate: str(candidate.path))


def classify(parts: tuple[str, ...], platform: Platform, wanted: SetSpec) -> tuple[str, str] | None:
    """Kind and place in OUT of a packaged file by its path, or None for what is not wanted."""
    name, parent = parts[-1], parts[-2] if len(parts) > 1 else ""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name) is None or len(name) > 64:
        return None
    if name == "jailhouse.ko":
        return "module", MODULE
    if parent == "firmware" and fnmatch.fnmatchcase(name, "jailhouse*.bin"):
        return "firmware", f"payload/{name}"
    if parent in ("sbin", "bin") and name == "jailhouse":
        return "tool", TOOL
    if name == "linux-loader.bin":
        return "linux-loader", LINUX_LOADER
    if _cell_wanted(name, platform, wanted):
        return "cell", f"payload/cells/{name}"
    if parts[-3:-1] == ("cells", "dts") and name.endswith(".dtb"):
        return "dtb", f"payload/cells/dts/{name}"
    if parent == "inmates" and name.endswith((".bin", ".elf")):
        return "inmate", f"payload/inmates/{name}"
    return _image(name, wanted)


def _cell_wanted(name: str, platform: Platform, wanted: SetSpec) -> bool:
    stem, dot, suffix = name.rpartition(".")
    if not dot or suffix != "cell":
        return False
    in_set = stem == wanted.root or stem in (inmate.cell for inmate in wanted.inmates)
    return in_set or fnmatch.fnmatchcase(stem, platform.cells.pattern)


def _image(name: str, wanted: SetSpec) -> tuple[str, str] | None:
    if name in (inmate.image for inmate in wanted.inmates):
        return "image", f"payload/{name}"
    if f"inmates/{name}" in (inmate.image for inmate in wanted.inmates):
        return "inmate", f"payload/inmates/{name}"
    return None


def _deployed(places: Places, platform: Platform, wanted: SetSpec) -> list[Candidate]:
    names = list_deployed(places)
    chosen: list[tuple[str, str, str]] = []
    for name in names:
        if name == "jailhouse.ko":
            chosen.append(("module", MODULE, name))
        elif name == "jailhouse.bin":
            chosen.append(("firmware", FIRMWARE, name))
        elif _cell_wanted(name, platform, wanted):
            chosen.append(("cell", f"payload/cells/{name}", name))
        elif (image := _image(name, wanted)) is not None:
            chosen.append((*image, name))
    kernel = next((name for name in platform.image_names if name in names), None)
    if kernel is not None:
        chosen.append(("kernel", f"boot/{kernel}", kernel))
    chosen += [("initrd", INITRD, name) for name in _initrds(names, platform, wanted)]
    home = places.show(places.deployed)
    return [
        Candidate(key, kind, places.deployed / name, DEPLOYED, home) for kind, key, name in chosen
    ]


def _initrds(names: list[str], platform: Platform, wanted: SetSpec) -> list[str]:
    """The root file system of each image, the wanted image's alone where it was built.

    Deployed as `<image>-<machine>[.rootfs][-<stamp>].cpio.gz`, with the stamp before `.rootfs` in
    older releases; the name without a stamp is a link to the newest.
    """
    machine = re.escape(platform.machine)
    form = re.compile(
        rf"(?P<image>.+?)-{machine}(?:\.rootfs)?(?:-(?P<stamp>\d{{14}}))?(?:\.rootfs)?\.cpio\.gz"
    )
    newest: dict[str, tuple[str, str]] = {}
    for match in filter(None, map(form.fullmatch, names)):
        entry = (match["stamp"] or "9" * 14, match[0])
        newest[match["image"]] = max(entry, newest.get(match["image"], ("", "")))
    for image in wanted.images:
        if image in newest:
            return [newest[image][1]]
    return [name for _, name in newest.values()]
