# SPDX-License-Identifier: MIT
"""Collecting: from a build directory to OUT, every file identified by what is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Mapping
from logging import DEBUG, INFO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from oejail import __version__
from oejail.artifacts import layout, packages
from oejail.artifacts.choose import STRIPPED, Choice, choose
from oejail.artifacts.deployed import INDEX
from oejail.artifacts.discover import FIRMWARE, MODULE, TOOL, Candidate, Discovery, discover
from oejail.artifacts.identify import identify
from oejail.artifacts.model import (
    SCHEMA,
    Artifact,
    ArtifactMissing,
    CollectedSet,
    Collection,
    Info,
    Other,
    SetInmate,
    SetSpec,
)
from oejail.artifacts.places import Places
from oejail.cells import Cell, RootCell, decode
from oejail.cells.regions import load_address
from oejail.errors import BuildFailed
from oejail.files import MIB, atomic_directory, naming, read_limited
from oejail.log import logger

if TYPE_CHECKING:
    from oejail.platforms import Platform

LIMITS = {"cell": MIB, "kernel": 1024 * MIB, "initrd": 4096 * MIB}
"""Largest file of a kind in bytes; 256 MiB for the others."""

OPTIONAL = ("kernel", "initrd", "linux-loader", "dtb", "inmate")

EXPECTED = {
    "module": ("module",),
    "firmware": ("firmware",),
    "tool": ("tool", "elf", "script"),
    "kernel": ("kernel", "gzip"),
    "initrd": ("gzip", "cpio"),
    "dtb": ("dtb",),
}
"""What `identify` has to say of a kind; of the others anything."""


def collect(build_dir: Path, platform: Platform, wanted: SetSpec, out: Path) -> Collection:
    """Copy what is wanted from `build_dir` to OUT, which is replaced as a whole.

    Raises UsageFault for a build directory or OUT that cannot be used, ArtifactMissing when
    something required is not there, ArtifactConflict when two different files are, and
    BuildFailed when a file is not what its name says.
    """
    layout.check_out(out)
    found = discover(build_dir, platform, wanted)
    reader = _Reader(found.places)
    choices: dict[str, Choice] = {}
    for key in sorted({candidate.key for candidate in found.candidates}):
        choice = choose([c for c in found.candidates if c.key == key], reader.digest)
        if choice is not None:
            choices[key] = choice
    absent = _absent(found, wanted, choices.keys())
    if absent is not None:
        raise absent
    with naming(out), atomic_directory(out) as fresh:
        artifacts = [_take(reader, choice, fresh) for choice in choices.values()]
        chosen = _collected_set(fresh, platform, wanted)
        artifacts += layout.write_own(fresh, chosen)
        kinds = {artifact.kind for artifact in artifacts}
        collection = Collection(
            schema_version=SCHEMA,
            oejail=__version__,
            platform=platform.name,
            machine=platform.machine,
            build_dir=str(found.places.build_dir),
            sample=any(artifact.sample for artifact in artifacts),
            set_source=wanted.source,
            set=chosen,
            artifacts=tuple(sorted(artifacts, key=lambda artifact: artifact.path)),
            absent=tuple(kind for kind in OPTIONAL if kind not in kinds),
        )
        layout.write_index(fresh, collection)
    return collection


class _Reader:
    """Reads candidates, for their digests or to copy them."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.digests: dict[tuple[Path, str | None], str] = {}

    def digest(self, candidate: Candidate) -> str:
        """The file's SHA-256, read once."""
        place = candidate.path, candidate.member
        if place not in self.digests:
            self._read(candidate, None)
        return self.digests[place]

    def copy(self, candidate: Candidate, target: Path) -> int:
        """Copy the file to `target`, which must not exist, and return its size.

        Raises BuildFailed when it is no longer what `digest` saw.
        """
        with target.open("xb") as stream:
            return self._read(candidate, stream)

    def _read(self, candidate: Candidate, target: BinaryIO | None) -> int:
        digest, size = hashlib.sha256(), 0
        for chunk in self._chunks(candidate, LIMITS.get(candidate.kind, 256 * MIB)):
            digest.update(chunk)
            size += len(chunk)
            if target is not None:
                target.write(chunk)
        now = digest.hexdigest()
        if self.digests.setdefault((candidate.path, candidate.member), now) != now:
            raise BuildFailed(f"{candidate.path}: changed while it was read; is a build running?")
        if candidate.expected not in (None, now):
            raise BuildFailed(
                f"{candidate.path}: sha256 {now}, but {INDEX} beside it says {candidate.expected}",
                hint="bitbake -c clean its recipe, and build anew",
            )
        return size

    def _chunks(self, candidate: Candidate, limit: int) -> Iterator[bytes]:
        if candidate.member is not None:
            yield from packages.chunks(self.places, candidate.path, candidate.member, limit)
            return
        with self.places.open(candidate.path, limit) as stream:
            while chunk := stream.read(MIB):
                yield chunk


