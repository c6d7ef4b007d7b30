# SPDX-License-Identifier: MIT
"""A layer with a bare-metal inmate, rendered from `recipes-templates/inmate/`.

The sample tree's `jailhouse-freertos` and what `oejail new inmate` makes for a user come from the
same templates.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from oejail import files, platforms, project
from oejail.errors import UsageFault
from oejail.platforms import Platform
from oejail.project import Project
from oejail.resources import data_dir

RTOS_KINDS = ("baremetal",)
DEFAULT_PLATFORM = "qemu-aarch64"

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_NAME_LIMIT = 64
# BitBake takes these for overrides or variants of a recipe, the trees have them as layers already,
# or the sample has a recipe of that name.
_RESERVED = frozenset(
    {"linux", "aarch64", "arm", "task", "core", "openeuler", "oejail", "freertosproject"}
    | {"freertos", "jailhouse", "jailhouse-freertos", "forcevariable"}
)
_VARIANT = re.compile(
    r"(nativesdk|lib32|lib64|pn|task|class|toolchain|virtual)-.*"
    r"|.*-(native|cross|crosssdk|cross-canadian|initial|intermediate|dev|dbg|doc|src|staticdev|locale)"
)


@dataclass(frozen=True)
class Inmate:
    """What the templates are filled with."""

    name: str
    """As the program calls itself in its comments."""
    recipe: str
    collection: str
    """The layer's name in BBFILE_COLLECTIONS."""
    platform: Platform
    banner: str
    """The console's lines are `BANNER: tick N`."""
    image: str
    """File name of the flat image; its ELF has the same stem."""
    source_dir: str
    """Below WORKDIR: where sources are unpacked and compiled."""
    install_dir: str
    """Absolute, on the target."""
    summary: str
    layer_dir: str
    version: str = "1.0"
    machines: tuple[str, ...] = ()
    series: tuple[str, ...] = ("hardknott", "kirkstone", "scarthgap")

    @classmethod
    def named(cls, name: str, platform: Platform) -> Inmate:
        """The inmate `name` of a user's own layer."""
        return cls(
            name=name,
            recipe=name,
            collection=name,
            platform=platform,
            banner=name,
            image=f"{name}.bin",
            source_dir=f"{name}-source",
            install_dir="/usr/share/jailhouse/inmates",
            summary=f"{name}: a bare-metal inmate of a Jailhouse cell",
            layer_dir=f"meta-{name}",
        )


def sources(inmate: Inmate) -> dict[str, str]:
    """The program alone: file name to text of start.S, inmate.c and inmate.lds."""
    return {name: _render(f"{name}.j2", inmate) for name in ("start.S", "inmate.c", "inmate.lds")}


def layer(inmate: Inmate) -> dict[str, str]:
    """The whole layer: path relative to it, to text."""
    recipe_dir = f"recipes-rtos/{inmate.recipe}"
    program = sources(inmate)
    first_line = program["inmate.c"].splitlines(keepends=True)[0]
    licence = hashlib.md5(first_line.encode(), usedforsecurity=False).hexdigest()
    return {
        "README.md": _render("README.md.j2", inmate),
        "conf/layer.conf": _render("layer.conf.j2", inmate),
        f"{recipe_dir}/{inmate.recipe}_{inmate.version}.bb": _render(
            "recipe.bb.j2", inmate, license_md5=licence
        ),
        **{f"{recipe_dir}/files/{name}": text for name, text in program.items()},
    }


def check_name(name: str) -> None:
    """Raise UsageFault for a name that no recipe, layer or file can have."""
    if not _NAME.fullmatch(name) or len(name) > _NAME_LIMIT:
        raise UsageFault(
            f"inmate name {name[:80]!r}: not lower-case letters, digits and single hyphens, "
            f"beginning with a letter, at most {_NAME_LIMIT} characters",
            hint="a recipe, a layer and an image are called so; try e.g. my-inmate",
        )
    if name in _RESERVED or _VARIANT.fullmatch(name):
        raise UsageFault(
            f"inmate name {name!r}: BitBake or the tree has a meaning of its own for it",
            hint="choose another name, e.g. my-inmate",
        )


def render_inmate(
    name: str, rtos: str, destination: Path, *, platform: Platform | None = None
) -> list[Path]:
    """Make the layer `destination` (it must not exist) with the inmate `name`; return its files.

    All of it appears at once. `platform` defaults to qemu-aarch64. Raises UsageFault for a name
    that cannot be a recipe's, an unknown `rtos`, and a destination that exists.
    """
    check_name(name)
    if rtos not in RTOS_KINDS:
        raise UsageFault(f"--rtos {rtos}: not one of {', '.join(RTOS_KINDS)}")
    if os.path.lexists(destination):
        raise UsageFault(f"{destination}: exists already", hint="choose another name, or --dir DIR")
    rendered = layer(Inmate.named(name, platform or platforms.load(DEFAULT_PLATFORM)))
    files.make_directory(destination.parent)
    with files.atomic_directory(destination) as fresh:
        for path, text in rendered.items():
            target = fresh / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        if os.geteuid() == 0:  # what root makes belongs to whom the place belongs
            around = destination.parent.stat()
            files.give(fresh, around.st_uid, around.st_gid)
    return [destination / path for path in rendered]


@dataclass(frozen=True)
class Created:
    """A layer that was made, and the commands that come next."""

    layer: Path
    next: tuple[str, ...]


def create(
    name: str, rtos: str, *, directory: Path | None = None, platform: str | None = None
) -> Created:
    """`oejail new inmate`: the layer meta-NAME in `directory`.

    In a project, the platform is the project's and the directory its workspace's src/, if that is
    there; elsewhere qemu-aarch64 and the current directory.
    """
    here = _project()
    if platform is not None:
        board = platforms.load(platform)
    else:
        board = here.platform if here else platforms.load(DEFAULT_PLATFORM)
    if directory is None:
        src = _workspace(here) / "src" if here else None
        directory = src if src and src.is_dir() else Path()
    layer_dir = directory.absolute() / f"meta-{name}"
    render_inmate(name, rtos, layer_dir, platform=board)
    path = shlex.quote(str(layer_dir))
    return Created(layer_dir, (f"oejail layers add {path}", f"oejail build {name}"))


def _workspace(here: Project) -> Path:
    declared = here.config.workspace
    return here.workspace_link if declared is None else here.path(declared)


def _project() -> Project | None:
    try:
        return project.load()
    except UsageFault:  # no project here
        return None


def _render(template: str, inmate: Inmate, **more: str) -> str:
    import jinja2  # heavy, and only rendering needs it

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_dir("recipes-templates") / "inmate"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cells = inmate.platform.cells
    return environment.get_template(template).render(
        name=inmate.name,
        recipe=inmate.recipe,
        collection=inmate.collection,
        platform=inmate.platform.name,
        console=inmate.platform.console,
        banner=inmate.banner,
        image=inmate.image,
        stem=inmate.image.removesuffix(".bin"),
        source_dir=inmate.source_dir,
        install_dir=inmate.install_dir,
        summary=inmate.summary,
        layer_dir=inmate.layer_dir,
        machines="|".join(inmate.machines or (inmate.platform.machine,)),
        series=" ".join(inmate.series),
        root=cells.root,
        cell=cells.inmates[0] if cells.inmates else "CELL",
        **more,
    )
