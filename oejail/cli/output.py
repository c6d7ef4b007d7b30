# SPDX-License-Identifier: MIT
"""Data on stdout: plain lines or JSON. Everything else goes to stderr through `log`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oejail.files import naming
from oejail.text import harmless


def emit(text: str = "") -> None:
    """`text` and a newline; what could steer a terminal or stdout's encoding lacks is escaped."""
    if sys.stdout is None:  # closed by whoever started us
        return
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    safe = harmless(text).encode(encoding, "backslashreplace").decode(encoding)
    with naming(Path("standard output")):
        sys.stdout.write(safe + "\n")


def emit_json(value: Mapping[str, Any]) -> None:
    """A report for machines; `value` begins with `schema_version`."""
    import json

    emit(json.dumps(value, indent=2, ensure_ascii=True))


def emit_table(rows: Sequence[Sequence[str]]) -> None:
    """Left-aligned columns two spaces apart, without trailing blanks."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    for row in rows:
        emit("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
