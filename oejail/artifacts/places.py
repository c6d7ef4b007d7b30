# SPDX-License-Identifier: MIT
"""The places of a Yocto build directory: where TMPDIR is, and where a recipe leaves its files.

Only directories that are asked for by name are listed, so the time does not depend on how much
else lies in tmp/work. A build directory is somebody else's: every path is resolved before use and
has to stay inside it (or inside the TMPDIR that its configuration names).

Sources: OE-core's bitbake.conf (WORKDIR, PKGDATA_DIR, DEPLOY_DIR_IMAGE) and package.bbclass
(PKGD, PKGDEST, the pkgdata files).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from oejail.errors import ConfigError, UsageFault
from oejail.files import MIB, open_regular, read_limited

TREES = ("packages-split", "package", "image")
"""Below a work directory, best first: as packaged and stripped, the same unsplit, as installed."""

MAX_ENTRIES = 50_000
"""Entries of one listed tree. A recipe's own packages are far below."""

_TMPDIR = re.compile(r"""^\s*TMPDIR\s*(?:\?\??=|:?=)\s*(["'])(?P<path>.*)\1\s*$""")
_DATA = re.compile(r"(PACKAGES|PE|PV|PR|PKGV|PKGR|PKG:[A-Za-z0-9.+~_-]+): (.*)")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_:^-]*")


@dataclass(frozen=True)
class Places:
    """A build directory, both paths absolute and resolved."""

    build_dir: Path
    tmp: Path
    machine: str

    @property
    def deployed(self) -> Path:
        """What the build deployed for the machine."""
        return self.tmp / "deploy" / "images" / self.machine

    def indexed(self, recipe: str) -> Path:
        """Where meta-oejail's append deploys `recipe`'s files."""
        return self.deployed / "oejail" / recipe

    @property
    def pkgdata(self) -> Path:
        """What BitBake recorded of the packages it made for the machine."""
        return self.tmp / "pkgdata" / self.machine

    def show(self, path: Path) -> str:
        """`path` relative to the build directory, or as it is when outside."""
        return str(path.relative_to(self.build_dir) if self._below(self.build_dir, path) else path)

    def inside(self, path: Path) -> Path | None:
        """`path` with all links followed, or None when that leads out, or nowhere."""
        try:
            real = Path(os.path.realpath(path, strict=True))
        except PermissionError:
            raise  # there, and not to be read: that is not the same as not there
        except (OSError, ValueError):
            return None
        roots = (self.build_dir, self.tmp)
        return real if any(self._below(root, real) for root in roots) else None

    @staticmethod
    def _below(root: Path, path: Path) -> bool:
        return path == root or root in path.parents

    def open(self, path: Path, limit: int) -> BinaryIO:
        """A regular file of at most `limit` bytes, inside. Raises as `files.open_regular` does."""
        real = self.inside(path)
        if real is None:
            raise ConfigError(f"{path}: a link that leads out of the build directory")
        return open_regular(real, limit, os.O_NOFOLLOW)


def find_places(build_dir: Path, machine: str) -> Places:
    """The places of `build_dir`. Raises UsageFault when it cannot be read or was never built."""
    try:
        root = Path(os.path.realpath(build_dir, strict=True))
        os.listdir(root)
        tmp = root / (_tmp_dir(root) or "tmp")
        if not tmp.is_dir():
            raise UsageFault(
                f"{build_dir}: no build directory: {tmp} is not there",
                hint="give the directory that holds conf/ and tmp/, after BitBake ran in it",
            )
        os.listdir(tmp)
    except OSError as error:
        raise UsageFault(
            f"{error.filename or build_dir}: {error.strerror}", hint="check the path and its owner"
        ) from None
    return Places(root, Path(os.path.realpath(tmp)), machine)


def _tmp_dir(root: Path) -> str | None:
    """TMPDIR as conf/local.conf sets it, else as compile.yaml will make it set."""
    conf = root / "conf" / "local.conf"
    value = None
    if conf.is_file():
        place = f"{conf}"
        for number, line in enumerate(_text(conf).splitlines(), 1):
            match = _TMPDIR.match(line)
            if match is not None:
                value, place = match["path"], f"{conf}:{number}"
        if value is not None:
            value = _on_host(value.replace("${TOPDIR}", str(root)), root)
            if "${" in value:
                raise ConfigError(f"{place}: TMPDIR {value!r} refers to other variables")
            return value
    compile_yaml = root / "compile.yaml"
    if compile_yaml.is_file():
        from oejail.yamltext import parse

        found = parse(read_limited(compile_yaml, MIB)).value
        if isinstance(found, dict) and isinstance(found.get("tmp_dir"), str):
            value = _on_host(found["tmp_dir"], root)
    return value


