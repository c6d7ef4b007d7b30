# SPDX-License-Identifier: MIT
"""OUT, the directory that `collect` leaves: what oejail itself puts there, and reading it again."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from oejail import jsonfile
from oejail.artifacts.model import SCHEMA, Artifact, CollectedSet, Collection
from oejail.errors import ConfigError, UsageFault
from oejail.files import MIB, canonical_json, read_limited, sha256_bytes

INDEX = "artifacts.json"
TARGET_FILES = Path(__file__).with_name("target")

_SCRIPTS = (
    ("payload/oejail-start", 0o755),
    ("payload/oejail.init", 0o755),
    ("payload/oejail.service", 0o644),
    ("install.sh", 0o755),
)
_CELL_NAME = re.compile(r"[ -~]{1,32}")


def set_lines(chosen: CollectedSet) -> str:
    """oejail.set: a line a cell, fields separated by tabs, for a shell's `read`."""
    lines = [f"root\t{chosen.root}"]
    for inmate in chosen.inmates:
        address = "-" if inmate.address is None else f"{inmate.address:#x}"
        lines.append(f"inmate\t{inmate.name}\t{inmate.cell}\t{inmate.image}\t{address}")
    return "".join(f"{line}\n" for line in lines)


def check_cell_name(name: str, place: str) -> str:
    """`name` when `jailhouse cell load NAME` and a tab-separated line can bear it.

    Raises ConfigError otherwise: the tool takes digits for an id, and `-…` for an option.
    """
    if _CELL_NAME.fullmatch(name) is None or name.isdigit() or name.startswith("-"):
        raise ConfigError(f"{place}: the cell's name {name!r} cannot be given to jailhouse")
    return name


def write_own(out: Path, chosen: CollectedSet) -> list[Artifact]:
    """Write oejail.set and the scripts for the target into OUT; they are artefacts like others."""
    own = [
        ("set", "payload/oejail.set", set_lines(chosen).encode(), 0o644),
        *(
            ("script", path, (TARGET_FILES / path.rpartition("/")[2]).read_bytes(), mode)
            for path, mode in _SCRIPTS
        ),
    ]
    artifacts = []
    for kind, path, data, mode in own:
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(mode)
        artifacts.append(Artifact(kind, path, "oejail", sha256_bytes(data), len(data), mode))
    return artifacts


def write_index(out: Path, collection: Collection) -> None:
    """Write artifacts.json."""
    (out / INDEX).write_bytes(canonical_json(dataclasses.asdict(collection)))


def read_index(out: Path) -> Collection:
    """What artifacts.json of OUT says.

    Raises UsageFault where there is none, ConfigError for a bad one.
    """
    path = out / INDEX
    try:
        data = read_limited(path, 16 * MIB)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageFault(
            f"{out}: nothing collected here (no {INDEX})",
            hint="oejail collect --build-dir DIR --platform P --out OUT makes it",
        ) from None
    return jsonfile.parse(Collection, data, str(path), SCHEMA)


def check_out(out: Path) -> None:
    """Raise UsageFault unless OUT can be replaced: missing, empty, or an earlier collection."""
    if not out.exists() and not out.is_symlink():
        return
    if out.is_symlink() or not out.is_dir():
        raise UsageFault(f"{out}: is no directory", hint="give another --out")
    if any(out.iterdir()) and not (out / INDEX).is_file():
        raise UsageFault(
            f"{out}: holds other files than an earlier collection; they would be lost",
            hint="give an empty or new directory with --out",
        )
