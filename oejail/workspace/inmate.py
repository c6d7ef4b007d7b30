# SPDX-License-Identifier: MIT
"""A layer with a bare-metal inmate, rendered from `recipes-templates/inmate/`.

The sample tree's `jailhouse-freertos` and what `oejail new inmate` makes for a user come from the
same templates.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from oejail import files, platforms
from oejail.errors import UsageFault
from oejail.platforms import Platform
from oejail.resources import data_dir

RTOS_KINDS = ("baremetal",)

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_NAME_LIMIT = 64
# Words that BitBake reads a meaning into when a recipe is called so (OVERRIDES, class extensions).
_RESERVED = frozenset("native nativesdk cross sdk core forcevariable linux aarch64 machine".split())


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
            f"inmate name {name!r}: not lower-case letters, digits and single hyphens, beginning "
            f"with a letter, at most {_NAME_LIMIT} characters",
            hint="a recipe, a layer and an image are called so; try e.g. my-inmate",
        )
    reserved = _RESERVED.intersection(name.split("-"))
    if reserved:
        raise UsageFault(
            f"inmate name {name!r}: BitBake reads a meaning of its own into {sorted(reserved)[0]!r}",
            hint="choose another name",
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
        raise UsageFault(f"rtos {rtos!r}: not one of {', '.join(RTOS_KINDS)}")
    if os.path.lexists(destination):
        raise UsageFault(f"{destination}: exists already", hint="choose another name, or --dir DIR")
    rendered = layer(Inmate.named(name, platform or platforms.load("qemu-aarch64")))
    with files.atomic_directory(destination) as fresh:
        for path, text in rendered.items():
            target = fresh / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    return [destination / path for path in rendered]


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
        cell=cells.inmates[0] if cells.inmates else "CELL",
        **more,
    )
