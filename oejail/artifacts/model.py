# SPDX-License-Identifier: MIT
"""What is wanted from a build, and what was found there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from oejail.constraints import STRICT
from oejail.errors import BuildFailed, ConfigError

if TYPE_CHECKING:
    from oejail.platforms import Platform
    from oejail.project import Cells, Project

SCHEMA = 1
"""Of artifacts.json."""

Info = Mapping[str, str | int | bool | tuple[str | int, ...] | None]
"""What an artefact's content says of itself."""

STOCK = {"uart-demo.bin": "Hello ", "gic-demo.bin": "Timer fired, jitter:"}
"""What Jailhouse's own inmates (inmates/demos/arm64) print again and again, for a set that does not
say what is expected. In openEuler's fork the first line goes on in another way (`Hello 1`)."""

_RECIPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*")
_IMAGE_RECIPE = re.compile(r"(?:^|-)image(?:-|$)")
_IMAGE_FILE = re.compile(r"(?:inmates/)?[A-Za-z0-9][A-Za-z0-9._+-]*")


class ArtifactMissing(BuildFailed):
    """The build left no such file; the details say where it was looked for."""

    def __init__(
        self,
        message: str,
        *,
        names: tuple[str, ...] = (),
        recipes: tuple[str, ...] = (),
        hint: str | None = None,
        details: Sequence[str] = (),
    ) -> None:
        super().__init__(message, hint=hint, details=details)
        self.names = names
        """What is missing, and"""
        self.recipes = recipes
        """which recipes make it."""


class ArtifactConflict(BuildFailed):
    """The build left two different files for one purpose, and no rule says which is meant."""


@dataclass(frozen=True)
class InmateSpec:
    """A cell beside the root cell: file stem of its configuration, and what runs in it."""

    __pydantic_config__: ClassVar[Any] = STRICT

    cell: str
    image: str
    """A file name, or `inmates/` and a file name."""
    address: int | None = None
    """Load address, when it is not the start of the loadable region."""
    expect: str | None = None
    expect_repeat: bool = False


@dataclass(frozen=True)
class SetSpec:
    """The set that is checked, packed and booted, and which recipes may have made its parts."""

    __pydantic_config__: ClassVar[Any] = STRICT

    root: str
    """File stem of the root cell's configuration."""
    inmates: tuple[InmateSpec, ...] = ()
    recipes: tuple[str, ...] = ("jailhouse",)
    images: tuple[str, ...] = ()
    """Image recipes, for the root file system; the first that was built is taken."""
    source: str = ""
    """Who says so, for the reader."""

    def __post_init__(self) -> None:
        for inmate in self.inmates:
            if not _IMAGE_FILE.fullmatch(inmate.image):
                raise ConfigError(
                    f"cells.inmates: image {inmate.image!r} of cell {inmate.cell} is neither a "
                    "file name nor inmates/ and a file name"
                )

    @classmethod
    def from_project(cls, project: Project) -> SetSpec:
        """The set of oejail.yaml; its targets are the recipes that may hold the images."""
        spec = _from_cells(project.cells, project.platform, project.targets())
        return replace(spec, source=str(project.root / "oejail.yaml"))

    @classmethod
    def from_platform(
        cls, platform: Platform, rtos: str = "freertos", chosen: Sequence[tuple[str, str]] = ()
    ) -> SetSpec:
        """The platform's own set, for a build directory that no project describes.

        `chosen` are inmates instead of its own: cell configuration (file stem) and image.
        """
        from oejail.project.model import Cells, Config, Inmate

        entry = platform.rtos.get(rtos)
        inmates = [
            Inmate(stem, entry.image, None, entry.expect)
            for stem in platform.cells.inmates
            if entry is not None and entry.image is not None and entry.cell == stem
        ]
        if chosen:
            own = {(inmate.cell, inmate.image): inmate for inmate in inmates}
            inmates = [own.get(pair, Inmate(*pair)) for pair in chosen]
        cells = Cells(platform.cells.root, tuple(inmates))
        spec = _from_cells(cells, platform, Config(version=1).targets)
        return replace(spec, source=f"platform {platform.name}")


def _from_cells(cells: Cells, platform: Platform, targets: Iterable[str]) -> SetSpec:
    inmates = []
    for i in cells.inmates:
        stock = STOCK.get(i.image.rpartition("/")[2]) if i.expect is None else None
        repeat = i.expect_repeat if stock is None else True
        inmates.append(InmateSpec(i.cell, i.image, i.address, i.expect or stock, repeat))
    plain = [target for target in targets if _RECIPE.fullmatch(target)]
    images = tuple(target for target in plain if _IMAGE_RECIPE.search(target))
    rtos = [entry.recipe for entry in platform.rtos.values() if entry.recipe is not None]
    recipes = dict.fromkeys(["jailhouse", *rtos, *(t for t in plain if t not in images)])
    return SetSpec(cells.root, tuple(inmates), tuple(recipes), images)


@dataclass(frozen=True)
class Other:
    """A file that was passed over, with the reason. `origin` as in Artifact."""

    __pydantic_config__: ClassVar[Any] = STRICT

    origin: str
    sha256: str
    why: str


@dataclass(frozen=True)
class Artifact:
    """A collected file."""

    __pydantic_config__: ClassVar[Any] = STRICT

    kind: str
    """module, firmware, tool, linux-loader, root-cell, cell, dtb, inmate, image, kernel, initrd;
    script and set are oejail's own."""
    path: str
    """Where it lies in OUT: `payload/…`, `boot/…` or `install.sh`."""
    origin: str
    """Where it came from: relative to the build directory, absolute when outside it."""
    sha256: str
    size: int
    mode: int
    member: str | None = None
    """The name in `origin`, where that is a package (rpm, ipk, deb)."""
    sample: bool = False
    """It carries the sample tree's mark: a stand-in, not Jailhouse."""
    info: Info = field(default_factory=dict)
    copies: tuple[str, ...] = ()
    """Other places in the build directory with the same bytes."""
    passed_over: tuple[Other, ...] = ()
    """Different files of that purpose, which a rule decided against."""


@dataclass(frozen=True)
class SetInmate:
    """An inmate of the set as collected; paths are relative to payload/."""

    __pydantic_config__: ClassVar[Any] = STRICT

    name: str
    """The cell's internal name."""
    cell: str
    image: str
    address: int | None = None
    expect: str | None = None
    expect_repeat: bool = False


@dataclass(frozen=True)
class CollectedSet:
    """The set as collected: what oejail.set says. Paths are relative to payload/."""

    __pydantic_config__: ClassVar[Any] = STRICT

    name: str
    """The root cell's internal name."""
    root: str
    inmates: tuple[SetInmate, ...] = ()


@dataclass(frozen=True)
class Collection:
    """artifacts.json: what `collect` left in OUT."""

    __pydantic_config__: ClassVar[Any] = STRICT

    schema_version: int
    oejail: str
    platform: str
    machine: str
    build_dir: str
    sample: bool
    set_source: str
    set: CollectedSet
    artifacts: tuple[Artifact, ...]
    absent: tuple[str, ...]
    """Kinds of which nothing was found, none of them required."""

    def find(self, path: str) -> Artifact | None:
        """The artefact at `path` of OUT."""
        return next((a for a in self.artifacts if a.path == path), None)

    def of_kind(self, *kinds: str) -> tuple[Artifact, ...]:
        """All artefacts of these kinds."""
        return tuple(a for a in self.artifacts if a.kind in kinds)
