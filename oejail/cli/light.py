# SPDX-License-Identifier: MIT
"""Plain parameters of the command line are taken without pydantic.

Typer builds a pydantic model for every parameter of every command that it runs, the help flag
included: 80 ms at each start, more than all else that a quick verb does (`make bench`). A flag, a
count, a whole number, text, paths and lists of these need none of it; everything else, and the
words about a value that is wrong, stay Typer's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import typer.core

_KINDS: Mapping[Any, Callable[[Any], Any]] = {
    bool: bool,
    str: str,
    Path: Path,
    int: lambda value: _whole_number(value),
    list[str]: lambda values: [str(value) for value in values],
    list[Path]: lambda values: [Path(value) for value in values],
}


def _whole_number(value: Any) -> int:
    """An int, or text that is nothing but digits and a sign: int() alone takes `1_0` and ` 1`."""
    digits = str(value).removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(value)
    return int(value)


class _Plain:
    def __init__(self, kind: Callable[[Any], Any], original: Callable[[], Any]) -> None:
        self.kind = kind
        self.original = original

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if value is None:
            return None
        try:
            return self.kind(value)
        except ValueError:
            return self.original().coerce(value, param, ctx)


def enable() -> None:
    """Have Typer's parameters of plain types taken so. A Typer that works otherwise is left be."""
    parameter: Any = getattr(typer.core, "_TyperParameter", None)
    original: Any = getattr(parameter, "get_runtime_param", None)
    if original is None or getattr(original, "plain", False):
        return

    def get_runtime_param(self: Any) -> Any:
        kind = _KINDS.get(self.type_descriptor.annotation) if _has_no_checks(self) else None
        return original(self) if kind is None else _Plain(kind, partial(original, self))

    get_runtime_param.plain = True  # type: ignore[attr-defined]
    parameter.get_runtime_param = get_runtime_param


def _has_no_checks(parameter: Any) -> bool:
    """True unless the declaration asks for more than the type (`exists=True`, a parser, …)."""
    info = parameter.type_descriptor.parameter_info
    asked = ("exists", "writable", "executable", "resolve_path", "allow_dash", "path_type")
    if any(getattr(info, name, None) for name in (*asked, "parser", "click_type")):
        return False
    limits = () if getattr(parameter, "count", False) else ("min", "max")
    return all(getattr(info, name, None) is None for name in limits)