def _take(reader: _Reader, choice: Choice, out: Path) -> Artifact:
    """Copy the chosen file to its place in OUT, and say what it is and what it was preferred to."""
    candidate, show = choice.candidate, reader.places.show
    target = out / candidate.key
    target.parent.mkdir(parents=True, exist_ok=True)
    size = reader.copy(candidate, target)
    mode = 0o755 if candidate.kind == "tool" else 0o644
    target.chmod(mode)
    for other, why in choice.passed_over:
        told = (candidate.key, show(other.path), reader.digest(other)[:12], why)
        # That packaging strips ELF files is as it should be: worth a line only with -v.
        usual = candidate.kind in STRIPPED and other.stale is None
        logger.log(DEBUG if usual else INFO, "%s: passed over %s (sha256 %s…): %s", *told)
    identity = identify(target)
    expected = EXPECTED.get(candidate.kind, (identity.kind,))
    if identity.kind not in expected:
        raise BuildFailed(
            f"{candidate.path}: {identity.kind} instead of {' or '.join(expected)}",
            hint="build it anew",
            details=[identity.error] if identity.error else [],
        )
    kind = identity.kind if candidate.kind == "cell" and identity.kind == "root-cell" else None
    return Artifact(
        kind=kind or candidate.kind,
        path=candidate.key,
        origin=show(candidate.path),
        sha256=reader.digest(candidate),
        size=size,
        mode=mode,
        member=candidate.member,
        sample=identity.sample,
        info=_plain({"is": identity.kind, "arch": identity.arch, **identity.info}),
        copies=tuple(show(copy.path) for copy in choice.copies),
        passed_over=tuple(Other(show(o.path), reader.digest(o), w) for o, w in choice.passed_over),
    )


def _plain(info: Mapping[str, Any]) -> Info:
    """`info` without what is empty, lists as tuples."""
    return {
        key: tuple(value) if isinstance(value, (list, tuple)) else value
        for key, value in info.items()
        if value not in (None, "", [], ())
    }


def missing(build_dir: Path, platform: Platform, wanted: SetSpec) -> ArtifactMissing | None:
    """The error that `collect` would raise for what is not there; None where all is.

    Raises as `discover` does.
    """
    found = discover(build_dir, platform, wanted)
    return _absent(found, wanted, {c.key for c in found.candidates if c.stale is None})


def _absent(found: Discovery, wanted: SetSpec, there: Container[str]) -> ArtifactMissing | None:
    """An error with all that is missing and where it was looked for; None where nothing is."""
    system = [MODULE, FIRMWARE, TOOL, _cell_path(wanted.root)]
    system += [_cell_path(inmate.cell) for inmate in wanted.inmates]
    images = [_image_paths(inmate.image) for inmate in wanted.inmates]
    lost = [key for key in system if key not in there]
    lost_images = [paths[0] for paths in images if not any(path in there for path in paths)]
    if not lost and not lost_images:
        return None
    names = tuple(dict.fromkeys(key.removeprefix("payload/") for key in lost + lost_images))
    recipes = wanted.recipes[:1] if lost else ()
    if lost_images:  # an image can be of any recipe, inmates/ of Jailhouse's
        recipes = tuple(dict.fromkeys((*recipes, *(wanted.recipes[1:] or wanted.recipes))))
    return ArtifactMissing(
        f"{found.places.build_dir}: the build left no {', '.join(names)}",
        names=names,
        recipes=recipes,
        hint=f"build them: bitbake {' '.join(recipes)}",
        details=["looked in:", *(f"  {place}" for place in found.looked)],
    )


def _cell_path(stem: str) -> str:
    return f"payload/cells/{stem}.cell"


def _image_paths(image: str) -> list[str]:
    """Where an image may lie in OUT, best first."""
    return list(dict.fromkeys([f"payload/{image}", f"payload/inmates/{Path(image).name}"]))


def _collected_set(out: Path, platform: Platform, wanted: SetSpec) -> CollectedSet:
    """The set, with the names that the configurations themselves bear.

    Raises CellFormatError for a configuration that cannot be read, BuildFailed where a root cell
    stands for an inmate's or the other way round.
    """
    root = _decode(out, wanted.root, platform)
    if not isinstance(root, RootCell):
        raise BuildFailed(f"cells.root: {wanted.root}.cell is no root cell, but cell {root.name!r}")
    inmates = []
    for inmate in wanted.inmates:
        cell = _decode(out, inmate.cell, platform)
        if isinstance(cell, RootCell):
            raise BuildFailed(f"cells.inmates: {inmate.cell}.cell is a root cell ({cell.name!r})")
        path = next(p for p in _image_paths(inmate.image) if (out / p).is_file())
        inmates.append(
            SetInmate(
                name=layout.check_cell_name(cell.name, f"{inmate.cell}.cell"),
                cell=_cell_path(inmate.cell).removeprefix("payload/"),
                image=path.removeprefix("payload/"),
                # Without an address the tool takes 0, wherever the cell's region starts.
                address=(load_address(cell) or None) if inmate.address is None else inmate.address,
                expect=inmate.expect,
                expect_repeat=inmate.expect_repeat,
            )
        )
    return CollectedSet(root.name, _cell_path(wanted.root).removeprefix("payload/"), tuple(inmates))


def _decode(out: Path, stem: str, platform: Platform) -> Cell | RootCell:
    data = read_limited(out / _cell_path(stem), LIMITS["cell"])
    return decode(data, arch=platform.arch, where=f"{stem}.cell")
