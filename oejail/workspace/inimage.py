# SPDX-License-Identifier: MIT
"""`rtos_in_image`: the RTOS and oejail-start in the image itself, through meta-oejail.

The recipe oejail-rtos (layers/meta-oejail) installs oejail-start and the set, with links to what
Jailhouse's and the RTOS's recipes install; this room says in local.conf what the set is and which
images take it. No image is appended to: not every tree has the same, and an append whose recipe is
missing is fatal.
"""

from __future__ import annotations

from pathlib import Path

from oejail.errors import UsageFault
from oejail.files import read_limited
from oejail.project import Project

RECIPE = "oejail-rtos"
SCRIPT = f"recipes-oejail/{RECIPE}/{RECIPE}/oejail-start"
"""In meta-oejail; the same bytes as in a bundle's payload."""
_SCRIPT_SOURCE = Path(__file__).parents[1] / "artifacts" / "target" / "oejail-start"


def script() -> bytes:
    """oejail-start, as it travels with oejail."""
    return read_limited(_SCRIPT_SOURCE, 1 << 20)


def lines(project: Project) -> tuple[str, ...]:
    """Statements for local.conf. Raises UsageFault where no target is an image."""
    images = [t for t in project.targets() if t not in project.targets(image=False)]
    if not images:
        raise UsageFault(
            f"rtos_in_image: targets has no image ({', '.join(project.targets())})",
            hint="add openeuler-image-mcs to targets: in oejail.yaml",
        )
    recipes = dict.fromkeys(["jailhouse", *(r.recipe for r in project.platform.rtos.values())])
    words = [project.cells.root]
    for inmate in project.cells.inmates:
        address = "-" if inmate.address is None else f"{inmate.address:#x}"
        words += [inmate.cell, inmate.image, address]
    return (
        f'OEJAIL_SET = "{" ".join(words)}"',
        f'OEJAIL_RECIPES = "{" ".join(filter(None, recipes))}"',
        *(f'IMAGE_INSTALL:append:pn-{image} = " {RECIPE}"' for image in images),
    )
