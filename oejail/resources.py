# SPDX-License-Identifier: MIT
"""Where oejail's own data lies: inside the wheel as `oejail/_data`, else in the source checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """Directory `name` (`layers`, `recipes-templates` or `samples`) of the installed package."""
    packed = _PACKAGE / "_data" / name
    return packed if packed.is_dir() else _PACKAGE.parent / name
