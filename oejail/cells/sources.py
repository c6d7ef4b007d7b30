# SPDX-License-Identifier: MIT
"""Where cell sources lie: those that come with oejail, and a user's own.

The shipped values are those of openEuler's (and, for the inmate demo, upstream's) configurations
of the same file stem: `encode(shipped(STEM))` gives the exact bytes of the original. The one
module of this room that reads files.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from oejail.cells.errors import CellFormatError
from oejail.cells.model import Cell, RootCell
from oejail.errors import ConfigError

if TYPE_CHECKING:
    from oejail.cells.source import Source

MAX_SOURCE = 4 << 20
"""Bytes; `cell show --json` of the largest genuine configuration has some 400 KiB."""
SHIPPED = Path(__file__).parent / "shipped"
STDIN = "standard input"
PREFIX = "oejail:"
"""Before the name of a shipped file in `include`: `oejail:parts/qemu-virt.yaml`."""


def shipped_names() -> tuple[str, ...]:
    """The file stems of all configurations that come with oejail, sorted."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


@cache
def shipped(name: str) -> Cell | RootCell:
    """The configuration with file stem `name`, at revision 13.

    Raises CellFormatError, listing the names, for one that is not shipped.
    """
    if name not in shipped_names():
        raise CellFormatError(
            offset=0,
            field="name",
            found=repr(name),
            expected=f"one of {', '.join(shipped_names())}",
            where="shipped cells",
        )
    return load(f"{PREFIX}{name}.yaml").config


def find(name: str) -> str:
    """What `load` takes for what a person typed: a file where there is one, else a shipped name.

    Raises ConfigError for neither.
    """
    if name == "-" or name.startswith(PREFIX) or Path(name).exists():
        return name
    if name in shipped_names():
        return f"{PREFIX}{name}.yaml"
    raise ConfigError(
        f"{name}: No such file or directory",
        hint=f"shipped sources are {', '.join(shipped_names())}",
    )


def load(name: str, standard_input: bytes | None = None) -> Source:
    """The source in a file, in a shipped one (`oejail:NAME.yaml`), or `-`: the bytes given.

    Includes are found beside the file that names them and stay within the directory of the first
    file; `oejail:…` is a shipped one. Raises SourceError or ConfigError with file, line, column.
    """
    from oejail.cells.source import build

    return build(name, _Files(name, standard_input))


class _Files:
    """Reads the first file and what it includes."""

    def __init__(self, first: str, standard_input: bytes | None) -> None:
        self.standard_input = standard_input
        self.base = Path() if first == "-" else Path(first).parent

    def __call__(self, name: str, by: str) -> tuple[str, bytes]:
        from oejail.files import read_limited, relative_inside

        if name == "-" and not by:
            data = self.standard_input or b""
            if len(data) > MAX_SOURCE:
                raise ConfigError(f"{STDIN}: more than the limit of {MAX_SOURCE} bytes")
            return STDIN, data
        if name.startswith(PREFIX):
            path, shown = relative_inside(SHIPPED, name.removeprefix(PREFIX)), name
        elif by.startswith(PREFIX):
            inside = Path(by.removeprefix(PREFIX)).parent / name
            path, shown = relative_inside(SHIPPED, str(inside)), f"{PREFIX}{inside}"
        elif by:
            around = self.base if by == STDIN else Path(by).parent
            path = relative_inside(around, name)
            if not path.resolve().is_relative_to(self.base.resolve()):
                raise ConfigError(f"include {name}: a link out of {self.base}")
            shown = str(path)
        else:
            path, shown = Path(name), name
        try:
            return shown, read_limited(path, MAX_SOURCE)
        except OSError as error:
            raise ConfigError(f"{shown}: {error.strerror}") from None