def _on_host(value: str, root: Path) -> str:
    """TMPDIR on this machine, where `value` is its path in oebuild's container.

    What the container sees of this machine is listed in compile.yaml's docker_param.volumns, one
    HOST:CONTAINER[:OPTIONS] each; the longest that fits is it.
    """
    compile_yaml = root / "compile.yaml"
    if not value.startswith("/") or not compile_yaml.is_file():
        return value
    from oejail.yamltext import parse

    found = parse(read_limited(compile_yaml, MIB)).value
    param = found.get("docker_param") if isinstance(found, dict) else None
    volumes = param.get("volumns") if isinstance(param, dict) else None
    best = ("", "")
    for volume in volumes if isinstance(volumes, list) else ():
        here, _, there = str(volume).partition(":")
        here = here.strip("'")  # as shlex.quote has it, for oebuild's shell
        there = there.partition(":")[0].rstrip("/")
        if f"{value}/".startswith(f"{there}/") and len(there) > len(best[1]):
            best = (here, there)
    # The build directory may have been moved or copied since: it is where it is.
    here = str(root) if best[1] == f"/home/openeuler/build/{Path(best[0]).name}" else best[0]
    return here + value.removeprefix(best[1]) if best[1] else value


def _text(path: Path) -> str:
    return read_limited(path, 16 * MIB).decode("utf-8", "replace")


def current_version(places: Places, recipe: str) -> str | None:
    """The recipe's version as BitBake last packaged it, in the form of a work directory's name.

    None where pkgdata does not know the recipe (nothing of it was packaged in this TMPDIR).
    """
    listed = _pkgdata(places, places.pkgdata / recipe).get("PACKAGES", "")
    for package in listed.split():
        if _WORD.fullmatch(package) is None:
            continue
        data = _pkgdata(places, places.pkgdata / "runtime" / package)
        if "PV" in data and "PR" in data:
            epoch = f"{data['PE']}_" if data.get("PE", "0") not in ("", "0") else ""
            version = f"{epoch}{data['PV']}-{data['PR']}"
            if _WORD.fullmatch(version):
                return version
    return None


def current_packages(places: Places, recipe: str) -> dict[str, str]:
    """Name and version of the recipe's packages as pkgdata has them; empty where it has none."""
    listed = _pkgdata(places, places.pkgdata / recipe).get("PACKAGES", "")
    found = {}
    for package in filter(_WORD.fullmatch, listed.split()):
        data = _pkgdata(places, places.pkgdata / "runtime" / package)
        if "PKGV" in data and "PKGR" in data:
            found[data.get(f"PKG:{package}", package)] = f"{data['PKGV']}-{data['PKGR']}"
    return found


def list_packages(places: Places) -> list[Path]:
    """The files tmp/deploy/FORMAT/ARCH/*.FORMAT, of the formats rpm, ipk and deb, sorted."""
    found = []
    for form in ("rpm", "ipk", "deb"):
        top = places.tmp / "deploy" / form
        for architecture in _entries(top):
            directory = top / architecture.name
            if places.inside(directory) is None:
                continue
            found += [
                directory / entry.name
                for entry in _entries(directory)
                if entry.name.endswith(f".{form}") and entry.is_file(follow_symlinks=False)
            ]
    return sorted(found)


def _pkgdata(places: Places, path: Path) -> dict[str, str]:
    try:
        with places.open(path, 64 * MIB) as stream:
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except PermissionError:
        raise
    except (OSError, ConfigError):
        return {}
    return {m[1]: m[2].strip() for m in map(_DATA.fullmatch, lines) if m is not None}


def work_directories(places: Places, recipe: str) -> list[Path]:
    """The recipe's work directories, `tmp/work/<arch>/<recipe>/<version>`, sorted.

    Where the machine's own architecture has the recipe, others are left out: they belong to other
    machines built in the same TMPDIR.
    """
    work = places.tmp / "work"
    architectures = [
        entry.name for entry in _entries(work) if (work / entry.name / recipe).is_dir()
    ]
    own = tuple(f"{m}-" for m in (places.machine.replace("-", "_"), places.machine))
    mine = [name for name in architectures if name.startswith(own)]
    found = []
    for name in sorted(mine or architectures):
        recipe_directory = work / name / recipe
        found += [recipe_directory / entry.name for entry in _entries(recipe_directory)]
    return sorted(path for path in found if path.is_dir() and places.inside(path) is not None)


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as listing:
            entries = []
            for entry in listing:
                entries.append(entry)
                if len(entries) > MAX_ENTRIES:
                    raise ConfigError(f"{directory}: more than {MAX_ENTRIES} entries")
            return entries
    except (FileNotFoundError, NotADirectoryError):
        return []


def list_tree(places: Places, tree: Path) -> Iterator[tuple[str, ...]]:
    """Parts, below `tree`, of its regular files. Links are not followed.

    Left out are debug files, which have the names of what they describe, and sources.
    """
    real = places.inside(tree)
    if real is None:
        return
    count = 0
    queue: list[tuple[str, ...]] = [()]
    while queue:
        parts = queue.pop()
        for entry in _entries(real.joinpath(*parts)):
            count += 1
            if count > MAX_ENTRIES:
                raise ConfigError(f"{tree}: more than {MAX_ENTRIES} entries")
            below = (*parts, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if entry.name != ".debug" and below[-2:] != ("usr", "src"):
                    queue.append(below)
            elif entry.is_file(follow_symlinks=False):
                yield below


def list_deployed(places: Places) -> list[str]:
    """Names of the regular files, and links to such inside, that were deployed, sorted."""
    return sorted(
        entry.name
        for entry in _entries(places.deployed)
        if (real := places.inside(places.deployed / entry.name)) is not None and real.is_file()
    )
