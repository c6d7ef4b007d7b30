# SPDX-License-Identifier: MIT
"""Plain parameters of the command line are taken without pydantic.

Typer builds a pydantic model for every parameter of every command that it runs, the help flag
included: 80 ms at each start, more than all else that a quick verb does (`make bench`). A flag, a
count, text and paths need none of it; everything else stays Typer's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer.core

_KINDS: Mapping[Any, Callable[[Any], Any]] = {
    bool: bool,
    str: str,
    Path: Path,
    list[str]: lambda values: [str(value) for value in values],
}


class _Plain:
    def __init__(self, kind: Callable[[Any], Any]) -> None:
        self.kind = kind

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        return None if value is None else self.kind(value)


def enable() -> None:
    """Have Typer's parameters of plain types taken so. A Typer that works otherwise is left be."""
    parameter: Any = getattr(typer.core, "_TyperParameter", None)
    original: Any = getattr(parameter, "get_runtime_param", None)
    if original is None or getattr(original, "plain", False):
        return

    def get_runtime_param(self: Any) -> Any:
        annotation = self.type_descriptor.annotation
        if annotation is int and getattr(self, "count", False):
            return _Plain(int)
        kind = _KINDS.get(annotation) if _has_no_checks(self) else None
        return original(self) if kind is None else _Plain(kind)

    get_runtime_param.plain = True  # type: ignore[attr-defined]
    parameter.get_runtime_param = get_runtime_param


def _has_no_checks(parameter: Any) -> bool:
    """True unless the declaration asks for more than the type (`exists=True`, a parser, …)."""
    info = parameter.type_descriptor.parameter_info
    asked = ("exists", "writable", "executable", "resolve_path", "allow_dash", "path_type")
    return not any(getattr(info, name, None) for name in (*asked, "parser", "click_type"))
